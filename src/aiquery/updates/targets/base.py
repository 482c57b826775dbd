"""Rows that DuckDB reads and evaluates; subclasses write the answers."""

from __future__ import annotations

import threading
from abc import abstractmethod
from itertools import count
from typing import TYPE_CHECKING

import pyarrow as pa

from aiquery.errors import ArgumentError
from aiquery.updates.assignments import RECORDED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiquery.engines.duckdb.connection import Connection
    from aiquery.updates.assignments import Assignments
    from aiquery.updates.pending_rows import PendingRows

SLICE_ROWS = 2048
"""Rows that are evaluated together: a chunk of DuckDB."""


class BaseTarget:
    """An ``UpdateTarget`` that is read in one snapshot while answers are written."""

    def __init__(
        self,
        con: Connection,
        target: str,
        name: str,
        assignments: Assignments,
        pending: PendingRows,
    ) -> None:
        """``target`` is the table that DuckDB reads, ``name`` its name in the expressions."""
        self.con = con
        self.assignments = assignments
        self._pending = pending
        self._name = name
        self._from = pending.from_sql(target, name, assignments, con.config)
        self._reader = con.cursor()
        self._cursors: list[Connection] = []
        self._local = threading.local()
        self._numbers = count()

    def read_pending(self) -> Iterator[pa.Table]:
        """Yield the rows that need an answer in slices."""
        sql = self._pending_sql()
        self._reader.create_macros(sql)
        relation = self._reader.raw.sql(sql)
        for batch in relation.to_arrow_reader(SLICE_ROWS):
            yield pa.Table.from_batches([batch])

    def answer(self, rows: pa.Table) -> pa.Table:
        """Evaluate the expressions for a slice."""
        cursor = self._cursor()
        view = f"aiquery_slice_{next(self._numbers)}"
        cursor.register(view, rows)
        try:
            columns = [self.assignments.quote(key) for key in self._pending.keys]
            if self._pending.refresh_changed:
                columns.append(self.assignments.quote(RECORDED))
            columns.append(self.assignments.tolerant_select_list())
            relation = cursor.sql(
                f"SELECT {', '.join(columns)} FROM {view} AS {self._name}"
            )
            if relation is None:
                raise ArgumentError("set must have one value per row.")
            return relation.to_arrow_table()
        finally:
            cursor.raw.unregister(view)

    @abstractmethod
    def commit(self, answers: pa.Table) -> dict[str, int]:
        """Write answers in one transaction."""

    def cancel(self) -> None:
        """Interrupt all cursors."""
        for cursor in self._cursors:
            cursor.interrupt()

    def stopped(self) -> str | None:
        """Return the limit of the budget that was reached; None if none was."""
        return self.con.budget_reached

    def count_left(self) -> int:
        """Count the rows that still need an answer."""
        sql = f"SELECT count(*) {self._from}"
        self.con.create_macros(sql)
        ((left,),) = self.con.raw.sql(sql).fetchall()
        return int(left)

    def close(self) -> None:
        """Close every cursor; their requests are cancelled."""
        for cursor in [*self._cursors, self._reader]:
            cursor.close()

    def _pending_sql(self) -> str:
        """Return the query for the rows that need an answer: the key, and the columns that the expressions read."""
        names = dict.fromkeys([*self._pending.keys, *self.assignments.columns_read()])
        columns = [f"{self._name}.{self.assignments.quote(name)}" for name in names]
        if self._pending.refresh_changed:
            made_from = self.assignments.made_from(self.con.config, self._name)
            columns.append(f"{made_from} AS {RECORDED}")
        return f"SELECT {', '.join(columns)} {self._from}"

    def _cursor(self) -> Connection:
        """Return the cursor of this thread."""
        if not hasattr(self._local, "cursor"):
            self._local.cursor = self.con.cursor()
            self._cursors.append(self._local.cursor)
        cursor: Connection = self._local.cursor
        return cursor
