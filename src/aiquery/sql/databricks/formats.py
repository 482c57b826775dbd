"""Formats that are constants: of numbers, dates and bytes, and format_string."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sqlglot import exp

from aiquery.errors import StatementError
from aiquery.sql.databricks.lambdas import call
from aiquery.sql.databricks.value_texts import as_text

if TYPE_CHECKING:
    from collections.abc import Callable

_NUMBER = re.compile(r"[09.,DG$SMIPR]+", re.IGNORECASE)
_SHAPE = re.compile(r"(S|MI)?\$?[09,G]*([.D][09]*)?(S|MI|PR)?", re.IGNORECASE)
MACROS = {
    "format_string": "(form, items) AS databricks_py_format_string(form, items)",
    "_number_of": "(text, form) AS databricks_py_to_number(text, form)",
}


def _format_string(node: exp.Anonymous) -> exp.Expr:
    form, *values = node.expressions
    texts = [as_text(value) for value in values]
    return call(
        "databricks_format_string",
        form,
        exp.cast(exp.Array(expressions=texts), "TEXT[]"),
    )


def _to_char(node: exp.Anonymous) -> exp.Expr:
    value, form = node.expressions
    text = _literal(node, form)
    if text.lower() in {"hex", "base64", "utf-8"}:
        return call(_BYTES[text.lower()], value)
    if _NUMBER.fullmatch(text) and _SHAPE.fullmatch(text) and re.search("[09]", text):
        return call("databricks__number_to_char", value, form)
    return exp.func("DATE_FORMAT", value, form, dialect="databricks")


def _to_number(node: exp.Anonymous) -> exp.Expr:
    return _parse_number(node, exp.Cast)


def _try_to_number(node: exp.Anonymous) -> exp.Expr:
    return exp.Try(this=_parse_number(node, exp.Cast))


def _parse_number(node: exp.Anonymous, cast: type[exp.Cast]) -> exp.Expr:
    """Return a number of as many digits as the format has."""
    value, form = node.expressions
    text = _literal(node, form).upper().replace("D", ".")
    whole, _, fraction = text.partition(".")
    scale = sum(one in "09" for one in fraction)
    digits = sum(one in "09" for one in whole) + scale
    to = exp.DataType.build(f"DECIMAL({digits}, {scale})")
    return cast(this=call("databricks__number_of", value, form), to=to)


def _literal(node: exp.Anonymous, form: exp.Expr) -> str:
    if not isinstance(form, exp.Literal):
        raise StatementError(
            f"{str(node.this).lower()}: the format must be a text literal, not {form.sql('databricks')}."
        )
    return form.name


_BYTES = {"hex": "hex", "base64": "to_base64", "utf-8": "decode"}
REWRITES: dict[str, Callable[[exp.Anonymous], exp.Expr]] = {
    "format_string": _format_string,
    "printf": _format_string,
    "to_char": _to_char,
    "to_varchar": _to_char,
    "to_number": _to_number,
    "try_to_number": _try_to_number,
}
