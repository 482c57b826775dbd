"""``SELECT f(x) AS r, r.score``: DuckDB takes ``r`` for a table, where it is an alias of the same SELECT."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

if TYPE_CHECKING:
    from sqlglot.expressions import Expr


def field_of_alias(column: exp.Column) -> Expr | None:
    """Return ``(r).score`` for ``r.score``, if an earlier item of the SELECT is named r; None for another column."""
    first, *fields = column.parts
    if not fields or isinstance(column.this, exp.Star):
        return None
    select = column.find_ancestor(exp.Select)
    item: Expr = column
    while item.parent is not None and item.parent is not select:
        item = item.parent
    if select is None or item.arg_key != "expressions":
        return None
    earlier = select.expressions[: item.index]
    if first.name.lower() not in {one.alias.lower() for one in earlier if one.alias}:
        return None
    if first.name.lower() in _names_of_tables(select):
        return None
    made: Expr = exp.paren(exp.column(first.copy()))
    for field in fields:
        made = exp.Dot(this=made, expression=field.copy())
    return made


def _names_of_tables(select: exp.Select) -> set[str]:
    from_ = select.args.get("from_")
    joins = [join.this for join in select.args.get("joins") or ()]
    found = select.args.get("laterals")
    laterals = list(found or ())
    sources = ([] if from_ is None else [from_.this]) + joins + laterals
    return {source.alias_or_name.lower() for source in sources}
