"""A table of a Postgres server: ADBC reads and commits, DuckDB evaluates the expressions."""

from __future__ import annotations

import re
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from sqlglot import exp

from aiquery.engines.write_conflicts import retry_on_conflict
from aiquery.errors import ConfigError, DatabaseError
from aiquery.secrets import remember_address
from aiquery.updates.assignments import RECORDED
from aiquery.updates.merge import merge_sql
from aiquery.updates.pending_rows import SOURCE
from aiquery.updates.targets.base import SLICE_ROWS, BaseTarget

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiquery.engines.duckdb.connection import Connection
    from aiquery.updates.assignments import Assignments
    from aiquery.updates.pending_rows import PendingRows

ATTEMPTS = 8
"""How often a commit is attempted while other writers commit."""

PAGE = 8 * SLICE_ROWS
"""Rows that one query reads, in the order of the key: no transaction stays open while requests are in flight."""

ANSWERS = "aiquery_answers"
_CONFLICTS = {"40001", "40P01"}  # serialization_failure, deadlock_detected


_ROW_ERRORS = {"22", "23"}  # data exceptions, integrity constraints
_TABLES = {"r", "p"}  # ordinary, partitioned
_ERROR = re.compile(r"(?:ERROR|FATAL):\s*([^\n]+)")


_UNIQUE = """
SELECT 1 FROM pg_index WHERE indrelid = to_regclass($1) AND indisunique AND indpred IS NULL AND indexprs IS NULL
  AND (SELECT array_agg(attname::text) FROM pg_attribute WHERE attrelid = indrelid AND attnum = ANY (indkey))
      <@ string_to_array($2, ',')
"""
"""Unique indexes of a table whose columns are all among some names."""


class _RowRejected(Exception):
    """The database rejected a row; the text is its message."""


class _Conflict(Exception):
    """Another transaction conflicts with ours."""


class PostgresTarget(BaseTarget):
    """Reads and writes one table. ``where`` and ``source`` are SQL of Postgres, ``set`` is DuckDB's."""

    def __init__(
        self,
        con: Connection,
        uri: str,
        target: str,
        assignments: Assignments,
        pending: PendingRows,
    ) -> None:
        """Add the column for ``refresh``; the table must exist. Raises ``ConfigError``."""
        name = (
            SOURCE if pending.source else exp.to_table(target, dialect="postgres").name
        )
        super().__init__(con, target, f'"{name}"', assignments, pending)
        self._target = target
        remember_address(uri)
        self._server = _connect(uri)
        self._error = self._server.Error
        with ExitStack() as on_error:
            on_error.callback(self.close)
            if pending.refresh_changed:
                self._execute(
                    f"ALTER TABLE IF EXISTS {target} ADD COLUMN IF NOT EXISTS {RECORDED} text"
                )
            self._types = self._check_columns()
            self._check_keys()
            on_error.pop_all()

    def read_pending(self) -> Iterator[pa.Table]:
        """Yield the rows that need an answer in slices."""
        keys = ", ".join(
            f"{self._name}.{self.assignments.quote(key)}" for key in self._pending.keys
        )
        after = ", ".join(
            f"CAST(${i} AS {self._types[key]})"
            for i, key in enumerate(self._pending.keys, 1)
        )
        order = f"ORDER BY {keys} LIMIT {PAGE}"
        page = self._read(f"{self._pending_sql()} {order}")
        while len(page):
            yield from (
                page.slice(start, SLICE_ROWS)
                for start in range(0, len(page), SLICE_ROWS)
            )
            last = [str(page[key][-1].as_py()) for key in self._pending.keys]
            page = self._read(
                f"{self._pending_sql()} AND ({keys}) > ({after}) {order}", last
            )

    def commit(self, answers: pa.Table) -> dict[str, int]:
        """Write answers. After a write conflict the merge is attempted again, without new requests.

        A row that the database rejects is found by halves; the other rows are written.
        """
        return self._write(self._to_postgres_types(answers))

    def _write(self, answers: pa.Table) -> dict[str, int]:
        try:
            retry_on_conflict(lambda: self._merge(answers), _Conflict, ATTEMPTS)
        except _RowRejected as rejection:
            if len(answers) == 1:
                return {str(rejection): 1}
        else:
            return {}
        middle = len(answers) // 2
        found = Counter(self._write(answers.slice(0, middle)))
        found.update(self._write(answers.slice(middle)))
        return dict(found)

    def count_left(self) -> int:
        """Count the rows that still need an answer."""
        return int(
            self._read(f"SELECT count(*) AS count {self._from}")["count"][0].as_py()
        )

    def close(self) -> None:
        """Close the server connection and every cursor."""
        self._server.close()
        super().close()

    def _merge(self, answers: pa.Table) -> None:
        merge = merge_sql(
            self._target,
            ANSWERS,
            answers.column_names,
            self.assignments,
            self._pending,
            self._types,
        )
        try:
            with self._server.cursor() as cursor:
                if self._pending.source:
                    # Without a unique index two writers could both insert a key.
                    cursor.execute(
                        f"LOCK TABLE {self._target} IN SHARE ROW EXCLUSIVE MODE"
                    )
                cursor.adbc_ingest(ANSWERS, answers, mode="create", temporary=True)
                cursor.execute(merge)
                cursor.execute(f"DROP TABLE pg_temp.{ANSWERS}")
            self._server.commit()
        except self._error as error:
            self._server.rollback()
            if error.sqlstate in _CONFLICTS:
                raise _Conflict from error
            if error.sqlstate[:2] in _ROW_ERRORS:
                raise _RowRejected(_describe(error)) from error
            raise DatabaseError(f"Postgres: {_describe(error)}") from None

    def _to_postgres_types(self, answers: pa.Table) -> pa.Table:
        """Return the answers in types of Postgres: a STRUCT is JSON."""
        structs = [
            field.name for field in answers.schema if pa.types.is_struct(field.type)
        ]
        if not structs:
            return answers
        replaced = ", ".join(
            f'to_json("{name}")::VARCHAR AS "{name}"' for name in structs
        )
        with self.con.cursor() as cursor:
            cursor.raw.register(ANSWERS, answers)
            return cursor.raw.sql(
                f"SELECT * REPLACE ({replaced}) FROM {ANSWERS}"
            ).to_arrow_table()

    def _check_columns(self) -> dict[str, str]:
        """Return the columns of the target, each with its type. Raises ``ConfigError``."""
        found = self._read(
            "SELECT attname::text AS name, format_type(atttypid, -1) AS type, relkind::text AS kind, "
            "attgenerated <> '' OR attidentity = 'a' AS generated, "
            "has_column_privilege(attrelid, attnum, 'UPDATE') AS writable "
            "FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid "
            "WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped",
            [self._target],
        ).to_pylist()
        if not found:
            raise ConfigError(
                f"the Postgres database has no table {self._target!r}; create it first."
            )
        if found[0]["kind"] not in _TABLES:
            raise ConfigError(
                f"{self._target!r} of the Postgres database is not a table; name the table behind it."
            )
        columns = {column["name"]: column for column in found}
        for name in [*self._pending.keys, *self.assignments.columns()]:
            if name not in columns:
                raise ConfigError(
                    f"the table {self._target!r} has no column {name!r}; add it first."
                )
        for name in self.assignments.columns():
            if columns[name]["generated"]:
                raise ConfigError(
                    f"the column {name!r} of {self._target!r} is generated by the database; set another."
                )
            if not columns[name]["writable"]:
                raise ConfigError(
                    f"this user may not update the column {name!r} of {self._target!r}; grant UPDATE."
                )
        return {name: column["type"] for name, column in columns.items()}

    def _check_keys(self) -> None:
        """Raise a ``ConfigError`` if a key identifies several of the rows that are read."""
        if not self._pending.source and len(
            self._read(_UNIQUE, [self._target, ",".join(self._pending.keys)])
        ):
            return  # a unique index guarantees it
        keys = ", ".join(
            f"{self._name}.{self.assignments.quote(key)}" for key in self._pending.keys
        )
        twice = self._read(
            f"SELECT {keys} {self._from} GROUP BY {keys} HAVING count(*) > 1 LIMIT 1"
        ).to_pylist()
        if twice:
            shown = ", ".join(f"{name} = {value!r}" for name, value in twice[0].items())
            raise ConfigError(
                f"several rows have the key {shown}; name the column, or columns, that identify a row."
            )

    def _read(self, sql: str, values: list[str] | None = None) -> pa.Table:
        try:
            with self._server.cursor() as cursor:
                cursor.execute(sql, values)
                return cursor.fetch_arrow_table()
        except self._error as error:
            raise DatabaseError(f"Postgres: {_describe(error)}") from None
        finally:
            self._server.rollback()

    def _execute(self, sql: str) -> None:
        try:
            with self._server.cursor() as cursor:
                cursor.execute(sql)
            self._server.commit()
        except self._error as error:
            self._server.rollback()
            raise DatabaseError(f"Postgres: {_describe(error)}") from None


def _connect(uri: str) -> Any:
    try:
        from adbc_driver_postgresql import dbapi
    except ImportError:
        raise ConfigError(
            "Postgres needs the extra 'postgres': pip install 'aiquery[postgres]'."
        ) from None
    try:
        return dbapi.connect(uri)
    except dbapi.Error as error:
        raise DatabaseError(f"Postgres cannot be reached: {_describe(error)}") from None


def _describe(error: Exception) -> str:
    """Return the database's message on one line, without the query that the driver adds."""
    text = str(error)
    found = _ERROR.search(text)
    return " ".join((found[1] if found else text.partition("\n")[0]).split())
