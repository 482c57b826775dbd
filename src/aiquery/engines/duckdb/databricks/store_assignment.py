"""INSERT converts the rows of its query to the types of the table as Spark does: by CAST of Databricks SQL.

DuckDB's own conversion rounds a number for an INT, writes other texts of numbers and times, and takes the fields of a
struct by their names, which DuckDB 2.0 cannot do for every order of the fields: it closes the database.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb
from sqlglot import exp

from aiquery.sql.databricks.tables import use_main
from aiquery.sql.databricks.translate import query_to_duckdb

if TYPE_CHECKING:
    from aiquery.engines.duckdb.databricks.session import DatabricksSession

_WHOLE = frozenset({"TINYINT", "SMALLINT", "INTEGER", "BIGINT"})


def convert_rows(session: DatabricksSession, insert: exp.Insert) -> exp.Insert:
    """Return an INSERT whose query gives the types of the table, if DuckDB would convert them otherwise.

    The variables of the session are marked in ``insert``. One that DuckDB cannot describe is returned as it is: running
    it raises the error.
    """
    query = insert.expression
    if insert.args.get("by_name") or not isinstance(query, exp.Query | exp.Values):
        return insert
    targets = _describe(session, _rows_of_table(insert))
    if isinstance(query, exp.Values):
        rows: exp.Expr = _cast_values(query, targets)
    else:
        rows = _cast_columns(query, _describe(session, query), targets)
    made = insert.copy()
    made.set("expression", rows)
    return made


def _rows_of_table(insert: exp.Insert) -> exp.Select:
    """Return a query of the columns that an INSERT fills."""
    target = insert.this
    names = target.expressions if isinstance(target, exp.Schema) else []
    table = (target.this if isinstance(target, exp.Schema) else target).copy()
    use_main(table)
    columns: list[exp.Expr] = [exp.column(one.copy()) for one in names]
    return exp.select(*(columns or [exp.Star()])).from_(table)


def _describe(session: DatabricksSession, query: exp.Expr) -> list[str]:
    """Return DuckDB's names of the types of a query's columns; none if it does not bind."""
    text = query_to_duckdb(query)
    session.create_macros(text)
    try:
        rows = session.raw.execute(f"DESCRIBE {text}").fetchall()
    except duckdb.Error:
        return []
    return [str(row[1]) for row in rows]


def _cast_values(values: exp.Values, targets: list[str]) -> exp.Values:
    """Return VALUES whose items are cast, but for DEFAULT and literals of the same kind."""
    made = values.copy()
    for row in made.expressions:
        items = row.expressions if isinstance(row, exp.Tuple) else [row]
        if len(items) != len(targets):
            return values
        for item, target in zip(list(items), targets, strict=True):
            if _needs_cast(item, target):
                item.replace(_cast(item, target))
    return made


def _needs_cast(item: exp.Expr, target: str) -> bool:
    is_default = item.sql("databricks").upper() == "DEFAULT"
    if is_default or isinstance(item, exp.Null):
        return False
    if isinstance(item, exp.Literal):
        is_same = item.is_string if target == "VARCHAR" else item.is_int
        return not is_same and target in {*_WHOLE, "VARCHAR"}
    return target in {*_WHOLE, "VARCHAR"} or "STRUCT(" in target


def _cast_columns(query: exp.Expr, sources: list[str], targets: list[str]) -> exp.Expr:
    """Return a query whose columns are cast, where DuckDB would convert one otherwise."""
    if len(sources) != len(targets) or not any(map(_differs, sources, targets)):
        return query
    names = [f"c{index}" for index in range(len(sources))]
    alias = exp.TableAlias(
        this=exp.to_identifier("aiquery_rows"),
        columns=[exp.to_identifier(name) for name in names],
    )
    rows = exp.Subquery(this=query.copy())
    rows.set("alias", alias)
    items: list[exp.Expr] = []
    for name, source, target in zip(names, sources, targets, strict=True):
        column = exp.column(name)
        value = _cast(column, target) if _differs(source, target) else column
        items.append(exp.alias_(value, name))
    return exp.select(*items).from_(rows)


def _cast(value: exp.Expr, target: str) -> exp.Cast:
    return exp.cast(value.copy(), exp.DataType.build(target, dialect="duckdb"))


def _differs(source: str, target: str) -> bool:
    """Return True if DuckDB converts a type to another one otherwise than Spark."""
    if source in {target, '"NULL"'}:
        return False
    if target in _WHOLE:
        return source not in {*_WHOLE, "BOOLEAN"}
    if target == "VARCHAR":
        return source not in {*_WHOLE, "DATE", "BOOLEAN"}
    return "STRUCT(" in target and "STRUCT(" in source
