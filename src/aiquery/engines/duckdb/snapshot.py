"""One snapshot of the database for several queries of one statement."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import duckdb

if TYPE_CHECKING:
    from types import TracebackType

    from aiquery.engines.duckdb.settings import Settings


def is_in_transaction(raw: duckdb.DuckDBPyConnection) -> bool:
    """Return True if the user began a transaction, which may have been aborted."""
    try:
        first = raw.execute("SELECT txid_current()").fetchall()
        second = raw.execute("SELECT txid_current()").fetchall()
    except duckdb.TransactionException:
        return True  # it was aborted: the statement itself raises that
    return first == second


class Snapshot:
    """A transaction around the queries of one statement: the user's, or one of its own that begins when it is needed.

    is_of_the_user   the user began the transaction: an error of any query would undo earlier writes
    """

    def __init__(self, raw: duckdb.DuckDBPyConnection, settings: Settings) -> None:
        """Begin nothing."""
        self._raw = raw
        self._settings = settings
        self._has_begun = False
        self._is_of_the_user: bool | None = None

    @property
    def is_of_the_user(self) -> bool:
        """Outside of a transaction, each statement has a number of its own."""
        if self._is_of_the_user is None:
            self._is_of_the_user = is_in_transaction(self._raw)
        return self._is_of_the_user

    def begin(self) -> None:
        """Read one snapshot from now on."""
        if not self._has_begun and not self.is_of_the_user:
            self._raw.execute("BEGIN TRANSACTION")
            self._has_begun = True

    def restart(self) -> None:
        """Begin again after a query failed, which ends a transaction."""
        if self._has_begun:
            self._roll_back()
            self._raw.execute("BEGIN TRANSACTION")

    def __enter__(self) -> Snapshot:  # noqa: PYI034  not a base class
        """Return the snapshot."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Commit what the statement wrote, or roll it back with an error."""
        if not self._has_begun:
            return
        if kind is None:
            self._raw.execute("COMMIT")
            return
        self._roll_back()
        self._settings.restore()

    def _roll_back(self) -> None:
        with suppress(duckdb.TransactionException):  # DuckDB did it with the error
            self._raw.execute("ROLLBACK")
