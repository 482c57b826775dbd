"""The run store: a SQLite file. A run is a row of JSON; its attempts are Arrow, in parts of about a second each."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

import msgspec

from aiquery.runtime.processes import is_gone, new_owner
from aiquery.runtime.sqlite_file import SQLiteFile, is_moment
from aiquery.tracking.attempt_table import decode_tables, encode_table, tables_by_run
from aiquery.tracking.record import RunIds, RunRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pyarrow as pa

    from aiquery.tracking.attempts import Block

    Listener = Callable[[Sequence[RunRecord], Sequence[Block], RunIds], None]

log = logging.getLogger("aiquery")
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
        self._has_unreadable = False

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
        return self._decode_runs(rows)

    def written_since(self, moment: float) -> tuple[float, list[RunRecord]]:
        """Return the runs that were written after ``moment``, and the moment for the next call."""
        with self._failing():
            rows = self._db.execute(
                "SELECT written_at, owner, record FROM run_records WHERE written_at > ?",
                (moment,),
            ).fetchall()
        times = [written_at for written_at, _, _ in rows if is_moment(written_at)]
        found = self._decode_runs([(owner, record) for _, owner, record in rows])
        return max(times, default=moment), found

    def attempts(self, run: str) -> pa.Table:
        """Return the attempts of a run, in the order they ended."""
        with self._failing():
            rows = self._db.execute(
                "SELECT part FROM attempts WHERE run = ? ORDER BY rowid", (run,)
            ).fetchall()
        table, unreadable = decode_tables([part for (part,) in rows])
        self._report_unreadable(unreadable)
        return table

    def _decode_runs(self, rows: Sequence[tuple[object, object]]) -> list[RunRecord]:
        found = [_decode(owner, record) for owner, record in rows]
        runs = [run for run in found if run is not None]
        self._report_unreadable(len(found) - len(runs))
        return runs

    def _report_unreadable(self, count: int) -> None:
        if count and not self._has_unreadable:
            self._has_unreadable = True
            log.warning(
                "%s: %s rows are damaged, or aiquery did not write them; they are left out, like all such rows",
                self._path,
                f"{count:,}",
            )

    def close(self) -> None:
        """Close the file."""
        with self._failing():
            self._db.close()


def _decode(owner: object, encoded: object) -> RunRecord | None:
    """Return a run; one whose process has ended is stopped. None if the row is not one of ours."""
    if not isinstance(encoded, bytes):
        return None
    try:
        record = msgspec.json.decode(encoded, type=RunRecord)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if not is_moment(record.progress.started_at):
        return None
    if record.progress.state == "running" and is_gone(str(owner)):
        record.progress = msgspec.structs.replace(record.progress, state="stopped")
    return record
