"""``max``, ``min``, ``max_by`` and ORDER BY of ``struct(..)``: a field that is NULL comes first, as on Spark.

DuckDB sorts a NULL within a struct last. Each field gets a flag before it, which sorts as Spark does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from aiquery.sql.databricks.lambdas import call, struct_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlglot.expressions import Expr


def order_key(value: Expr) -> Expr:
    """Return what a value is ordered by: flags and fields of ``struct(..)``, any other value itself."""
    if not isinstance(value, exp.Struct):
        return value
    names: list[str] = []
    fields: list[Expr] = []
    for position, item in enumerate(value.expressions):
        field = order_key(_value_of(item))
        is_null = exp.Is(this=field.copy(), expression=exp.null())
        names += [f"p{position}", f"v{position}"]
        fields += [exp.not_(is_null), field.copy()]
    return struct_of(names, fields)


def _value_of(item: Expr) -> Expr:
    value = item.expression if isinstance(item, exp.PropertyEQ) else item.unalias()
    made: Expr = value
    return made


def _highest(node: exp.Max | exp.Min) -> Expr:
    value = node.this
    if not isinstance(value, exp.Struct) or node.expressions:
        return node
    name = "arg_max" if isinstance(node, exp.Max) else "arg_min"
    key = order_key(value)
    return call(name, value.copy(), key)


def _ordered(node: exp.Ordered) -> Expr:
    key = order_key(node.this)
    node.set("this", key.copy())
    return node


OPERATORS: dict[type[Expr], Callable[..., Expr]] = {
    exp.Max: _highest,
    exp.Min: _highest,
    exp.Ordered: _ordered,
}
