"""The Python API, from its numpy docstrings as griffe reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import griffe

from reference import HEAD

if TYPE_CHECKING:
    from pathlib import Path

OBJECTS = {
    "aiquery": [
        "__init__.connect",
        "__init__.register",
        "updates.api.update",
        "embedding.Embedding",
        "tracking.active.on_progress",
        "tracking.active.last_run",
        "reporting.progress.show_progress",
    ],
    "Connection": ["engines.duckdb.connection.Connection"],
    "Results": ["tracking.run.Progress", "estimate.Estimate", "updates.result.UpdateResult"],
    "aiquery.spark": [
        "engines.spark.driver.session.session",
        "engines.spark.driver.session.settings",
        "engines.spark.driver.estimate.estimate",
    ],
    "aiquery.testing": [
        "testing.endpoint.EndpointServer",
        "testing.answer.Answer",
        "testing.answer.Question",
        "testing.answer.mixed",
        "testing.answer.lognormal",
        "testing.replica.Replica",
    ],
    "Extension points": [
        "interfaces.Provider",
        "interfaces.AIFunction",
        "interfaces.Engine",
        "interfaces.Parameter",
        "interfaces.BoundCall",
    ],
}
"""Public objects by section: the path of each below the package."""


def load_package(source: Path) -> griffe.Module:
    """Return the package as griffe reads it, without importing it."""
    module = griffe.load("aiquery", search_paths=[source], docstring_parser="numpy", allow_inspection=False)
    if not isinstance(module, griffe.Module):
        raise TypeError("aiquery is not a module")
    return module


def public_objects(source: Path) -> list[griffe.Object]:
    """Return the public objects, in the order of the page."""
    package = load_package(source)
    return [_find(package, path) for paths in OBJECTS.values() for path in paths]


def _find(package: griffe.Module, path: str) -> griffe.Object:
    found: Any = package[path.removeprefix("__init__.")]
    return found.final_target if found.is_alias else found


def render(source: Path) -> str:
    """Return the page."""
    package = load_package(source)
    parts = [f"# Python API\n\n{HEAD}The functions for data frames are in [SQL functions](functions.md)."]
    for title, paths in OBJECTS.items():
        parts.append(f"## {title}")
        parts += [_render_object(_find(package, path)) for path in paths]
    return "\n\n".join(parts) + "\n"


def _render_object(found: griffe.Object, level: int = 3) -> str:
    parts = [f"{'#' * level} {found.name}", _signature(found), _docstring(found)]
    if isinstance(found, griffe.Class):
        members = [one for one in found.members.values() if _is_public(one)]
        parts += [_render_object(one, level + 1) for one in members]
    return "\n\n".join(part for part in parts if part)


def _is_public(member: Any) -> bool:
    if member.is_alias or member.name.startswith("_") or not member.has_docstring:
        return False
    return bool(member.is_function or "property" in member.labels)


def _signature(found: griffe.Object) -> str:
    if isinstance(found, griffe.Class):
        init = found.members.get("__init__")
        if not isinstance(init, griffe.Function):
            return ""
        return _code(found.name, init, None)
    if isinstance(found, griffe.Function):
        return _code(found.name, found, found.returns)
    return ""


def _code(name: str, function: griffe.Function, returns: Any) -> str:
    parameters = []
    has_star = False
    for parameter in function.parameters:
        if parameter.name == "self":
            continue
        keyword_only = parameter.kind is griffe.ParameterKind.keyword_only
        if keyword_only and not has_star:
            parameters.append("*")
            has_star = True
        parameters.append(_parameter(parameter))
    result = "" if returns is None else f" -> {returns}"
    text = f"{name}({', '.join(parameters)}){result}"
    if len(text) > 88:  # noqa: PLR2004  the line length of code
        lines = "".join(f"    {one},\n" for one in parameters)
        text = f"{name}(\n{lines}){result}"
    return f"```py\n{text}\n```"


def _parameter(parameter: griffe.Parameter) -> str:
    stars = {griffe.ParameterKind.var_positional: "*", griffe.ParameterKind.var_keyword: "**"}
    text = stars.get(parameter.kind, "") + parameter.name
    if parameter.annotation is not None:
        text += f": {parameter.annotation}"
    if parameter.default is not None and parameter.kind not in stars:
        text += f" = {parameter.default}"
    return text


def _docstring(found: griffe.Object) -> str:
    if found.docstring is None:
        return ""
    parts = [_section(section) for section in found.docstring.parsed]
    return "\n\n".join(parts)


def _section(section: Any) -> str:
    kind = section.kind.value
    if kind == "text":
        return _text(section.value)
    if kind == "examples":
        return "**Examples**\n\n" + "\n\n".join(_example(one) for one in section.value)
    rows = [_item(item, kind) for item in section.value]
    return f"**{kind.capitalize()}**\n\n" + "\n".join(rows)


def _text(value: str) -> str:
    """Return prose; aligned rows of names and meanings become a block."""
    paragraphs = []
    for paragraph in value.replace("``", "`").split("\n\n"):
        is_table = "\n" in paragraph and "    " in paragraph
        is_block = paragraph.startswith("    ")
        paragraphs.append(f"```text\n{paragraph}\n```" if is_table or is_block else paragraph)
    return "\n\n".join(paragraphs)


def _example(item: tuple[Any, str]) -> str:
    kind, text = item
    return text if kind.value == "text" else f"```pycon\n{text}\n```"


def _item(item: Any, kind: str) -> str:
    description = " ".join(item.description.split()).replace("``", "`")
    if kind in {"parameters", "attributes"}:
        return f"- `{item.name}`: {description}"
    return f"- `{item.annotation}`: {description}"
