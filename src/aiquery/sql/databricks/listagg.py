"""``listagg`` and ``string_agg``: the values that are joined are texts as Spark makes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from aiquery.errors import StatementError
from aiquery.sql.databricks.lambdas import call, make_lambda
from aiquery.sql.databricks.value_texts import as_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlglot.expressions import Expr

MACROS = {
    "_join_present": "(items, separator) AS CASE WHEN len(list_filter(items, lambda x: x IS NOT NULL)) > 0 "
    "THEN array_to_string(list_filter(items, lambda x: x IS NOT NULL), separator) END",
}


def translate_listagg(node: exp.GroupConcat) -> Expr:
    """Translate ``listagg``. Raises ``StatementError`` for DISTINCT without the order of the same values."""
    if isinstance(node.this, exp.Distinct):
        raise StatementError(
            "listagg(DISTINCT ..) joins the values in no certain order: add WITHIN GROUP (ORDER BY ..), or use "
            "array_join(array_sort(collect_set(..)), ..)."
        )
    ordered = node.this if isinstance(node.this, exp.Order) else None
    if ordered is not None and isinstance(ordered.this, exp.Distinct):
        return _distinct(node, ordered)
    holder = ordered or node
    holder.set("this", as_text(holder.this))
    if node.args.get("separator") is None:
        node.set("separator", exp.Literal.string(""))
    return node


def _distinct(node: exp.GroupConcat, ordered: exp.Order) -> Expr:
    """Join the distinct values in their order; DuckDB would order their texts."""
    (value,) = ordered.this.expressions
    keys = [one.this for one in ordered.expressions]
    if keys != [value]:
        raise StatementError(
            "listagg(DISTINCT ..): WITHIN GROUP must be ordered by the values that are joined. "
            "(INVALID_WITHIN_GROUP_EXPRESSION)"
        )
    items = call("list", ordered.copy())
    name = exp.to_identifier("__joined")
    texts = call(
        "list_transform", items, make_lambda(name, as_text(exp.column(name.copy())))
    )
    separator = node.args.get("separator") or exp.Literal.string("")
    return call("databricks__join_present", texts, separator.copy())


OPERATORS: dict[type[Expr], Callable[..., Expr]] = {exp.GroupConcat: translate_listagg}
