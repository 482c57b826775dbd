"""A store of answers in one SQLite file, for every process of a machine.

It uses a write-ahead log: readers and one writer do not wait for each other, and a killed process loses no committed
answer. A row without a value is a claim: its owner requests the answer now, and other processes wait for it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from aiquery.inference.cache.base import (
    DEAD_S,
    Answer,
    Found,
    Statistics,
    seal,
    split_keys,
    unseal,
)
from aiquery.runtime.processes import is_gone, new_owner
from aiquery.runtime.sqlite_file import SQLiteFile, is_moment

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

BUSY_S = 5.0
"""How long to wait for another process that writes, before the store counts as locked."""

KEYS_PER_QUERY = 500
_EXPORT_ROWS = 1000
SAVES_PER_CHECK = 50
HOUR_S = 3600.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
  key BLOB NOT NULL UNIQUE, endpoint TEXT, value BLOB, owner TEXT, made_at REAL NOT NULL, used_at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS owners (owner TEXT PRIMARY KEY, heard_at REAL NOT NULL);
"""
_SAVE = """
INSERT INTO answers (key, endpoint, value, owner, made_at, used_at) VALUES (?, ?, ?, NULL, ?, ?)
ON CONFLICT (key) DO UPDATE SET
  endpoint = excluded.endpoint, value = excluded.value, owner = NULL, made_at = excluded.made_at,
  used_at = excluded.used_at
"""
_CLAIM = (
    "INSERT OR REPLACE INTO answers (key, owner, made_at, used_at) VALUES (?, ?, ?, ?)"
)


class SQLiteStore(SQLiteFile):
    """A ``Store`` in a file. A damaged answer counts as missing; other failures raise ``StoreFailed``."""

    def __init__(
        self,
        path: Path,
        *,
        ttl_s: float | None = None,
        max_bytes: int | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Open or create the file.

        ttl_s       age after which an answer is missing, in seconds; None: never
        max_bytes   size above which the least recently used answers are deleted; None: no limit
        """
        self.path = path
        self._ttl_s = ttl_s
        self._max_bytes = max_bytes
        self._clock = clock
        self._owner = new_owner()
        self._saves = 0
        self._closed = False
        super().__init__(path, _SCHEMA, busy_s=BUSY_S)
        self.keep_claims()

    def _prepare(self, schema: str) -> None:
        super()._prepare(schema)
        self._db.execute("PRAGMA cache_size = -32000")
        self._db.execute("PRAGMA wal_autocheckpoint = 8000")
        self._void_dead_claims()

    def find(self, keys: Sequence[bytes]) -> Found:
        """Implement ``Store``."""
        with self._failing():
            made_at: dict[bytes, float] = {}
            values, elsewhere, unreadable = self._read(keys, made_at)
            if elsewhere and self._void_dead_claims(elsewhere):
                elsewhere = []
            missing = [
                key for key in keys if key not in values and key not in elsewhere
            ]
            if missing:
                with self._transaction():
                    # Read again: another process may have written meanwhile. From now on it waits.
                    more, claimed, _ = self._read(missing, made_at)
                    mine = set(missing).difference(more, claimed)
                    now = self._clock()
                    self._db.executemany(
                        _CLAIM, ((key, self._owner, now, now) for key in mine)
                    )
                values.update(more)
                elsewhere += claimed
            return Found(values, elsewhere, made_at, unreadable)

    def find_known(self, keys: Sequence[bytes]) -> list[bytes]:
        """Implement ``Store``."""
        with self._failing():
            return list(self._read(keys, {})[0])

    def save(self, answers: Sequence[tuple[bytes, str, bytes]]) -> None:
        """Implement ``Store``."""
        now = self._clock()
        with self._failing(), self._transaction():
            rows = (
                (key, endpoint, seal(key, value), now, now)
                for key, endpoint, value in answers
            )
            self._db.executemany(_SAVE, rows)
        self._saves += 1
        if self._max_bytes is not None and self._saves % SAVES_PER_CHECK == 0:
            self._evict()

    def release(self, keys: Sequence[bytes]) -> None:
        """Implement ``Store``."""
        with self._failing(), self._transaction():
            self._db.executemany(
                "DELETE FROM answers WHERE key = ? AND value IS NULL AND owner = ?",
                ((key, self._owner) for key in keys),
            )

    def keep_claims(self) -> None:
        """Implement ``Store``."""
        with self._failing():
            self._db.execute(
                "INSERT OR REPLACE INTO owners VALUES (?, ?)",
                (self._owner, self._clock()),
            )

    def statistics(self) -> Statistics:
        """Implement ``Store``."""
        with self._failing():
            rows = self._db.execute(
                "SELECT endpoint, count(*) FROM answers WHERE value IS NOT NULL GROUP BY endpoint ORDER BY 2 DESC"
            ).fetchall()
            by_endpoint = {str(endpoint): count for endpoint, count in rows}
            return Statistics(sum(by_endpoint.values()), self._size(), by_endpoint)

    def prune(self) -> int:
        """Implement ``Store``."""
        before = self.statistics().answers
        with self._failing():
            self._void_dead_claims()
            if self._ttl_s is not None:
                expired = self._clock() - self._ttl_s
                self._db.execute(
                    "DELETE FROM answers WHERE value IS NOT NULL AND made_at < ?",
                    (expired,),
                )
        self._evict()
        with self._failing():
            self._db.execute("PRAGMA incremental_vacuum").fetchall()
        return before - self.statistics().answers

    def clear(self) -> int:
        """Implement ``Store``."""
        count = self.statistics().answers
        with self._failing():
            self._db.execute("DELETE FROM answers WHERE value IS NOT NULL")
            self._db.execute("PRAGMA incremental_vacuum").fetchall()
        return count

    def export(self) -> Iterator[Answer]:
        """Implement ``Store``."""
        with self._failing():
            rows = self._db.execute(
                "SELECT key, endpoint, value, made_at, used_at FROM answers WHERE value IS NOT NULL ORDER BY rowid"
            )
        # The lock of a fork is not held while the caller uses an answer.
        while block := self._fetch(rows):
            for key, endpoint, sealed, made_at, used_at in block:
                value = unseal(key, sealed)
                if value is not None and is_moment(made_at) and is_moment(used_at):
                    yield Answer(key, str(endpoint), value, made_at, used_at)

    def close(self) -> None:
        """Close; a second call does nothing."""
        if self._closed:
            return
        self._closed = True
        with self._failing():
            self._db.execute(
                "DELETE FROM answers WHERE value IS NULL AND owner = ?", (self._owner,)
            )
            self._db.execute("DELETE FROM owners WHERE owner = ?", (self._owner,))
            self._db.close()

    # ---

    def _fetch(self, rows: sqlite3.Cursor) -> list[Any]:
        with self._failing():
            return rows.fetchmany(_EXPORT_ROWS)

    def _read(
        self, keys: Sequence[bytes], when: dict[bytes, float]
    ) -> tuple[dict[bytes, bytes], list[bytes], int]:
        """Return values by key, the keys that other processes claimed, and the number of unreadable answers."""
        values: dict[bytes, bytes] = {}
        elsewhere: list[bytes] = []
        stale: list[bytes] = []
        unreadable = 0
        now = self._clock()
        for key, sealed, owner, made_at, used_at in self._rows(keys):
            if sealed is None:
                if owner != self._owner:
                    elsewhere.append(key)
                continue
            value = unseal(key, sealed)
            if value is None or not is_moment(made_at) or not is_moment(used_at):
                unreadable += 1
                continue
            if self._ttl_s is not None and made_at < now - self._ttl_s:
                continue  # expired
            values[key] = value
            when[key] = made_at
            if used_at < now - HOUR_S:
                stale.append(key)
        if stale:  # precise to the hour, which saves a write per read
            self._db.executemany(
                "UPDATE answers SET used_at = ? WHERE key = ?",
                ((now, key) for key in stale),
            )
        return values, elsewhere, unreadable

    def _rows(
        self, keys: Sequence[bytes]
    ) -> Iterator[tuple[bytes, bytes | None, str, float, float]]:
        for some in split_keys(keys, KEYS_PER_QUERY):
            marks = ",".join("?" * len(some))
            yield from self._db.execute(
                f"SELECT key, value, owner, made_at, used_at FROM answers WHERE key IN ({marks})",
                some,
            )

    def _void_dead_claims(self, keys: Sequence[bytes] = ()) -> bool:
        """Void the claims of processes that have ended; return True if there were any.

        Claims on ``keys`` are also void if no process with their owner's name is known.
        """
        now = self._clock()
        rows = self._db.execute(
            "SELECT owner, heard_at FROM owners WHERE owner <> ?", (self._owner,)
        ).fetchall()
        dead = [
            (owner,)
            for owner, heard_at in rows
            if not _was_heard(heard_at, now) or is_gone(str(owner))
        ]
        voided = 0
        for some in split_keys(keys, KEYS_PER_QUERY):
            marks = ",".join("?" * len(some))
            voided += self._db.execute(
                f"DELETE FROM answers WHERE key IN ({marks}) AND value IS NULL "
                "AND (owner IS NULL OR owner NOT IN (SELECT owner FROM owners))",
                some,
            ).rowcount
        if dead:
            with self._transaction():
                self._db.executemany(
                    "DELETE FROM answers WHERE value IS NULL AND owner = ?", dead
                )
                self._db.executemany("DELETE FROM owners WHERE owner = ?", dead)
        return bool(dead or voided)

    def _evict(self) -> None:
        if self._max_bytes is None:
            return
        with self._failing():
            while self._size() > self._max_bytes:
                with self._transaction():
                    gone = self._db.execute(
                        "DELETE FROM answers WHERE rowid IN (SELECT rowid FROM answers WHERE value IS NOT NULL "
                        "ORDER BY used_at, rowid LIMIT max(1, (SELECT count(*) FROM answers) / 10))"
                    ).rowcount
                if not gone:
                    return


def _was_heard(heard_at: object, now: float) -> bool:
    """Return True for a heartbeat that was not long ago, and is not in the future."""
    return isinstance(heard_at, float) and abs(now - heard_at) <= DEAD_S
