"""Regular expressions: the replacements of Java name groups with $, those of DuckDB with a backslash."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sqlglot import exp

from aiquery.sql.databricks.lambdas import call
from aiquery.sql.databricks.positions import RefusedHere

if TYPE_CHECKING:
    from collections.abc import Callable

MACROS = {
    "_replacement": "(text) AS CASE WHEN contains(text, '$') OR contains(text, '\\') THEN error("
    "'regexp_replace: a replacement with $ or a backslash must be a literal on DuckDB') ELSE text END",
}

_PART = re.compile(r"\\(.)|\$(\d)|\$\{", re.DOTALL)


def _replace(node: exp.RegexpReplace) -> exp.Expr:
    replacement = node.args.get("replacement")
    if isinstance(replacement, exp.Literal):
        made = _to_re2(replacement.name, replacement)
        node.set("replacement", exp.Literal.string(made))
    elif replacement is not None:
        node.set("replacement", call("databricks__replacement", replacement.copy()))
    return node


def _to_re2(text: str, node: exp.Expr) -> str:
    r"""Return a replacement as RE2 takes it: ``$1`` is ``\1``, and a backslash is doubled."""

    def convert(match: re.Match[str]) -> str:
        if match[2] is not None:
            return f"\\{match[2]}"
        if match[1] is None:
            raise RefusedHere(
                "regexp_replace: ${name} is not supported on DuckDB; use $1.",
                node.meta.get("start"),
            )
        return match[1].replace("\\", "\\\\")

    return _PART.sub(convert, text)


OPERATORS: dict[type[exp.Expr], Callable[..., exp.Expr]] = {
    exp.RegexpReplace: _replace,
}
