"""The types of a table's columns, and where DuckDB converts a value to one of them otherwise than Spark.

DuckDB's own conversion rounds a number for an INT, writes other texts of numbers and times, and takes the fields of a
struct by their names, which DuckDB 2.0 cannot do for every order of the fields: it closes the database.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import duckdb
from sqlglot import exp

from aiquery.sql.databricks.translate import query_to_duckdb

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlglot.expressions import Expr

    from aiquery.engines.duckdb.databricks.bindings import Bindings
    from aiquery.engines.duckdb.databricks.session import DatabricksSession

_WHOLE = frozenset({"TINYINT", "SMALLINT", "INTEGER", "BIGINT"})


def describe(
    raw: duckdb.DuckDBPyConnection,
    query: Expr,
    create_macros: Callable[[str], None],
    params: Mapping[str, Any] | None = None,
) -> list[tuple[str, str]]:
    """Return the name and type of each column of a query; none if it does not bind. Nothing is sent.

    create_macros  creates the macros that a text calls
    """
    text = query_to_duckdb(query)
    create_macros(text)
    try:
        rows = raw.execute(f"DESCRIBE {text}", params).fetchall()
    except duckdb.Error:
        return []
    return [(str(row[0]), str(row[1])) for row in rows]


@dataclass(frozen=True, slots=True)
class TableTypes:
    """Describes the queries of one statement, with its parameters."""

    session: DatabricksSession
    bindings: Bindings

    def describe(self, query: Expr) -> list[tuple[str, str]]:
        """Return the name and type of each column; none if the query does not bind."""
        session = self.session
        params = self.bindings.used_by(query)
        return describe(session.raw, query, session.create_macros, params)


def cast_to(value: Expr, target: str) -> exp.Cast:
    """Return CAST of Databricks SQL to a type that DuckDB named."""
    return exp.cast(value.copy(), exp.DataType.build(target, dialect="duckdb"))


def needs_cast(value: Expr, target: str) -> bool:
    """Return True for an expression that DuckDB may convert otherwise; its type is not known."""
    is_default = value.sql("databricks").upper() == "DEFAULT"
    if is_default or isinstance(value, exp.Null):
        return False
    if isinstance(value, exp.Literal):
        is_same = value.is_string if target == "VARCHAR" else value.is_int
        return not is_same and target in {*_WHOLE, "VARCHAR"}
    return target in {*_WHOLE, "VARCHAR"} or _is_nested(target)


def differs(source: str, target: str) -> bool:
    """Return True if DuckDB converts a type to another one otherwise than Spark."""
    if source in {target, '"NULL"'}:
        return False
    if target in _WHOLE:
        return source not in {*_WHOLE, "BOOLEAN"}
    if target == "VARCHAR":
        return source not in {*_WHOLE, "DATE", "BOOLEAN"}
    return _is_nested(target) and _is_nested(source)


def _is_nested(kind: str) -> bool:
    return kind.endswith("]") or kind.startswith(("STRUCT(", "MAP("))
