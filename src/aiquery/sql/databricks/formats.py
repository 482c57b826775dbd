"""Formats that are constants: of numbers, dates and bytes, and format_string."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sqlglot import exp

from aiquery.errors import StatementError
from aiquery.sql.databricks.date_patterns import format_time
from aiquery.sql.databricks.lambdas import call
from aiquery.sql.databricks.value_texts import as_text, is_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlglot.expressions import Expr

_NUMBER = re.compile(r"[09.,DG$SMIPR]+", re.IGNORECASE)
_SHAPE = re.compile(r"(S|MI)?\$?[09,G]*([.D][09]*)?(S|MI|PR)?", re.IGNORECASE)
MACROS = {
    "format_string": "(form, items) AS databricks_py_format_string(form, items)",
    # Java shows the internal form of these values: days since 1970, the address of an array.
    "_formatted": "(value) AS CASE WHEN typeof(value) IN ('DATE', 'TIME', 'BLOB') OR typeof(value) LIKE 'TIMESTAMP%' "
    "OR typeof(value) LIKE '%]' OR typeof(value) LIKE '%)' AND typeof(value) NOT LIKE 'DECIMAL%' "
    "THEN error('format_string: %s of a ' || typeof(value) || ' is not supported on DuckDB; use CAST(.. AS STRING)') "
    "ELSE databricks__other_text(value) END",
    "_whole_text": "(value) AS CASE WHEN typeof(value) IN ('TINYINT', 'SMALLINT', 'INTEGER', 'BIGINT', 'HUGEINT') "
    "THEN value::VARCHAR ELSE error('format_string: %d takes a whole number, not ' || typeof(value)) END",
    "_fixed_text": "(value, digits) AS printf('%.' || digits || 'f', round(value::DOUBLE, digits))",
    "_number_of": "(text, form) AS databricks_py_to_number(text, form)",
}


_PIECE = re.compile(r"%(?:(s)|(d)|\.(\d)f|(%)|(n))")
"""The specifiers that SQL writes: ``%s``, ``%d``, ``%.2f``, ``%%`` and ``%n``."""


def _format_string(node: exp.Anonymous) -> Expr:
    form, *values = node.expressions
    pieces = _split(form.name, values) if form.is_string else None
    if pieces is not None:
        return call("concat", *pieces)
    texts = [
        value if is_text(value) else call("databricks__formatted", value)
        for value in values
    ]
    return call(
        "databricks_format_string",
        form,
        exp.cast(exp.Array(expressions=texts), "TEXT[]"),
    )


def _split(form: str, values: list[Expr]) -> list[Expr] | None:
    """Return the parts of a format as texts; None if it has a specifier that only Python writes."""
    if "%" in _PIECE.sub("", form):
        return None
    pieces: list[Expr] = []
    left = list(values)
    end = 0
    for match in _PIECE.finditer(form):
        pieces.append(exp.Literal.string(form[end : match.start()]))
        end = match.end()
        if match[4] or match[5]:
            pieces.append(exp.Literal.string("%" if match[4] else "\n"))
        elif left:
            piece = _write(match, left.pop(0))
            pieces.append(piece)
        else:
            return None
    return None if left else [*pieces, exp.Literal.string(form[end:])]


def _write(match: re.Match[str], value: Expr) -> Expr:
    """Return the text of a value; that of NULL is null, as Java's."""
    if match[1]:
        text = as_text(value)
        if text is not value:
            text = call("databricks__formatted", value.copy())
    elif match[2]:
        text = call("databricks__whole_text", value.copy())
    else:
        digits = exp.Literal.number(match[3])
        text = call("databricks__fixed_text", value.copy(), digits)
    # Java cuts the word for NULL to the digits of a number.
    shown = "null"[: int(match[3])] if match[3] else "null"
    return exp.func("coalesce", text, exp.Literal.string(shown))


def _to_char(node: exp.Anonymous) -> Expr:
    value, form = node.expressions
    text = _literal(node, form)
    if text.lower() in {"hex", "base64", "utf-8"}:
        return call(_BYTES[text.lower()], value)
    if _NUMBER.fullmatch(text) and _SHAPE.fullmatch(text) and re.search("[09]", text):
        return call("databricks__number_to_char", value, form)
    return format_time(value, form, node)


def _to_number(node: exp.Anonymous) -> Expr:
    return _parse_number(node, exp.Cast)


def _try_to_number(node: exp.Anonymous) -> Expr:
    number = _parse_number(node, exp.Cast)
    return exp.Try(this=number)


def _parse_number(node: exp.Anonymous, cast: type[exp.Cast]) -> Expr:
    """Return a number of as many digits as the format has."""
    value, form = node.expressions
    text = _literal(node, form).upper().replace("D", ".")
    whole, _, fraction = text.partition(".")
    scale = sum(one in "09" for one in fraction)
    digits = sum(one in "09" for one in whole) + scale
    to = exp.DataType.build(f"DECIMAL({digits}, {scale})")
    return cast(this=call("databricks__number_of", value, form), to=to)


def _literal(node: exp.Anonymous, form: Expr) -> str:
    if not isinstance(form, exp.Literal):
        raise StatementError(
            f"{str(node.this).lower()}: the format must be a text literal, not {form.sql('databricks')}."
        )
    return form.name


_BYTES = {"hex": "hex", "base64": "to_base64", "utf-8": "decode"}
REWRITES: dict[str, Callable[[exp.Anonymous], Expr]] = {
    "format_string": _format_string,
    "printf": _format_string,
    "to_char": _to_char,
    "to_varchar": _to_char,
    "to_number": _to_number,
    "try_to_number": _try_to_number,
}
