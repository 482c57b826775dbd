"""A distinct request in flight, the batches of rows that wait for it, and its states.

::

    NEW ──> LOOKING_UP ──> QUEUED ──> SENT ──> STORING ──> SETTLED
     └──────────────────────^ ^        │ │                    ^
                              │        │ └─> RESTING ─> SENT  │
                              └────────┘ (repair)             │
                         any state ends in SETTLED ───────────┘
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Final

from aiquery.requests.request import KEY_BYTES

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from aiquery.errors import AIQueryError, ReplyParseError
    from aiquery.inference.query_context import BatchFuture, QueryContext
    from aiquery.inference.scheduling.budget_guard import Cost
    from aiquery.requests.request import Outcome, Request, Response
    from aiquery.tracking.run import RunStats


class State(IntEnum):
    """Where a request is on its way from the engine to its outcome."""

    NEW = 0
    """Created by the client."""
    LOOKING_UP = 1
    """The store is being asked for its answer."""
    QUEUED = 2
    """It waits in the queue of its endpoint."""
    SENT = 3
    """At least one attempt is in flight."""
    RESTING = 4
    """An attempt failed; it waits for the next one."""
    STORING = 5
    """Its answer is being written to the store."""
    SETTLED = 6
    """Its waiters have the outcome."""


NEW, LOOKING_UP, QUEUED, SENT, RESTING, STORING, SETTLED = State
"""Names of their own: on Python 3.11 an attribute of an enum takes 0.1 µs, and a request reads ten of them."""

_NEXT: Final = {
    NEW: {LOOKING_UP, QUEUED, SETTLED},
    LOOKING_UP: {QUEUED, SETTLED},
    # A text of a batch stays queued while its batch is sent, and may return to the queue.
    QUEUED: {QUEUED, SENT, STORING, SETTLED},
    # A hedge sends a request that is in flight a second time.
    SENT: {SENT, QUEUED, RESTING, STORING, SETTLED},
    RESTING: {SENT, SETTLED},
    STORING: {SETTLED},
    SETTLED: set(),
}


class Attempted:
    """The unit of an attempt: one request, or a batch of texts. Base class of both.

    queued_at, started    when it was queued, and when its last attempt started
    reserved              tokens reserved for the attempt from the rate limit
    max_cost              the highest cost of an attempt, reserved from the budget
    attempts, charged     attempts so far, and those that count towards ``max_attempts``
    times, seen, suspect  how it failed while other requests were answered: see ``Retry``
    sent_again            it was sent again after a connection closed without a reply
    deadline              no attempt starts after it
    tasks                 the attempts in flight: two while a hedge runs
    """

    __slots__ = (
        "attempts",
        "charged",
        "deadline",
        "ledger_key",
        "max_cost",
        "queued_at",
        "repaired",
        "request",
        "reserved",
        "seen",
        "sent_again",
        "size",
        "started",
        "state",
        "suspect",
        "tasks",
        "times",
    )

    def __init__(self, request: Request, ledger_key: bytes) -> None:
        """Start in the state NEW, with no attempt."""
        self.request = request
        self.ledger_key = ledger_key
        self.state = NEW
        self.size = request.size()
        self.queued_at = 0.0
        self.started = 0.0
        self.reserved = 0.0
        self.attempts = 0
        self.charged = 0
        self.times = 0
        self.seen = 0
        self.suspect = False
        self.sent_again = False
        self.deadline: float | None = None
        self.repaired = False
        self.max_cost: Cost | None = None
        self.tasks: list[asyncio.Task[None]] = []

    def move_to(self, state: State) -> None:
        """Change the state. Raises ``AssertionError`` for a change that must not happen."""
        if state not in _NEXT[self.state]:
            raise AssertionError(
                f"a request cannot go from {self.state!r} to {state!r}"
            )
        self.state = state

    @property
    def is_done(self) -> bool:
        """True once it has an answer or its outcome: no further attempt is made."""
        return self.state >= STORING

    @property
    def requests(self) -> Sequence[InFlightRequest]:
        """The requests that one attempt answers."""
        raise NotImplementedError

    def is_unwanted(self) -> bool:
        """Return True if every statement that waited for it was cancelled."""
        return all(request.is_unwanted() for request in self.requests)

    def read(self, response: Response) -> list[object]:
        """Return the value of each request. Raises the row's error."""
        raise NotImplementedError

    def count_cut(self, response: Response) -> int:
        """Count the requests whose answer, or text to embed, was cut."""
        raise NotImplementedError

    def start_repair(self, error: ReplyParseError) -> bool:
        """Return True if the model may see its unreadable reply and try again; True at most once."""
        is_first = not self.repaired
        self.repaired = True
        return is_first and error.repairable and not self.is_unwanted()


class InFlightRequest(Attempted):
    """One distinct request, with the futures of the batches of rows that wait for it."""

    __slots__ = ("claimed", "context", "counted", "key", "waiters")

    def __init__(
        self, request: Request, key: bytes, future: BatchFuture, i: int
    ) -> None:
        """``key`` is empty for a request that is never shared. ``i`` is its position in ``future``.

        ``context`` is the first statement that submitted it.
        """
        super().__init__(request, key or bytes(KEY_BYTES))
        self.key = key
        self.context = future.context
        self.waiters = [(future, i)]
        self.claimed = False
        self.counted = False

    @property
    def requests(self) -> Sequence[InFlightRequest]:
        """The request itself."""
        return (self,)

    @property
    def stats(self) -> RunStats | None:
        """The run that its attempts are counted for: that of the first statement that submitted it."""
        return self.context.stats

    def is_unwanted(self) -> bool:
        """Return True if every statement that waited for it was cancelled."""
        return all(future.context.cancelled.is_set() for future, _ in self.waiters)

    def read(self, response: Response) -> list[object]:
        """Return its value as a list of one. Raises the row's error."""
        return [self.request.template.parser.read(response, self.request)]

    def count_cut(self, response: Response) -> int:
        """Return 1 if the answer was cut, else 0."""
        return int(response.truncated)

    def failure_elsewhere(self) -> Outcome | None:
        """Return its failure in another process, if that process runs the same statement."""
        failures = [future.context.failures.get(self.key) for future, _ in self.waiters]
        return failures[0] if all(failures) else None

    # --- figures of its run

    def count_sent(self) -> None:
        """Count it as sent, once."""
        stats = self.context.stats
        if not self.counted and stats is not None:
            stats.requests += 1
        self.counted = True

    def count_failure(self, outcome: Outcome, error: AIQueryError) -> None:
        """Count it as failed, unless it only ends because its statement stopped."""
        own = all(
            future.context.stopped_by is not outcome for future, _ in self.waiters
        )
        if own and self.stats is not None:
            self.stats.count_failed_request(type(error).__name__, error.message)

    def count_cache_hit(self, made_at: float) -> None:
        """Count an answer that was stored at ``made_at``, if that was before its statement began."""
        if self.stats is not None and made_at < self.stats.since:
            self.stats.cache_hits += 1

    def count_not_stored(self) -> None:
        """Count an answer that the store never got."""
        if self.stats is not None:
            self.stats.not_stored += 1


def contexts_of(requests: Sequence[InFlightRequest]) -> set[QueryContext]:
    """Return the statements that wait for any of the requests."""
    waiters = [waiter for request in requests for waiter in request.waiters]
    return {future.context for future, _ in waiters}
