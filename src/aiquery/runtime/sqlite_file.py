"""The base class of SQLite files: a write-ahead log, whole transactions, one class of errors."""

from __future__ import annotations

import sqlite3
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from aiquery.errors import StoreFailed
from aiquery.runtime.private_files import create_private_file, make_private_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PRIMARY_CODE = 0xFF
"""The bits of SQLite's error code that name the error without its details."""

_POLL_S = 0.02


class SQLiteFile:
    """A SQLite file of several processes. Readers and the one writer do not block each other."""

    def __init__(self, path: Path | str, schema: str, *, busy_s: float) -> None:
        """Open the file at ``path`` and create its folder, its tables and its indexes.

        A new file, and a new folder, can be read by this user only.

        path     of the file, or ``:memory:``
        schema   SQL that creates the tables, if they do not exist
        busy_s   how long to wait for another process that writes, in seconds
        """
        self._path = path
        with self._failing():
            if str(path) != ":memory:":
                make_private_folder(Path(path).absolute().parent)
                # SQLite gives its other files the permissions of this one.
                create_private_file(Path(path))
            self._db = sqlite3.connect(
                path, timeout=busy_s, isolation_level=None, check_same_thread=False
            )
            try:
                _retry_while_busy(lambda: self._prepare(schema), busy_s)
            except sqlite3.Error:
                self._db.close()
                raise

    def _prepare(self, schema: str) -> None:
        self._db.execute("PRAGMA auto_vacuum = INCREMENTAL")
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(schema)

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
        """Raise the errors of SQLite and of the file system as ``StoreFailed``."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StoreFailed(f"{self._path}: {error}") from error


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
