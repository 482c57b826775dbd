"""The result of a statement as a relation in memory: it is shown, and read again, without asking again."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import duckdb
from aiquery.engines.duckdb.query_parts import says_returning
from aiquery.engines.duckdb.variables import run_with

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
"""Types that are others after they went through Arrow, unless arrow_lossless_conversion is on."""


def materialised(
    raw: duckdb.DuckDBPyConnection,
    sql: str,
    settings: Settings,
    variables: Mapping[str, Any],
) -> duckdb.DuckDBPyRelation | None:
    """Run a statement and return its rows, with the names and types that DuckDB gives them; None for one without."""
    relation: duckdb.DuckDBPyRelation | None = run_with(variables, raw.sql, sql)
    if relation is None:
        return None
    lossy = any(name in str(kind) for kind in relation.types for name in _LOSSY)
    with (
        settings.meanwhile("arrow_lossless_conversion", value=True)
        if lossy
        else nullcontext()
    ):
        table = relation.to_arrow_table()
    if table.column_names == ["Count"] and _writes(sql) and not says_returning(sql):
        return None  # DuckDB's word on a statement that has no rows of its own
    return _as_it_was(raw, table, relation)


def _as_it_was(
    raw: duckdb.DuckDBPyConnection, table: pa.Table, relation: duckdb.DuckDBPyRelation
) -> duckdb.DuckDBPyRelation:
    """Return an Arrow table with the names and types of a relation: an ENUM, a TUPLE, two columns of one name."""
    names, types = relation.columns, relation.types
    made = raw.from_arrow(
        table.rename_columns([f"c{i}" for i in range(table.num_columns)])
    )
    if made.types == types and len(set(names)) == len(names):
        return raw.from_arrow(table)
    back = made.types
    columns = [
        f"c{i}" if back[i] == types[i] else f"CAST(c{i} AS {types[i]})"
        for i in range(len(names))
    ]
    quoted = ['"{}"'.format(name.replace('"', '""')) for name in names]
    return made.project(
        ", ".join(
            f"{column} AS {name}" for column, name in zip(columns, quoted, strict=True)
        )
    )


def _writes(sql: str) -> bool:
    kinds = duckdb.StatementType
    return duckdb.extract_statements(sql)[0].type not in {
        kinds.SELECT,
        kinds.EXECUTE,
        kinds.EXPLAIN,
    }
