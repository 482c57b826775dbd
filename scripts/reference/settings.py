"""The settings of the configuration file, the options of the providers, the vendors and their prices."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any

import msgspec

from aiquery.config.budget import Budget
from aiquery.config.catalogs import prices, vendors
from aiquery.config.endpoint import Endpoint, Price, Timeout
from aiquery.config.settings import CacheSettings, Defaults, RunsSettings
from aiquery.providers import fake, local, sentence_transformers
from reference import HEAD

if TYPE_CHECKING:
    from types import ModuleType

TABLES = {
    "[endpoints.NAME]": Endpoint,
    "timeout": Timeout,
    "price": Price,
    "[defaults]": Defaults,
    "[cache]": CacheSettings,
    "[runs]": RunsSettings,
    "[budget]": Budget,
}

INTRODUCTION = (
    "The configuration is `aiquery.toml`. A mapping or JSON text with the same keys works wherever a configuration "
    "is taken."
)

_ROW = re.compile(r"^(\w+(?:, \w+)*) {2,}(\S.*)$")
"""A line of a docstring that describes one setting, or several."""


def render() -> str:
    """Return the page."""
    parts = [
        f"# Settings\n\n{HEAD}{INTRODUCTION}",
        *(_render_table(title, kind) for title, kind in TABLES.items()),
        *(_render_provider(module) for module in (local, sentence_transformers, fake)),
        _render_vendors(),
        _render_prices(),
    ]
    return "\n\n".join(parts) + "\n"


def _render_table(title: str, kind: type[msgspec.Struct]) -> str:
    text, meanings = split_docstring(inspect.cleandoc(kind.__doc__ or ""))
    rows = []
    for field in msgspec.structs.fields(kind):
        default = "-" if field.default in {None, ""} else _show(field)
        rows.append(f"| `{field.name}` | {default} | {meanings.get(field.name, '')} |")
    table = "| setting | default | meaning |\n|---|---|---|\n" + "\n".join(rows)
    return f"## {title}\n\n{text}\n\n{table}"


def _show(field: Any) -> str:
    if field.required:
        return "required"
    if isinstance(field.default, str | int | float | bool):
        return f"`{msgspec.json.encode(field.default).decode()}`"
    return "-"


def split_docstring(doc: str) -> tuple[str, dict[str, str]]:
    """Return the prose of a docstring, and the meaning of each name in its aligned rows."""
    prose: list[str] = []
    meanings: dict[str, str] = {}
    names: list[str] = []
    for line in doc.replace("``", "`").splitlines():
        row = _ROW.match(line)
        if row is not None:
            names = row[1].split(", ")
            meanings |= dict.fromkeys(names, row[2])
        elif names and line.startswith(" "):
            for name in names:
                meanings[name] += f" {line.strip()}"
        else:
            names = []
            prose.append(line)
    return "\n".join(prose).strip(), meanings


def _render_provider(module: ModuleType) -> str:
    name = module.__name__.rsplit(".", 1)[1]
    doc = (module.__doc__ or "").split(": ", 1)[1].strip().replace("``", "`")
    return f"## Provider {name}\n\n{doc}"


def _render_vendors() -> str:
    rows = [
        f"| `{name}:MODEL` | {row['provider']} | {row.get('base_url', '-')} | {row.get('api_key_env', '-')} |"
        for name, row in vendors().items()
    ]
    head = "| name | provider | base_url | key from |\n|---|---|---|---|\n"
    return "## Vendors\n\n" + head + "\n".join(rows)


def _render_prices() -> str:
    rows = []
    for vendor, listed in prices().items():
        for model, price in listed["models"].items():
            figures = [price["input"], price.get("cached_input"), price.get("output")]
            cells = ["-" if figure is None else f"{figure:g}" for figure in figures]
            cells = [vendor, f"`{model}`", *cells, str(listed["as_of"])]
            rows.append(f"| {' | '.join(cells)} |")
    return (
        "## List prices\n\n"
        "In USD per million tokens. They apply to an endpoint at the vendor's address that sets no `price`.\n\n"
        "| vendor | model | input | cached | output | as of |\n|---|---|---|---|---|---|\n" + "\n".join(rows)
    )
