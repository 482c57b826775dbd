"""COPY INTO: load the files that were not loaded before. A table of the same database lists those that were."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
from sqlglot import exp

from aiquery.engines.duckdb.databricks.store_assignment import BY_NAME, insert_rows
from aiquery.engines.duckdb.databricks.write import STAGED, one_transaction, stage
from aiquery.errors import StatementError
from aiquery.requests.sql_types import quote_name
from aiquery.sql.databricks.files import Files, as_subquery, expand, has_header
from aiquery.sql.databricks.statements.copy_into import FILES

if TYPE_CHECKING:
    import duckdb
    from sqlglot.expressions import Expr

    from aiquery.engines.duckdb.databricks.bindings import Bindings
    from aiquery.engines.duckdb.databricks.session import DatabricksSession
    from aiquery.sql.databricks.statements.copy_into import CopyInto

_LOADED = "aiquery_loaded_files"
_CREATE = f"CREATE TABLE IF NOT EXISTS {_LOADED} (target VARCHAR, path VARCHAR, loaded_at TIMESTAMPTZ)"


def copy_into(
    session: DatabricksSession, statement: CopyInto, bindings: Bindings
) -> duckdb.DuckDBPyRelation:
    """Load the files of a statement; return the number of rows, as Databricks does."""
    raw = session.raw
    target = statement.table.sql("duckdb")
    name = _full_name(raw, target)
    paths = _new_files(raw, statement, name, target)
    count = 0
    if paths:
        files = Files(
            format=statement.format,
            paths=tuple(paths),
            options=statement.options,
            is_inferred=statement.options.get("inferschema", "false") == "true",
        )
        with stage(session, _query(statement, files), bindings):
            count = _insert(session, statement, files, name)
    row = {
        "num_affected_rows": [count],
        "num_inserted_rows": [count],
        "num_skipped_corrupt_files": [0],
    }
    return raw.from_arrow(pa.table(row))


def _insert(
    session: DatabricksSession, statement: CopyInto, files: Files, name: str
) -> int:
    raw = session.raw
    target = statement.table.sql("duckdb")
    was_empty = _is_empty(raw, target)
    is_by_name = statement.query is not None or has_header(files)
    with one_transaction(raw):
        if statement.merges:
            _add_columns(raw, target)
        columns = BY_NAME if is_by_name else None
        insert_rows(session, statement.table, STAGED, columns)
        raw.execute(_CREATE)
        if was_empty:
            raw.execute(f"DELETE FROM {_LOADED} WHERE target = ?", [name])
        loaded = f"INSERT INTO {_LOADED} SELECT ?, unnest(?), now()"
        raw.execute(loaded, [name, list(files.paths)])
        rows = raw.execute(f"SELECT count(*) FROM {STAGED}").fetchall()
    return int(rows[0][0])


def _query(statement: CopyInto, files: Files) -> Expr:
    rows = as_subquery(files)
    rows.set("alias", exp.TableAlias(this=exp.to_identifier(FILES)))
    if statement.query is None:
        return exp.select("*").from_(rows)
    query = statement.query.copy()
    table = query.find(exp.Table)
    if table is None:
        raise AssertionError(query)
    if table.alias:
        rows.set("alias", exp.TableAlias(this=exp.to_identifier(table.alias)))
    table.replace(rows)
    return query


def _new_files(
    raw: duckdb.DuckDBPyConnection, statement: CopyInto, name: str, target: str
) -> list[str]:
    """Return the paths of the files that were not loaded into the table.

    A table without rows was made again, or emptied: then all of them are loaded.
    """
    folder = statement.path.rstrip("/")
    if statement.files:
        patterns = [f"{folder}/{one}" for one in statement.files]
    else:
        patterns = [expand(statement.path, _pattern(statement))]
    found: dict[str, None] = {}
    for pattern in patterns:
        rows = raw.execute("SELECT file FROM glob(?)", [pattern]).fetchall()
        if not rows:
            raise StatementError(f"COPY INTO: there is no file {pattern}.")
        found |= dict.fromkeys(str(row[0]) for row in sorted(rows))
    if statement.forces or _is_empty(raw, target):
        return list(found)
    raw.execute(_CREATE)
    rows = raw.execute(
        f"SELECT path FROM {_LOADED} WHERE target = ?", [name]
    ).fetchall()
    loaded = {row[0] for row in rows}
    return [path for path in found if path not in loaded]


def _is_empty(raw: duckdb.DuckDBPyConnection, target: str) -> bool:
    return not raw.execute(f"SELECT 1 FROM {target} LIMIT 1").fetchall()


def _pattern(statement: CopyInto) -> dict[str, str]:
    return {"pathglobfilter": statement.pattern} if statement.pattern else {}


def _full_name(raw: duckdb.DuckDBPyConnection, target: str) -> str:
    parts = [part.name for part in exp.to_table(target, dialect="duckdb").parts]
    here = raw.execute("SELECT current_database(), current_schema()").fetchall()[0]
    full = [*here[: 3 - len(parts)], *parts]
    return ".".join(quote_name(part.lower()) for part in full)


def _add_columns(raw: duckdb.DuckDBPyConnection, target: str) -> None:
    """Add the columns of the new rows that the table lacks."""
    has = {row[0].lower() for row in raw.execute(f"DESCRIBE {target}").fetchall()}
    for row in raw.execute(f"DESCRIBE {STAGED}").fetchall():
        if row[0].lower() not in has:
            raw.execute(
                f"ALTER TABLE {target} ADD COLUMN {quote_name(row[0])} {row[1]}"
            )
