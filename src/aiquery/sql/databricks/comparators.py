"""``array_sort(items, (a, b) -> ..)``: each item's place is the number of items that come before it.

The comparison is made for each pair: n items cost n * n of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from aiquery.sql.databricks.lambdas import apply, call, make_lambda

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlglot.expressions import Expr

MACROS = {
    "_comparison": "(value) AS CASE WHEN value IS NULL "
    "THEN error('array_sort: the comparison of two items is NULL (COMPARATOR_RETURNS_NULL)') ELSE value END",
}
_ITEM, _PLACE = "__item", "__place"
_OTHER, _OTHER_PLACE = "__other", "__other_place"


def sort_by(node: exp.ArraySort) -> Expr:
    """Return an array sorted by a comparator; items that are equal keep their order, as on Spark."""
    function = node.expression
    if not isinstance(function, exp.Lambda):
        return node
    items = node.this.copy()
    compared = apply(function, [exp.column(_OTHER), exp.column(_ITEM)])
    order = call("databricks__comparison", compared)
    zero = exp.Literal.number(0)
    is_tie = exp.and_(
        exp.EQ(this=order.copy(), expression=zero.copy()),
        exp.LT(this=exp.column(_OTHER_PLACE), expression=exp.column(_PLACE)),
    )
    before = exp.or_(exp.LT(this=order, expression=zero), exp.paren(is_tie))
    rank = call(
        "len", call("list_filter", items.copy(), _lambda(_OTHER, _OTHER_PLACE, before))
    )
    ranked = exp.Struct(
        expressions=[
            exp.PropertyEQ(this=exp.to_identifier("rank"), expression=rank),
            exp.PropertyEQ(
                this=exp.to_identifier("item"), expression=exp.column(_ITEM)
            ),
        ]
    )
    rank_item = _lambda(_ITEM, _PLACE, ranked)
    pairs = call("list_transform", items, rank_item)
    pair = exp.to_identifier("__pair")
    item = call("struct_extract", exp.column(pair.copy()), exp.Literal.string("item"))
    return call("list_transform", call("list_sort", pairs), make_lambda(pair, item))


def _lambda(item: str, place: str, body: Expr) -> exp.Lambda:
    names = list(map(exp.to_identifier, (item, place)))
    return exp.Lambda(this=body, expressions=names)


OPERATORS: dict[type[Expr], Callable[..., Expr]] = {exp.ArraySort: sort_by}
