"""What a caller waits for (Pending), in whose name (Scope), and what stands in the queue for it (Entry)."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, cast

from aiquery.errors import AIQueryError, Cancelled

if TYPE_CHECKING:
    from aiquery.requests.request import Outcome
    from aiquery.tracking.run import RowCounter, RunStats

POLL_S = 0.1
"""How often a waiting engine thread looks whether its query was cancelled, in seconds."""


class QueryContext:
    """One query, or one batch of it: what fails together and is cancelled together.

    ``failed`` remembers the row errors, so that a query that reads a failing row twice pays once;
    ``stop_on_error`` drops what has not started as soon as one row of a strict call failed for good; ``stopped`` is
    that outcome. ``unasked`` are the requests that the budget did not allow. ``account`` is what is counted for it.
    """

    def __init__(
        self,
        *,
        stop_on_error: bool = False,
        statement: str = "",
        failed: dict[bytes, Outcome] | None = None,
        account: RunStats | None = None,
    ) -> None:
        """Start with nothing cancelled; ``failed`` is what failed in other scopes of the same ``statement``."""
        self.stop_on_error = stop_on_error
        self.account = account
        self.statement = statement
        self.failed: dict[bytes, Outcome] = {} if failed is None else failed
        self.stopped: Outcome | None = None
        self.cancelled = threading.Event()
        self.unasked: set[bytes] = set()

    @property
    def told(self) -> int:
        """Who is told the answers: a number that tasks of one Spark execution share; 0 where nobody counts."""
        return 0 if self.account is None else self.account.told

    def check(self) -> None:
        """Raise ``Cancelled`` if the query was interrupted."""
        if self.cancelled.is_set():
            raise Cancelled("the query was interrupted; what was answered is kept.")


class BatchFuture:
    """The outcomes of some requests, as they come in. Settled on the loop thread, waited for on any other."""

    def __init__(
        self,
        count: int,
        scope: QueryContext,
        *,
        keep: bool,
        strict: bool,
        null_on_budget: bool = False,
        tally: RowCounter | None = None,
        rows: int = 0,
    ) -> None:
        """Wait for ``count`` outcomes, held if ``keep``; ``strict``: one error fails the query.

        What the budget does not allow ends the wait with its error, or is NULL with ``null_on_budget``. ``tally``
        counts the ``rows`` that wait for it, each outcome its share of them.
        """
        self._tally = tally
        self._share = rows / count if count else 0.0
        self.scope = scope
        self.null_on_budget = null_on_budget
        self.strict = strict
        self.keep = keep
        self._count = count
        self._outcomes: list[Outcome | None] = [None] * (count if keep else 0)
        self._left = count
        self._error: AIQueryError | None = None
        self._done = threading.Event()
        if not count:
            self._done.set()

    def __len__(self) -> int:
        """Count the requests."""
        return self._count

    def settle(self, i: int, outcome: Outcome) -> None:
        """Put outcome ``i`` in its place."""
        if self.keep:
            self._outcomes[i] = outcome
        if self._tally is not None:
            self._tally.done += self._share
        self._left -= 1
        if not self._left:
            self._done.set()

    def abort(self, error: AIQueryError) -> None:
        """End the wait with an error that is not a row's."""
        self._error = error
        self._done.set()

    def done(self) -> bool:
        """Say whether every outcome is there."""
        return self._done.is_set()

    def wait_at_most(self, seconds: float) -> None:
        """Wait until all are there, or for so long."""
        self._done.wait(max(seconds, 0.0))

    def wait(self) -> list[Outcome]:
        """Return the outcomes in order, once all are there; raise ``Cancelled`` if the query was interrupted."""
        while not self._done.wait(POLL_S) and not self.scope.cancelled.is_set():
            pass
        self.scope.check()
        if self._error is not None:
            raise self._error
        return cast("list[Outcome]", self._outcomes)  # every place is filled once all are done
