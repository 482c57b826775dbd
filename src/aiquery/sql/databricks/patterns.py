"""Regular expressions: the replacements of Java name groups with $, those of DuckDB with a backslash."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sqlglot import exp

from aiquery.sql.databricks.lambdas import call
from aiquery.sql.databricks.positions import RefusedHere

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlglot.expressions import Expr

MACROS = {
    "_replacement": "(text) AS CASE WHEN contains(text, '$') OR contains(text, '\\') THEN error("
    "'regexp_replace: a replacement with $ or a backslash must be a literal on DuckDB') ELSE text END",
}

_END = r"(?:\r\n|[\n\r\x{85}\x{2028}\x{2029}])?$"
"""The end of a text, or the line break before it."""

_ESCAPED = re.compile(r"\\.")
_PART = re.compile(r"\\(.)|\$(\d)|\$\{", re.DOTALL)


_JAVA_ESCAPE = re.compile(
    r"\\(?:[1-9]|[RhHvVGXNZ]|p\{(?:Alpha|Alnum|ASCII|Punct|Upper|Lower|Digit|Space|Is|java))"
)
_NAMED_GROUP = re.compile(r"(?<!\\)\(\?<(?=[A-Za-z])")
_JAVA_SYNTAX = re.compile(r"\(\?(?:[=!>]|<[=!])|[*+?}]\+|&&|\[[^\]]*\[")
"""What Java's regular expressions have and RE2's do not."""


def check_pattern(pattern: Expr | None) -> None:
    """Write a pattern as DuckDB reads it; in place. Raises ``StatementError`` for one that it would read otherwise."""
    if pattern is None or not pattern.is_string:
        return
    pattern.set("this", _NAMED_GROUP.sub("(?P<", pattern.name))
    text = pattern.name.replace("\\\\", "  ")
    found = _JAVA_ESCAPE.search(text) or _JAVA_SYNTAX.search(_ESCAPED.sub("", text))
    if found is not None:
        raise RefusedHere(
            f"the regular expression {pattern.name!r}: {found[0]!r} is not supported on DuckDB, which has no "
            "lookahead, lookbehind, back-references, possessive quantifiers and no classes within classes.",
            pattern.meta.get("start"),
        )


def refuse_empty_match(pattern: Expr, function: str) -> None:
    """Raise ``StatementError`` for a pattern that matches the empty text: Java and RE2 differ in where it does."""
    if not pattern.is_string or not pattern.name:
        return
    try:
        matches = re.search(pattern.name, "") is not None
    except re.error:
        return  # Python reads fewer patterns than RE2
    if matches:
        hint = (
            ". To find the character itself, write [|]" if "|" in pattern.name else ""
        )
        raise RefusedHere(
            f"{function}: the regular expression {pattern.name!r} matches the empty text, which is found at other "
            f"places on DuckDB{hint}.",
            pattern.meta.get("start"),
        )


def translate_pattern(function: str, pattern: Expr) -> None:
    """Translate the pattern of a function, in place."""
    check_pattern(pattern)
    if function == "split":
        refuse_empty_match(pattern, function)
    if function in _MATCHES:
        end_before_line_break(pattern)


def end_before_line_break(pattern: Expr) -> None:
    """Let ``$`` match before a line break at the end, as Java's: the answers of models often have one; in place."""
    if pattern.is_string and _ends_with_dollar(pattern.name):
        pattern.set("this", f"{pattern.name[:-1]}{_END}")


def _match(node: exp.RegexpLike) -> Expr:
    check_pattern(node.expression)
    end_before_line_break(node.expression)
    return node


def _ends_with_dollar(pattern: str) -> bool:
    before = len(pattern) - len(pattern[:-1].rstrip("\\")) - 1
    return pattern.endswith("$") and before % 2 == 0


def _check(node: Expr) -> Expr:
    check_pattern(node.args.get("expression"))
    return node


def _replace(node: exp.RegexpReplace) -> Expr:
    check_pattern(node.expression)
    refuse_empty_match(node.expression, "regexp_replace")
    replacement = node.args.get("replacement")
    if isinstance(replacement, exp.Literal):
        made = _to_re2(replacement.name, replacement)
        node.set("replacement", exp.Literal.string(made))
    elif replacement is not None:
        node.set("replacement", call("databricks__replacement", replacement.copy()))
    return node


def _to_re2(text: str, node: Expr) -> str:
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


_MATCHES = frozenset({"regexp_like", "regexp", "rlike"})
PATTERN_SECOND = frozenset(
    {"regexp_like", "regexp", "rlike", "split", "regexp_count", "regexp_instr", "regexp_substr", "regexp_extract",
     "regexp_extract_all"}
)  # fmt: skip
"""The functions whose second argument is a pattern."""

OPERATORS: dict[type[Expr], Callable[..., Expr]] = {
    exp.RegexpReplace: _replace,
    exp.RegexpLike: _match,
    exp.RegexpExtract: _check,
    exp.RegexpExtractAll: _check,
}
