"""``first``, ``last``, ``any_value``, also over windows: NULL counts, unless IGNORE NULLS or an argument says not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from aiquery.errors import StatementError
from aiquery.sql.databricks.lambdas import call
from aiquery.sql.databricks.nulls import is_not_null

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlglot.expressions import Expr

_FIRST = (exp.First, exp.FirstValue, exp.AnyValue)
_LAST = (exp.Last, exp.LastValue)


def _is_window(node: Expr) -> bool:
    parent = node.parent
    while isinstance(parent, exp.IgnoreNulls | exp.RespectNulls | exp.Filter):
        parent = parent.parent
    return isinstance(parent, exp.Window)


def _value(node: Expr) -> Expr:
    """Translate one that is not in IGNORE NULLS."""
    if isinstance(node.parent, exp.IgnoreNulls):
        return node
    if isinstance(node, exp.FirstValue | exp.LastValue) and _is_window(node):
        return node
    return call("first" if isinstance(node, _FIRST) else "last", node.this)


def _ignore_nulls(node: Expr) -> Expr:
    inner = node.this
    if not isinstance(inner, (*_FIRST, *_LAST)):
        return node
    is_first = isinstance(inner, _FIRST)
    if _is_window(node):
        node.set(
            "this", (exp.FirstValue if is_first else exp.LastValue)(this=inner.this)
        )
        return node
    if is_first:
        return call("any_value", inner.this)
    if isinstance(node.parent, exp.Filter):
        raise StatementError(
            "last with IGNORE NULLS and FILTER is not supported on DuckDB; put the condition in WHERE."
        )
    there = exp.Where(this=is_not_null(inner.this))
    return exp.Filter(this=call("last", inner.this), expression=there)


OPERATORS: dict[type[Expr], Callable[..., Expr]] = {
    **dict.fromkeys((*_FIRST, *_LAST), _value),
    exp.IgnoreNulls: _ignore_nulls,
}
