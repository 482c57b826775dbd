"""INSERT, UPDATE and MERGE convert values to the types of the table as Spark does: by CAST of Databricks SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from sqlglot import exp

from aiquery.engines.duckdb.databricks.assignments import convert_merge, convert_update
from aiquery.engines.duckdb.databricks.bindings import Bindings
from aiquery.engines.duckdb.databricks.table_types import (
    TableTypes,
    cast_to,
    differs,
    needs_cast,
)
from aiquery.sql.databricks.tables import use_main
from aiquery.sql.databricks.translate import query_to_duckdb

if TYPE_CHECKING:
    from sqlglot.expressions import Expr

    from aiquery.engines.duckdb.databricks.session import DatabricksSession


BY_NAME: Literal["by name"] = "by name"
Columns = tuple[str, ...] | Literal["by name"] | None


def convert_written(session: DatabricksSession, tree: Expr, bindings: Bindings) -> Expr:
    """Return a statement with casts around the values that it writes, where DuckDB would convert them otherwise.

    The variables of the session are marked in ``tree``. A statement that DuckDB cannot describe, or that writes
    nothing, is returned as it is: running it raises the error.
    """
    types = TableTypes(session, bindings)
    match tree:
        case exp.Insert():
            return _convert_insert(types, tree)
        case exp.Update():
            return convert_update(types, tree)
        case exp.Merge():
            return convert_merge(types, tree)
    return tree


def insert_rows(
    session: DatabricksSession, target: exp.Table, source: str, columns: Columns
) -> None:
    """Insert the rows of a table into another one, with the types that it has.

    columns   the names of the columns that are filled, ``BY_NAME``, or None for all by position
    """
    into: Expr = target.copy()
    if isinstance(columns, tuple):
        names = [exp.to_identifier(name, quoted=True) for name in columns]
        into = exp.Schema(this=into, expressions=names)
    rows = exp.select("*").from_(source)
    insert = exp.Insert(this=into, expression=rows, by_name=columns == BY_NAME)
    made = _convert_insert(TableTypes(session, Bindings()), insert)
    session.execute(query_to_duckdb(made))


def _convert_insert(types: TableTypes, insert: exp.Insert) -> exp.Insert:
    query = insert.expression
    if not isinstance(query, exp.Query | exp.Values):
        return insert
    targets = types.describe(_rows_of_table(insert))
    if isinstance(query, exp.Values):
        rows: Expr = _cast_values(query, [kind for _, kind in targets])
    else:
        sources = types.describe(query)
        if insert.args.get("by_name"):
            kinds = {name.lower(): kind for name, kind in targets}
            targets = [(name, kinds.get(name.lower(), kind)) for name, kind in sources]
        else:
            sources = [(f"c{at}", kind) for at, (_, kind) in enumerate(sources)]
        rows = _cast_columns(query, sources, targets)
    made = insert.copy()
    made.set("expression", rows)
    return made


def _rows_of_table(insert: exp.Insert) -> exp.Select:
    """Return a query of the columns that an INSERT fills."""
    target = insert.this
    names: list[Expr] = []
    if isinstance(target, exp.Schema):
        names = target.expressions
        target = target.this
    table = target.copy()
    use_main(table)
    columns: list[Expr] = [exp.column(one.copy()) for one in names]
    return exp.select(*(columns or [exp.Star()])).from_(table)


def _cast_values(values: exp.Values, targets: list[str]) -> exp.Values:
    """Return VALUES whose items are cast, but for DEFAULT and literals of the same kind."""
    made = values.copy()
    for row in made.expressions:
        items = row.expressions if isinstance(row, exp.Tuple) else [row]
        if len(items) != len(targets):
            return values
        for item, target in zip(list(items), targets, strict=True):
            if needs_cast(item, target):
                item.replace(cast_to(item, target))
    return made


def _cast_columns(
    query: Expr, sources: list[tuple[str, str]], targets: list[tuple[str, str]]
) -> Expr:
    """Return a query whose columns are cast, where DuckDB would convert one otherwise.

    sources  the type of each column, and the name that it has afterwards
    targets  the column of the table for each of them
    """
    if len(sources) != len(targets):
        return query
    kinds = [
        (name, kind, to) for (name, kind), (_, to) in zip(sources, targets, strict=True)
    ]
    if not any(differs(source, target) for _, source, target in kinds):
        return query
    names = [name for name, _ in sources]
    rows = exp.alias_(exp.Subquery(this=query), "aiquery_rows", names, quoted=True)
    items: list[Expr] = []
    for name, source, target in kinds:
        column = exp.column(name, quoted=True)
        value: Expr = column
        if differs(source, target):
            value = cast_to(column, target)
        item = exp.alias_(value, name, quoted=True)
        items.append(item)
    return exp.select(*items).from_(rows)
