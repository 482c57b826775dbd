"""``array_sort(items, (a, b) -> ..)``: each item's place is the number of items that come before it.

The comparison is made for each pair: n items cost n * n of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from aiquery.sql.databricks.lambdas import apply, call, let, make_lambda, struct_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlglot.expressions import Expr

MACROS = {
    "_comparison": "(value) AS CASE WHEN value IS NULL "
    "THEN error('array_sort: the comparison of two items is NULL (COMPARATOR_RETURNS_NULL)') ELSE value END",
}


def sort_by(node: exp.ArraySort) -> Expr:
    """Return an array sorted by a comparator; items that are equal keep their order, as on Spark."""
    function = node.expression
    if not isinstance(function, exp.Lambda):
        return node
    names = _Names(node.depth)
    return let(names.items, node.this, lambda items: _sort(items, function, names))


class _Names:
    """The parameters of the lambdas of one sort: the items, one of them and its place, another one and its place."""

    def __init__(self, depth: int) -> None:
        self.items = f"__items_{depth}"
        self.item = f"__item_{depth}"
        self.place = f"__place_{depth}"
        self.other = f"__other_{depth}"
        self.other_place = f"__other_place_{depth}"


def _sort(items: Expr, function: exp.Lambda, names: _Names) -> Expr:
    before = _lambda(names.other, names.other_place, _comes_before(function, names))
    rank = call("len", call("list_filter", items.copy(), before))
    item = exp.column(names.item)
    ranked = struct_of(["rank", "item"], [rank, item])
    pairs = call("list_transform", items, _lambda(names.item, names.place, ranked))
    pair = exp.to_identifier("__pair")
    ranked_item = exp.Dot(
        this=exp.column(pair.copy()), expression=exp.to_identifier("item")
    )
    return call(
        "list_transform", call("list_sort", pairs), make_lambda(pair, ranked_item)
    )


def _comes_before(function: exp.Lambda, names: _Names) -> Expr:
    """Return the condition that another item comes before an item."""
    values = list(map(exp.column, (names.other, names.item)))
    order = call("databricks__comparison", apply(function, values))
    zero = exp.Literal.number(0)
    is_earlier = exp.LT(
        this=exp.column(names.other_place), expression=exp.column(names.place)
    )
    is_equal = exp.EQ(this=order.copy(), expression=zero.copy())
    is_less = exp.LT(this=order, expression=zero)
    return exp.or_(is_less, exp.paren(exp.and_(is_equal, is_earlier)))


def _lambda(item: str, place: str, body: Expr) -> exp.Lambda:
    names = list(map(exp.to_identifier, (item, place)))
    return exp.Lambda(this=body, expressions=names)


OPERATORS: dict[type[Expr], Callable[..., Expr]] = {exp.ArraySort: sort_by}
