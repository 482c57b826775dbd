"""Write docs/reference.md from the code. ``make docs`` runs it, a test checks that it was run."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from aiquery import errors, interfaces, registry
from aiquery.config.budget import Budget
from aiquery.config.catalogs import prices, vendors
from aiquery.config.endpoint import Endpoint, Price, Timeout
from aiquery.config.settings import CacheSettings, Defaults, RunsSettings
from aiquery.engines.dataframes import signature
from aiquery.providers import fake, local, sentence_transformers

TARGET = Path(__file__).parent / "reference.md"
PAGES = TARGET.parent / "functions"


def functions() -> str:
    """Return the table of the AI functions, each with its page."""
    rows = []
    for name, function in registry.functions().items():
        first = re.match(
            r"``(.*?)``: (.*)",
            inspect.cleandoc(function.__doc__ or "").split("\n\n")[0],
            re.DOTALL,
        )
        call, what = (first[1], " ".join(first[2].split())) if first else (name, "")
        rows.append(
            f"| [`{call}`](functions/{name}.md) | {function.returns} | {what.replace('``', '`')} |"
        )
    return "## Functions\n\n| function | returns | what |\n|---|---|---|\n" + "\n".join(
        rows
    )


def page(function: interfaces.AIFunction) -> str:
    """Return the page of one function."""
    text = inspect.cleandoc(function.__doc__ or "").replace("``", "`")
    kinds = {"group": "rows of a group", "value": "column or constant"}
    rows = [
        f"| `{p.name}` | {kinds.get(p.kind, p.kind)}{', required' if p.required else ''} | {p.doc} |"
        for p in function.parameters
    ]
    table = "| argument | kind | meaning |\n|---|---|---|\n" + "\n".join(rows)
    shown = "\n\n".join(
        f"```sql\n{e.sql};\n```\n\n```text\n{e.shows}\n```" for e in function.examples
    )
    python = (
        f"aiquery.functions.{function.name.removeprefix('ai_')}{signature(function)}"
    )
    return (
        f"# {function.name}\n\nWritten by `make docs` from the code.\n\n{text}\n\nReturns {function.returns}.\n\n"
        f"{table}\n\n## Examples\n\nIn Databricks' dialect, with a capable model's replies.\n\n{shown}\n\n"
        f"## Python\n\nThe same for pandas, Polars and Arrow:\n\n```python\n{python}\n```\n"
    )


def settings() -> str:
    """Return the settings of an endpoint, as its docstring has them."""
    lines = []
    for kind, title in (
        (Endpoint, "[endpoints.NAME]"),
        (Timeout, "timeout"),
        (Price, "price"),
        (Defaults, "[defaults]"),
        (CacheSettings, "[cache]"),
        (RunsSettings, "[runs]"),
        (Budget, "[budget]"),
    ):
        doc = inspect.cleandoc(kind.__doc__ or "").replace("``", "`")
        given = dict(
            zip(
                kind.__struct_fields__[::-1],
                kind.__struct_defaults__[::-1],
                strict=False,
            )
        )
        fields = ", ".join(f"`{f}`" + (f" ({given[f]!r})" if isinstance(given.get(f), (str, float, bool)) else "")
                           for f in kind.__struct_fields__)  # fmt: skip
        lines.append(
            f"### {title}\n\n```text\n{doc}\n```\n\nSettings and defaults: {fields}."
        )
    return "## Settings\n\n" + "\n\n".join(lines)


def providers() -> str:
    """Return what the options of each provider mean, and the known vendors."""
    parts = [f"### {m.__name__.rsplit('.', 1)[1]}\n\n{(m.__doc__ or '').split(': ', 1)[1].strip().replace('``', '`')}"
             for m in (local, sentence_transformers, fake)]  # fmt: skip
    rows = [f"| `{name}:MODEL` | {row['provider']} | {row.get('base_url', '-')} | {row.get('api_key_env', '-')} |"
            for name, row in vendors().items()]  # fmt: skip
    table = (
        "| name | provider | base_url | key from |\n|---|---|---|---|\n"
        + "\n".join(rows)
    )
    return (
        "## Providers\n\n"
        + "\n\n".join(parts)
        + f"\n\n### Vendors\n\n{table}\n\n{list_prices()}"
    )


def list_prices() -> str:
    """Return the packaged price lists, each with its date."""
    rows = [f"| {vendor} | `{model}` | {price['input']:g} | {price.get('cached_input', '-')} | "
            f"{price.get('output', '-')} | {listed['as_of']} |"
            for vendor, listed in prices().items() for model, price in listed["models"].items()]  # fmt: skip
    head = (
        "### List prices\n\nIn USD per million tokens, for an endpoint at the vendor's address whose "
        "`price` is not set."
    )
    return (
        f"{head}\n\n| vendor | model | input | cached | output | as of |\n|---|---|---|---|---|---|\n"
        + "\n".join(rows)
    )


def error_classes() -> str:
    """Return the error tree and one row per class."""
    tree = re.search(r"::\n\n(.*?)\n\n\S", errors.__doc__ or "", re.DOTALL)
    rows = []
    for name, kind in vars(errors).items():
        if inspect.isclass(kind) and issubclass(kind, errors.AIQueryError):
            first = (
                inspect.cleandoc(kind.__doc__ or "").split("\n")[0].replace("``", "`")
            )
            rows.append(
                f"| `{name}` | {kind.error_class or '-'} | {kind.sqlstate or '-'} | {first} |"
            )
    table = (
        "| class | error class | SQLSTATE | when |\n|---|---|---|---|\n"
        + "\n".join(rows)
    )
    return f"## Errors\n\n```text\n{tree.group(1) if tree else ''}\n```\n\n{table}"


def reference() -> str:
    """Return the whole page."""
    head = "# Reference\n\nWritten by `make docs` from the code.\n\n"
    return (
        f"{head}{functions()}\n\n{settings()}\n\n{providers()}\n\n{error_classes()}\n"
    )


if __name__ == "__main__":
    TARGET.write_text(reference(), "utf-8")
    PAGES.mkdir(exist_ok=True)
    for name, function in registry.functions().items():
        (PAGES / f"{name}.md").write_text(page(function), "utf-8")
    print(f"wrote {TARGET} and {PAGES}")
