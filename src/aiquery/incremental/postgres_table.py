"""A table of a Postgres server: ADBC reads and commits, DuckDB evaluates the expressions in between."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from sqlglot import exp

from aiquery.engines.conflicts import tried_again
from aiquery.errors import ConfigError
from aiquery.incremental.assignments import RECORDED
from aiquery.incremental.commit import merge_sql
from aiquery.incremental.duckdb_rows import SLICE, DuckDBRows
from aiquery.incremental.need import SOURCE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiquery.engines.duckdb.connect import Connection
    from aiquery.incremental.assignments import Assignments
    from aiquery.incremental.need import Need

ATTEMPTS = 8
"""How often a commit is tried that another one got in the way of."""

PAGE = 8 * SLICE
"""Rows that one query reads, in the order of the key: no transaction stays open while the model is waited for."""

ANSWERS = "aiquery_answers"
_CONFLICTS = {"40001", "40P01"}  # serialization_failure, deadlock_detected


class _Conflict(Exception):
    """Another transaction got in the way of ours."""


class PostgresRows(DuckDBRows):
    """See ``slices.Rows``. ``where`` and ``source`` are Postgres' SQL; what is set is DuckDB's."""

    def __init__(self, con: Connection, uri: str, target: str, assignments: Assignments, need: Need) -> None:
        """Add the column for ``refresh``; the table must exist. Raises ``ConfigError``."""
        name = SOURCE if need.source else exp.to_table(target, dialect="postgres").name
        super().__init__(con, target, f'"{name}"', assignments, need)
        self._target = target
        self._server = _connect(uri)
        with ExitStack() as on_error:
            on_error.callback(self.close)
            if need.refresh:
                self._execute(f"ALTER TABLE IF EXISTS {target} ADD COLUMN IF NOT EXISTS {RECORDED} text")
            self._types = self._columns()
            on_error.pop_all()

    def pending(self) -> Iterator[pa.Table]:
        """See ``Rows``."""
        keys = ", ".join(f"{self._name}.{self.assignments.quoted(key)}" for key in self.need.keys)
        after = ", ".join(f"CAST(${i} AS {self._types[key]})" for i, key in enumerate(self.need.keys, 1))
        order = f"ORDER BY {keys} LIMIT {PAGE}"
        page = self._read(f"{self._selection()} {order}")
        while len(page):
            yield from (page.slice(start, SLICE) for start in range(0, len(page), SLICE))
            last = [str(page[key][-1].as_py()) for key in self.need.keys]
            page = self._read(f"{self._selection()} AND ({keys}) > ({after}) {order}", last)

    def commit(self, answers: pa.Table) -> None:
        """See ``Rows``. Another's commit in between is not lost: ours is tried again, and asks nothing."""
        plain = self._plain(answers)
        tried_again(lambda: self._merge(plain), _Conflict, ATTEMPTS)

    def left(self) -> int:
        """See ``DuckDBRows``."""
        return int(self._read(f"SELECT count(*) AS count {self._from}")["count"][0].as_py())

    def close(self) -> None:
        """See ``DuckDBRows``."""
        self._server.close()
        super().close()

    def _merge(self, answers: pa.Table) -> None:
        import adbc_driver_manager

        merge = merge_sql(self._target, ANSWERS, answers.column_names, self.assignments, self.need, self._types)
        try:
            with self._server.cursor() as cursor:
                if self.need.source:  # without a unique index two writers could both insert a key
                    cursor.execute(f"LOCK TABLE {self._target} IN SHARE ROW EXCLUSIVE MODE")
                cursor.adbc_ingest(ANSWERS, answers, mode="create", temporary=True)
                cursor.execute(merge)
                cursor.execute(f"DROP TABLE pg_temp.{ANSWERS}")
            self._server.commit()
        except adbc_driver_manager.Error as error:
            self._server.rollback()
            if error.sqlstate in _CONFLICTS:
                raise _Conflict from error
            raise

    def _plain(self, answers: pa.Table) -> pa.Table:
        """Return the answers as types that Postgres has: a STRUCT is JSON."""
        structs = [field.name for field in answers.schema if pa.types.is_struct(field.type)]
        if not structs:
            return answers
        replaced = ", ".join(f'to_json("{name}")::VARCHAR AS "{name}"' for name in structs)
        with self.con.cursor() as cursor:
            cursor.raw.register(ANSWERS, answers)
            return cursor.raw.sql(f"SELECT * REPLACE ({replaced}) FROM {ANSWERS}").to_arrow_table()

    def _columns(self) -> dict[str, str]:
        """Return the columns of the target, each with its type."""
        found = self._read(
            "SELECT attname::text AS name, format_type(atttypid, atttypmod) AS type FROM pg_attribute "
            "WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped",
            [self._target],
        )
        if not len(found):
            raise ConfigError(f"the Postgres database has no table {self._target!r}; create it first.")
        missing = sorted({*self.need.keys, *self.assignments.columns()} - set(found["name"].to_pylist()))
        if missing:
            raise ConfigError(f"the table {self._target!r} has no column {missing[0]!r}; add it first.")
        return dict(zip(found["name"].to_pylist(), found["type"].to_pylist(), strict=True))

    def _read(self, sql: str, values: list[str] | None = None) -> pa.Table:
        try:
            with self._server.cursor() as cursor:
                cursor.execute(sql, values)
                return cursor.fetch_arrow_table()
        finally:
            self._server.rollback()

    def _execute(self, sql: str) -> None:
        with self._server.cursor() as cursor:
            cursor.execute(sql)
        self._server.commit()


def _connect(uri: str) -> Any:  # noqa: ANN401  an ADBC connection
    try:
        from adbc_driver_postgresql import dbapi
    except ImportError:
        raise ConfigError("Postgres needs the extra 'postgres': pip install 'aiquery[postgres]'.") from None
    return dbapi.connect(uri)
