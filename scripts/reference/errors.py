"""The error classes: the tree, and a row for each."""

from __future__ import annotations

import inspect
import re

from aiquery import errors
from reference import HEAD


def render() -> str:
    """Return the page."""
    tree = re.search(r"::\n\n(.*?)\n\n(\S.*)", errors.__doc__ or "", re.DOTALL)
    drawing, text = (tree[1], tree[2]) if tree else ("", "")
    rows = []
    for name, kind in vars(errors).items():
        if inspect.isclass(kind) and issubclass(kind, errors.AIQueryError):
            rows.append(_row(name, kind))
    return (
        f"# Errors\n\n{HEAD}All are in `aiquery.errors`.\n\n```text\n{drawing}\n```\n\n"
        f"{text.strip().replace('``', '`')}\n\n"
        "| class | error class | SQLSTATE | meaning |\n|---|---|---|---|\n" + "\n".join(rows) + "\n"
    )


def _row(name: str, kind: type[errors.AIQueryError]) -> str:
    summary = inspect.cleandoc(kind.__doc__ or "").split("\n")[0].replace("``", "`")
    return f"| `{name}` | {kind.error_class or '-'} | {kind.sqlstate or '-'} | {summary} |"
