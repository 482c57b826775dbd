"""Is a name a column where a statement has it, or a session variable? A column comes first, as on Spark."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from aiquery.engines.duckdb.databricks.table_types import describe

if TYPE_CHECKING:
    from collections.abc import Callable

    import duckdb
    from sqlglot.expressions import Expr

_CHANGES = exp.Update | exp.Delete | exp.Merge | exp.Insert


def is_column(
    raw: duckdb.DuckDBPyConnection, column: exp.Column, register: Callable[[str], None]
) -> bool:
    """Return True if a table, an alias or a parameter of a function around a name has it.

    ``register`` is called with the text of a query before it is described; nothing is sent.
    """
    name = column.parts[0].name.lower()
    node: Expr = column
    while (parent := node.parent) is not None:
        if isinstance(parent, exp.Create) and name in _parameters(parent):
            return True
        if isinstance(parent, exp.Select):
            if _is_alias(parent, name, node) or _has(raw, parent, column, register):
                return True
        elif isinstance(parent, _CHANGES) and _changes(raw, parent, column, register):
            return True
        node = parent
    return False


def _parameters(tree: exp.Create) -> set[str]:
    function = tree.this
    if not isinstance(function, exp.UserDefinedFunction):
        return set()
    parameters = function.expressions
    return {one.name.lower() for one in parameters}


def _is_alias(select: exp.Select, name: str, inside: Expr) -> bool:
    return any(
        isinstance(item, exp.Alias)
        and item.alias.lower() == name
        and item is not inside
        for item in select.expressions
    )


def _has(
    raw: duckdb.DuckDBPyConnection,
    select: exp.Select,
    column: exp.Column,
    register: Callable[[str], None],
) -> bool:
    if select.args.get("from_") is None:
        return False
    probe = exp.Select(expressions=[column.copy()])
    for part in ("from_", "joins", "laterals"):
        value = select.args.get(part)
        if value is not None:
            copies = (
                [one.copy() for one in value]
                if isinstance(value, list)
                else value.copy()
            )
            probe.set(part, copies)
    return _binds(raw, probe, select, register)


def _changes(
    raw: duckdb.DuckDBPyConnection,
    tree: Expr,
    column: exp.Column,
    register: Callable[[str], None],
) -> bool:
    """Return True if the table that a statement changes, or one that it reads beside it, has the column."""
    tables = [tree.this, tree.args.get("using")]
    for table in tables:
        if isinstance(table, exp.Table | exp.Subquery):
            probe = exp.select(column.copy()).from_(table.copy())
            if _binds(raw, probe, tree, register):
                return True
    return False


def _binds(
    raw: duckdb.DuckDBPyConnection,
    probe: exp.Select,
    at: Expr,
    register: Callable[[str], None],
) -> bool:
    """Return True if DuckDB finds the column of a query, which sees the CTEs that its place sees."""
    ctes: list[Expr] = []
    node: Expr | None = at
    while node is not None:
        with_ = node.args.get("with_")
        if with_ is not None:
            ctes[:0] = [one.copy() for one in with_.expressions]
        node = node.parent
    if ctes:
        probe.set("with_", exp.With(expressions=ctes))
    return bool(describe(raw, probe, register))
