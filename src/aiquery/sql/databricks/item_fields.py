"""``items.name``, where ``items`` is an array of structs: the array of the field of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from aiquery.sql.databricks.lambdas import call, make_lambda

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlglot.expressions import Expr


def spread_fields(tree: Expr, names: Collection[str]) -> None:
    """Read the fields of some names from each item; in place.

    A name after a table's name or alias is a column and no field.
    """
    tables = {
        one.alias_or_name.lower()
        for one in tree.find_all(exp.Table, exp.Subquery, exp.CTE)
    }
    for node in reversed(list(tree.walk(bfs=False))):
        made = _read(node, names, tables)
        if made is None:
            continue
        name = node.name if isinstance(node, exp.Column) else node.expression.name
        is_item = isinstance(node.parent, exp.Select) and node.arg_key == "expressions"
        node.replace(exp.alias_(made, name, quoted=True) if is_item else made)


def _read(node: Expr, names: Collection[str], tables: Collection[str]) -> Expr | None:
    """Return a field of each item; None for another expression."""
    if isinstance(node, exp.Dot):
        is_item = isinstance(node.this, exp.Bracket)  # an item has the field itself
        has_name = node.expression.name.lower() in names
        return (
            _each(node.this.copy(), node.expression.name)
            if has_name and not is_item
            else None
        )
    if not isinstance(node, exp.Column):
        return None
    parts = node.parts
    is_qualified = parts[0].name.lower() in tables
    first = 2 if is_qualified else 1
    for position in range(first, len(parts)):
        if parts[position].name.lower() in names:
            return _fields(parts[:position], parts[position:])
    return None


def _fields(column: list[Expr], fields: list[Expr]) -> Expr:
    """Return the last of some fields of fields of an array's items."""
    keys = ("this", "table", "db", "catalog")
    parts = dict(zip(keys, reversed([one.copy() for one in column]), strict=False))
    made: Expr = exp.Column(**parts)
    for field in fields:
        made = _each(made, field.name)
    return made


def _each(items: Expr, name: str) -> Expr:
    item = exp.to_identifier("__item")
    field = call("struct_extract", exp.column(item.copy()), exp.Literal.string(name))
    return call("list_transform", items, make_lambda(item, field))
