"""The SQLite file of kept runs. A run is a row of JSON, its attempts are Arrow in parts of about a second each."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from aiquery.runtime.processes import is_gone, new_owner
from aiquery.runtime.sqlite_file import SQLiteFile
from aiquery.tracking import attempt_table as arrow
from aiquery.tracking.record import RunRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pyarrow as pa

    from aiquery.tracking.attempts import Block

    Listener = Callable[[Sequence[RunRecord], Sequence[Block], dict[int, str]], None]

BUSY_S = 5.0
WRITES_PER_CHECK = 100
DAY_S = 86400.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
  run TEXT PRIMARY KEY, owner TEXT NOT NULL, heard_at REAL NOT NULL, kept BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS attempts (run TEXT NOT NULL, attempts INTEGER NOT NULL, part BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS attempts_of ON attempts (run);
"""


class RunStore(SQLiteFile):
    """See the module. What fails is ``StoreFailed``."""

    def __init__(self, place: str, *, keep_days: float, max_bytes: float) -> None:
        """``place`` is a path, or ``:memory:``; older runs go, and the oldest attempts above ``max_bytes``."""
        super().__init__(place, _SCHEMA, busy_s=BUSY_S)
        self._keep_s = keep_days * DAY_S
        self._max_bytes = max_bytes
        self._owner = new_owner()
        self.listeners: list[Listener] = []
        """Called with everything that is written."""
        self._writes = 0

    # --- writing

    def write(
        self,
        runs: Sequence[RunRecord],
        attempts: Sequence[Block],
        names: dict[int, str],
    ) -> None:
        """See ``RunSink``. Attempts of no run are left out; the listener hears of all."""
        for listener in self.listeners:
            listener(runs, attempts, names)
        parts = [
            (names[stats], len(table), arrow.packed(table))
            for block in attempts
            for stats, table in arrow.tables(block)
            if stats in names
        ]
        rows = [
            (kept.progress.run, self._owner, time.time(), msgspec.json.encode(kept))
            for kept in runs
        ]
        with self._failing(), self._transaction():
            self._db.executemany(
                "INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?)", rows
            )
            self._db.executemany("INSERT INTO attempts VALUES (?, ?, ?)", parts)
        if self._writes % WRITES_PER_CHECK == 0:
            self.prune()
        self._writes += 1

    def prune(self) -> None:
        """Forget runs that are too old, and the attempts of the oldest runs while the file is too large."""
        with self._failing(), self._transaction():
            old = "SELECT run FROM runs WHERE heard_at < ?"
            self._db.execute(
                f"DELETE FROM attempts WHERE run IN ({old})",
                (time.time() - self._keep_s,),
            )
            self._db.execute(
                "DELETE FROM runs WHERE heard_at < ?", (time.time() - self._keep_s,)
            )
        with self._failing():
            while self._size() > self._max_bytes:
                gone = self._db.execute(
                    "DELETE FROM attempts WHERE run = (SELECT a.run FROM attempts a LEFT JOIN runs r USING (run) "
                    "ORDER BY r.heard_at LIMIT 1)"
                ).rowcount
                if not gone:
                    break
            self._db.execute("PRAGMA incremental_vacuum").fetchall()

    # --- reading

    def runs(self) -> list[RunRecord]:
        """Return every run, the newest first."""
        with self._failing():
            rows = self._db.execute(
                "SELECT owner, kept FROM runs ORDER BY run DESC"
            ).fetchall()
        return [_run(*row) for row in rows]

    def heard_since(self, moment: float) -> tuple[float, list[RunRecord]]:
        """Return the runs that were written after ``moment``, and the moment to ask from next."""
        with self._failing():
            rows = self._db.execute(
                "SELECT heard_at, owner, kept FROM runs WHERE heard_at > ?", (moment,)
            ).fetchall()
        return max((heard_at for heard_at, _, _ in rows), default=moment), [
            _run(*row[1:]) for row in rows
        ]

    def attempts(self, run: str) -> pa.Table:
        """Return the attempts of a run, in the order they ended."""
        with self._failing():
            rows = self._db.execute(
                "SELECT part FROM attempts WHERE run = ? ORDER BY rowid", (run,)
            ).fetchall()
        return arrow.unpacked([part for (part,) in rows])

    def close(self) -> None:
        """Close the file."""
        with self._failing():
            self._db.close()


def _run(owner: str, kept: bytes) -> RunRecord:
    run = msgspec.json.decode(kept, type=RunRecord)
    if run.progress.state == "running" and is_gone(owner):
        run.progress = msgspec.structs.replace(run.progress, state="stopped")
    return run
