"""A text beside a number is a number, as in Spark's ANSI mode: whole beside a whole number, otherwise a DOUBLE."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from aiquery.sql.databricks.lambdas import call
from aiquery.sql.databricks.value_texts import is_text

if TYPE_CHECKING:
    from sqlglot.expressions import Expr

COMPARISONS = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.NullSafeEQ)
_PARTS = frozenset(
    {"databricks__part", "databricks__json_object_part", "databricks_split_part", "databricks_substring_index"}
)  # fmt: skip
"""Functions whose result is a text, beside those that ``is_text`` knows."""


MACROS = {
    "_beside": "(value, k BIGINT) AS databricks__strict_whole(value)::BIGINT, (value, k) AS value::DOUBLE",
}


def coerce_operands(node: exp.Binary) -> None:
    """Let a text beside a number be a number; in place.

    A column beside a number is left: its type is not known, and DuckDB refuses it if it is a text.
    """
    for side, other in (("this", "expression"), ("expression", "this")):
        text, number = node.args[side], node.args[other]
        if is_certain_text(text) and not is_certain_text(number):
            made = _as_number_beside(text, number, node)
            node.set(side, text if made is None else made)


def _as_number_beside(text: Expr, other: Expr, node: exp.Binary) -> Expr | None:
    number = _literal_number(other)
    if isinstance(node, exp.Div) or (number is not None and not number.isdigit()):
        return exp.cast(text.copy(), "DOUBLE")
    if number is not None:
        return exp.cast(call("databricks__strict_whole", text.copy()), "BIGINT")
    if isinstance(node, COMPARISONS) or isinstance(other, exp.Interval):
        return None
    return call("databricks__beside", text.copy(), other.copy())


def translate_comparison(node: exp.Binary) -> Expr:
    """Translate ``=``, ``<`` and the like."""
    coerce_operands(node)
    return node


def is_certain_text(node: Expr) -> bool:
    """Return True for an expression that is certainly a text."""
    while isinstance(node, exp.Paren):
        node = node.this
    if isinstance(node, exp.RegexpExtract):
        return True
    is_part = isinstance(node, exp.Anonymous) and str(node.this).lower() in _PARTS
    return is_part or is_text(node)


def as_double(node: Expr) -> Expr:
    """Return the argument of an aggregate of numbers: a text is a DOUBLE."""
    return exp.cast(node.copy(), "DOUBLE") if is_certain_text(node) else node


def _literal_number(node: Expr) -> str | None:
    while isinstance(node, exp.Paren | exp.Neg):
        node = node.this
    is_number = isinstance(node, exp.Literal) and not node.is_string
    return node.name if is_number else None
