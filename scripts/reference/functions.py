"""The AI functions: an index, and a page for each."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING

from aiquery import registry
from aiquery.engines.dataframes import make_signature
from reference import HEAD

if TYPE_CHECKING:
    from aiquery.interfaces import AIFunction

KINDS = {"group": "rows of a group", "value": "column or constant"}


def render_index() -> str:
    """Return the table of the functions."""
    rows = [_index_row(function) for function in registry.functions().values()]
    return (
        f"# SQL functions\n\n{HEAD}"
        "Every function takes its arguments by position or by name (`failOnError => false`).\n\n"
        "| function | returns | meaning |\n|---|---|---|\n" + "\n".join(rows) + "\n"
    )


def _index_row(function: AIFunction) -> str:
    summary = inspect.cleandoc(function.__doc__ or "").split("\n\n")[0]
    first = re.match(r"``(.*?)``: (.*)", summary, re.DOTALL)
    call = first[1] if first else function.name
    meaning = " ".join(first[2].split()) if first else ""
    link = f"[`{call}`](../functions/{function.name}.md)"
    return f"| {link} | {function.returns} | {meaning.replace('``', '`')} |"


def render_pages() -> dict[str, str]:
    """Return the page of each function by name."""
    functions = registry.functions()
    return {name: _render_page(function) for name, function in functions.items()}


def _render_page(function: AIFunction) -> str:
    text = inspect.cleandoc(function.__doc__ or "").replace("``", "`")
    examples = "\n\n".join(
        f"```sql\n{example.sql};\n```\n\n```text\n{example.shows}\n```" for example in function.examples
    )
    name = function.name.removeprefix("ai_")
    python = f"aiquery.functions.{name}{make_signature(function)}"
    return (
        f"# {function.name}\n\n{HEAD}{text}\n\nReturns {function.returns}.\n\n"
        f"{_argument_table(function)}\n\n"
        f"## Examples\n\nThe SQL is in Databricks' dialect. The replies are those of a capable model.\n\n"
        f"{examples}\n\n"
        f"## Python\n\nFor pandas, Polars and Arrow:\n\n```py\n{python}\n```\n"
    )


def _argument_table(function: AIFunction) -> str:
    rows = []
    for parameter in function.parameters:
        kind = KINDS.get(parameter.kind, parameter.kind)
        if parameter.required:
            kind += ", required"
        rows.append(f"| `{parameter.name}` | {kind} | {parameter.doc} |")
    return "| argument | kind | meaning |\n|---|---|---|\n" + "\n".join(rows)
