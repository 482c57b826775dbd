"""Materialize the result of a statement as a relation in memory: reading it again sends no request."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

import duckdb

from aiquery.engines.duckdb.query_parts import has_returning
from aiquery.engines.duckdb.variables import run_with
from aiquery.requests.sql_types import quote_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    from aiquery.engines.duckdb.settings import Settings

_LOSSY = (
    "HUGEINT",
    "UUID",
    "JSON",
    "BIT",
    "TIME WITH TIME ZONE",
    "BIGNUM",
    "VARIANT",
    "GEOMETRY",
)
"""Types that change on their way through Arrow, unless arrow_lossless_conversion is on."""


def materialize(
    raw: duckdb.DuckDBPyConnection,
    sql: str,
    settings: Settings,
    variables: Mapping[str, Any],
    params: object = None,
) -> duckdb.DuckDBPyRelation | None:
    """Run a statement and return its rows, with DuckDB's names and types; None for a statement without rows."""
    run = raw.sql if params is None else partial(raw.sql, params=params)
    relation: duckdb.DuckDBPyRelation | None = run_with(variables, run, sql)
    if relation is None:
        return None
    is_lossy = any(name in str(kind) for kind in relation.types for name in _LOSSY)
    lossless = settings.change("arrow_lossless_conversion", value=True)
    with lossless if is_lossy else nullcontext():
        table = relation.to_arrow_table()
    if table.column_names == ["Count"] and _writes(sql) and not has_returning(sql):
        return None  # DuckDB's count of written rows, not rows of the statement
    return _restore_types(raw, table, relation)


def _restore_types(
    raw: duckdb.DuckDBPyConnection, table: pa.Table, relation: duckdb.DuckDBPyRelation
) -> duckdb.DuckDBPyRelation:
    """Return a table with the names and types of a relation: an ENUM, a TUPLE, two columns of one name."""
    names = relation.columns
    types = relation.types
    numbered = [f"c{i}" for i in range(len(names))]
    made = raw.from_arrow(table.rename_columns(numbered))
    if made.types == types and len(set(names)) == len(names):
        return raw.from_arrow(table)
    projections = []
    for column, name, before, after in zip(
        numbered, names, made.types, types, strict=True
    ):
        value = column if before == after else f"CAST({column} AS {after})"
        projections.append(f"{value} AS {quote_name(name)}")
    return made.project(", ".join(projections))


def _writes(sql: str) -> bool:
    kinds = duckdb.StatementType
    kind = duckdb.extract_statements(sql)[0].type
    return kind not in {kinds.SELECT, kinds.EXECUTE, kinds.EXPLAIN}
