"""What our SQLite files have in common: a write-ahead log, whole transactions, one kind of error."""

from __future__ import annotations

import sqlite3
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from aiquery.errors import StoreFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


_WAIT_S = 0.02


def _patiently(work: Callable[[], None], busy_s: float) -> None:
    """Do what SQLite itself does not wait for: a new file becomes one with a write-ahead log in one process only."""
    until = time.monotonic() + busy_s
    while True:
        try:
            work()
        except sqlite3.OperationalError as error:
            if (
                error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY
                or time.monotonic() > until
            ):
                raise
            time.sleep(_WAIT_S)
        else:
            return


class SQLiteFile:
    """A SQLite file for several processes: readers and one writer do not wait for each other."""

    def __init__(self, place: Path | str, schema: str, *, busy_s: float) -> None:
        """Open ``place`` (a path, or ``:memory:``) and make its folder and what ``schema`` creates.

        busy_s   how long to wait for another process that writes, before the file counts as locked
        """
        self._place = place
        with self._failing():
            Path(place).parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(
                place, timeout=busy_s, isolation_level=None, check_same_thread=False
            )
            _patiently(lambda: self._prepare(schema), busy_s)

    def _prepare(self, schema: str) -> None:
        self._db.execute("PRAGMA auto_vacuum = INCREMENTAL")
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(schema)

    def _size(self) -> int:
        """Return the bytes in use: pages less those that are free again."""
        pages, free, size = (
            self._db.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * size)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StoreFailed(f"{self._place}: {error}") from error
