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

_ESCAPED = re.compile(r"\\.")
_PART = re.compile(r"\\(.)|\$(\d)|\$\{", re.DOTALL)


_JAVA_ESCAPE = re.compile(
    r"\\(?:[1-9]|[RhHvVGXNZ]|p\{(?:Alpha|Alnum|ASCII|Punct|Upper|Lower|Digit|Space|Is|java))"
)
_JAVA_SYNTAX = re.compile(r"\(\?(?:[=!>]|<[=!])|[*+?}]\+|&&|\[[^\]]*\[")
"""What Java's regular expressions have and RE2's do not."""


def check_pattern(pattern: exp.Expr | None) -> None:
    """Raise ``StatementError`` for a pattern that DuckDB would read otherwise, or not at all."""
    if pattern is None or not pattern.is_string:
        return
    text = pattern.name.replace("\\\\", "  ")
    found = _JAVA_ESCAPE.search(text) or _JAVA_SYNTAX.search(_ESCAPED.sub("", text))
    if found is not None:
        raise RefusedHere(
            f"the regular expression {pattern.name!r}: {found[0]!r} is not supported on DuckDB, which has no "
            "lookahead, lookbehind, back-references, possessive quantifiers and no classes within classes.",
            pattern.meta.get("start"),
        )


def _check(node: exp.Expr) -> exp.Expr:
    check_pattern(node.args.get("expression"))
    return node


def _replace(node: exp.RegexpReplace) -> exp.Expr:
    check_pattern(node.expression)
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


PATTERN_SECOND = frozenset(
    {"regexp_like", "regexp", "rlike", "split", "regexp_count", "regexp_instr", "regexp_substr", "regexp_extract",
     "regexp_extract_all"}
)  # fmt: skip
"""The functions whose second argument is a pattern."""

OPERATORS: dict[type[exp.Expr], Callable[..., exp.Expr]] = {
    exp.RegexpReplace: _replace,
    exp.RegexpLike: _check,
    exp.RegexpExtract: _check,
    exp.RegexpExtractAll: _check,
}
