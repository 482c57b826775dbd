"""The base class of SQLite files: a write-ahead log, whole transactions, one class of errors."""

from __future__ import annotations

import sqlite3
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from aiquery.errors import StoreFailed
from aiquery.runtime.fork_lock import ForkLock
from aiquery.runtime.private_files import create_private_file, make_private_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PRIMARY_CODE = 0xFF
"""The bits of SQLite's error code that name the error without its details."""

_POLL_S = 0.02
LAST_MOMENT = 253_402_300_800.0
"""The end of the year 9999, in seconds since the epoch."""


class SQLiteFile:
    """A SQLite file of several processes. Readers and the one writer do not block each other."""

    version: ClassVar[int] = 1
    """The version of the schema. A file without one was written before versions were counted: it has schema 1."""

    def __init__(self, path: Path | str, schema: str, *, busy_s: float) -> None:
        """Open the file at ``path`` and create its folder, its tables and its indexes.

        A new file, and a new folder, can be read by this user only.

        path     of the file, or ``:memory:``
        schema   SQL that creates the tables, if they do not exist
        busy_s   how long to wait for another process that writes, in seconds
        """
        self._path = path
        self._fork_lock = ForkLock()
        with self._failing():
            if str(path) != ":memory:":
                make_private_folder(Path(path).absolute().parent)
                # SQLite gives its other files the permissions of this one.
                create_private_file(Path(path))
            self._db = sqlite3.connect(
                path, timeout=busy_s, isolation_level=None, check_same_thread=False
            )
            self._db.text_factory = _decode
            try:
                _retry_while_busy(lambda: self._prepare(schema), busy_s)
            except (sqlite3.Error, StoreFailed):
                self._db.close()
                raise

    def _prepare(self, schema: str) -> None:
        found = self._pragma("user_version")
        if found > self.version:
            raise StoreFailed(
                f"{self._path}: a newer version of aiquery wrote this file (schema {found}; this version reads up to "
                f"{self.version}). Update aiquery, or choose another file."
            )
        views = "SELECT name FROM sqlite_master WHERE type = 'view'"
        for (view,) in self._db.execute(views):
            raise StoreFailed(
                f"{self._path}: {view!r} is a view, which this version of aiquery never creates. Choose another file."
            )
        self._db.execute("PRAGMA auto_vacuum = INCREMENTAL")
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(schema)
        if found < self.version:
            self._db.execute(f"PRAGMA user_version = {self.version}")

    def _size(self) -> int:
        """Return the bytes in use: all pages without the free ones."""
        used_pages = self._pragma("page_count") - self._pragma("freelist_count")
        return used_pages * self._pragma("page_size")

    def _pragma(self, name: str) -> int:
        return int(self._db.execute(f"PRAGMA {name}").fetchone()[0])

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
        """Call SQLite while no thread forks. Its errors, and the file system's, are raised as ``StoreFailed``."""
        try:
            with self._fork_lock.hold():
                yield
        except (sqlite3.Error, OSError) as error:
            raise StoreFailed(f"{self._path}: {error}") from error


def _decode(text: bytes) -> str:
    """Decode a text of the file. SQLite does not check that it is UTF-8; one bad row must not fail the others."""
    return text.decode("utf-8", "replace")


def is_moment(value: object) -> bool:
    """Return True for seconds since the epoch, up to the year 9999: what a row of ours has as a time."""
    return isinstance(value, float) and 0 <= value < LAST_MOMENT


def _retry_while_busy(work: Callable[[], None], busy_s: float) -> None:
    """Repeat ``work`` while another process turns a new file into one with a write-ahead log.

    SQLite itself does not wait in that case.
    """
    until = time.monotonic() + busy_s
    while True:
        try:
            work()
        except sqlite3.OperationalError as error:
            code = error.sqlite_errorcode & _PRIMARY_CODE
            if code != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(_POLL_S)
        else:
            return
