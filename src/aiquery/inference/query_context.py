"""The state that the requests of one statement share, and the future of a batch of rows."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, cast

from aiquery.errors import AIQueryError, Cancelled, copy_error

if TYPE_CHECKING:
    from aiquery.requests.request import Outcome
    from aiquery.tracking.run import RowCounter, RunStats

POLL_S = 0.1
"""How often a waiting engine thread checks for cancellation, in seconds."""


class QueryContext:
    """Cancellation, failed requests and figures of one statement, or of one batch of it.

    failures        outcomes of failed requests by key: a statement that reads a failing row twice sends it once
    stop_on_error   drop the requests that wait once a row of a strict call failed
    stopped_by      the outcome that stopped the statement
    crashed_by      the unexpected error that ends the statement
    over_budget     requests that the budget did not allow
    stats           the figures of its run; None if it is not tracked
    """

    def __init__(
        self,
        *,
        stop_on_error: bool = False,
        statement: str = "",
        failures: dict[bytes, Outcome] | None = None,
        stats: RunStats | None = None,
    ) -> None:
        """Start uncancelled; ``failures`` may be shared with other contexts of the same ``statement``."""
        self.stop_on_error = stop_on_error
        self.stats = stats
        self.statement = statement
        self.failures: dict[bytes, Outcome] = {} if failures is None else failures
        self.stopped_by: Outcome | None = None
        self.crashed_by: AIQueryError | None = None
        self.cancelled = threading.Event()
        self.over_budget: set[bytes] = set()

    @property
    def reader_id(self) -> int:
        """Id of the run that reads cached answers; shared by the tasks of a Spark execution, 0 if untracked."""
        return 0 if self.stats is None else self.stats.reader_id

    def check(self) -> None:
        """Raise ``Cancelled`` if the statement was interrupted."""
        if self.cancelled.is_set():
            raise Cancelled(
                "the query was interrupted; answers so far are in the cache."
            )


class BatchFuture:
    """The outcomes of the requests of one batch. Settled on the loop thread, waited for on any other thread."""

    def __init__(
        self,
        count: int,
        context: QueryContext,
        *,
        keep: bool,
        strict: bool,
        null_on_budget: bool = False,
        row_counter: RowCounter | None = None,
        rows: int = 0,
    ) -> None:
        """Wait for ``count`` outcomes.

        keep             hold the outcomes; False for requests that are sent in advance
        strict           one error fails the query
        null_on_budget   a request over the budget is NULL; False: the wait ends with an error
        row_counter      counts ``rows``, each outcome its share of them
        """
        self._row_counter = row_counter
        self._share = rows / count if count else 0.0
        self.context = context
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
        """Set outcome ``i``."""
        if self.keep:
            self._outcomes[i] = outcome
        if self._row_counter is not None and not self.context.cancelled.is_set():
            self._row_counter.done += self._share
        self._left -= 1
        if not self._left:
            self._done.set()

    def abort(self, error: AIQueryError) -> None:
        """End the wait with an error that is not a row's."""
        self._error = error
        self._done.set()

    def done(self) -> bool:
        """Return True if all outcomes are set."""
        return self._done.is_set()

    def wait_at_most(self, seconds: float) -> None:
        """Wait until all outcomes are set, or for ``seconds``."""
        self._done.wait(max(seconds, 0.0))

    def wait(self) -> list[Outcome]:
        """Return all outcomes in order. Raises ``Cancelled`` if the query was interrupted."""
        while not self._done.wait(POLL_S) and not self.context.cancelled.is_set():
            pass
        self.context.check()
        if self._error is not None:
            raise copy_error(self._error)
        return cast("list[Outcome]", self._outcomes)
