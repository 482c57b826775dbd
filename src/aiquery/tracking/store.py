"""The run store: a SQLite file. A run is a row of JSON; its attempts are Arrow, in parts of about a second each."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from aiquery.runtime.processes import is_gone, new_owner
from aiquery.runtime.sqlite_file import SQLiteFile
from aiquery.tracking.attempt_table import decode_tables, encode_table, tables_by_run
from aiquery.tracking.record import RunIds, RunRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pyarrow as pa

    from aiquery.tracking.attempts import Block

    Listener = Callable[[Sequence[RunRecord], Sequence[Block], RunIds], None]

BUSY_S = 5.0
WRITES_PER_PRUNE = 100
DAY_S = 86400.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS run_records (
  run TEXT PRIMARY KEY, owner TEXT NOT NULL, written_at REAL NOT NULL, record BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS attempts (run TEXT NOT NULL, attempts INTEGER NOT NULL, part BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS attempts_of ON attempts (run);
"""
_DELETE_OLDEST_ATTEMPTS = """
DELETE FROM attempts WHERE run = (
  SELECT a.run FROM attempts a LEFT JOIN run_records r USING (run) ORDER BY r.written_at LIMIT 1)
"""


class RunStore(SQLiteFile):
    """The runs of all processes that use one file. Raises ``StoreFailed``."""

    def __init__(self, path: str, *, keep_days: float, max_bytes: float) -> None:
        """Open a file, or ``:memory:``.

        keep_days   older runs are deleted
        max_bytes   above it the attempts of the oldest runs are deleted
        """
        super().__init__(path, _SCHEMA, busy_s=BUSY_S)
        self._keep_s = keep_days * DAY_S
        self._max_bytes = max_bytes
        self._owner = new_owner()
        self.listeners: list[Listener] = []
        """Called with everything that is written, attempts without a run included."""
        self._writes = 0

    # --- writing

    def write(
        self, runs: Sequence[RunRecord], attempts: Sequence[Block], run_ids: RunIds
    ) -> None:
        """Store runs as they are now, and new attempts of known runs; ``run_ids`` are by run number."""
        for listener in self.listeners:
            listener(runs, attempts, run_ids)
        parts = [
            (run_ids[number], len(table), encode_table(table))
            for block in attempts
            for number, table in tables_by_run(block)
            if number in run_ids
        ]
        now = time.time()
        rows = [
            (record.progress.run, self._owner, now, msgspec.json.encode(record))
            for record in runs
        ]
        with self._failing(), self._transaction():
            self._db.executemany(
                "INSERT OR REPLACE INTO run_records VALUES (?, ?, ?, ?)", rows
            )
            self._db.executemany("INSERT INTO attempts VALUES (?, ?, ?)", parts)
        if self._writes % WRITES_PER_PRUNE == 0:
            self.prune()
        self._writes += 1

    def prune(self) -> None:
        """Delete runs that are too old, and the attempts of the oldest runs while the file is too large."""
        oldest = (time.time() - self._keep_s,)
        with self._failing(), self._transaction():
            self._db.execute(
                "DELETE FROM attempts WHERE run IN (SELECT run FROM run_records WHERE written_at < ?)",
                oldest,
            )
            self._db.execute("DELETE FROM run_records WHERE written_at < ?", oldest)
        with self._failing():
            while self._size() > self._max_bytes:
                if not self._db.execute(_DELETE_OLDEST_ATTEMPTS).rowcount:
                    break
            self._db.execute("PRAGMA incremental_vacuum").fetchall()

    # --- reading

    def runs(self) -> list[RunRecord]:
        """Return every run, the newest first."""
        with self._failing():
            rows = self._db.execute(
                "SELECT owner, record FROM run_records ORDER BY run DESC"
            ).fetchall()
        return [_decode(owner, record) for owner, record in rows]

    def written_since(self, moment: float) -> tuple[float, list[RunRecord]]:
        """Return the runs that were written after ``moment``, and the moment for the next call."""
        with self._failing():
            rows = self._db.execute(
                "SELECT written_at, owner, record FROM run_records WHERE written_at > ?",
                (moment,),
            ).fetchall()
        latest = max((written_at for written_at, _, _ in rows), default=moment)
        return latest, [_decode(owner, record) for _, owner, record in rows]

    def attempts(self, run: str) -> pa.Table:
        """Return the attempts of a run, in the order they ended."""
        with self._failing():
            rows = self._db.execute(
                "SELECT part FROM attempts WHERE run = ? ORDER BY rowid", (run,)
            ).fetchall()
        return decode_tables([part for (part,) in rows])

    def close(self) -> None:
        """Close the file."""
        with self._failing():
            self._db.close()


def _decode(owner: str, encoded: bytes) -> RunRecord:
    """Return a run; one whose process has ended is stopped."""
    record = msgspec.json.decode(encoded, type=RunRecord)
    if record.progress.state == "running" and is_gone(owner):
        record.progress = msgspec.structs.replace(record.progress, state="stopped")
    return record
