"""Rows that DuckDB reads and asks about; who writes the answers is a subclass's."""

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

SLICE = 2048
"""Rows that are asked about together: a chunk of DuckDB's."""


class BaseTarget:
    """See ``slices.UpdateTarget``. Reading goes on in a snapshot of its own while answers are written."""

    def __init__(
        self,
        con: Connection,
        target: str,
        name: str,
        assignments: Assignments,
        need: PendingRows,
    ) -> None:
        """``target`` is what DuckDB reads from, ``name`` what the expressions may call it."""
        self.con = con
        self.assignments = assignments
        self.need = need
        self._name = name
        self._from = need.rows(target, name, assignments, con.config)
        self._reader = con.cursor()
        self._cursors: list[Connection] = []
        self._local = threading.local()
        self._numbers = count()

    def pending(self) -> Iterator[pa.Table]:
        """See ``UpdateTarget``."""
        relation = self._reader.raw.sql(self._selection())
        for batch in relation.to_arrow_reader(SLICE):
            yield pa.Table.from_batches([batch])

    def answer(self, rows: pa.Table) -> pa.Table:
        """See ``UpdateTarget``."""
        cursor = self._cursor()
        view = f"aiquery_slice_{next(self._numbers)}"
        cursor.register(view, rows)
        try:
            kept = [*self.need.keys, *([RECORDED] if self.need.refresh else [])]
            selected = ", ".join(
                [*map(self.assignments.quoted, kept), self.assignments.selected()]
            )
            relation = cursor.sql(f"SELECT {selected} FROM {view} AS {self._name}")
            if relation is None:
                raise ArgumentError("set is no expression that has a value per row.")
            return relation.to_arrow_table()
        finally:
            cursor.raw.unregister(view)

    @abstractmethod
    def commit(self, answers: pa.Table) -> dict[str, int]:
        """See ``UpdateTarget``."""

    def cancel(self) -> None:
        """See ``UpdateTarget``."""
        for cursor in self._cursors:
            cursor.interrupt()

    def stopped(self) -> str | None:
        """See ``UpdateTarget``."""
        return self.con.budget_reached

    def left(self) -> int:
        """Count the rows that still need an answer."""
        ((left,),) = self.con.raw.sql(f"SELECT count(*) {self._from}").fetchall()
        return int(left)

    def close(self) -> None:
        """Close every cursor; what they wait for is cancelled."""
        for cursor in [*self._cursors, self._reader]:
            cursor.close()

    def _selection(self) -> str:
        """Return the query for the rows that need an answer: the key, and what the expressions read."""
        q = self.assignments.quoted
        names = list(dict.fromkeys([*self.need.keys, *self.assignments.reads()]))
        selected = ", ".join(f"{self._name}.{q(name)}" for name in names)
        recorded = (
            f", {self.assignments.made_from(self.con.config, self._name)} AS {RECORDED}"
            if self.need.refresh
            else ""
        )
        return f"SELECT {selected}{recorded} {self._from}"

    def _cursor(self) -> Connection:
        if not hasattr(self._local, "cursor"):
            self._local.cursor = self.con.cursor()
            self._cursors.append(self._local.cursor)
        cursor: Connection = self._local.cursor
        return cursor
