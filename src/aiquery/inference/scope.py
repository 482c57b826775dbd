"""What a caller waits for (Pending), in whose name (Scope), and what stands in the queue for it (Entry)."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, cast

from aiquery.errors import AIQueryError
from aiquery.request import KEY_BYTES

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from aiquery.errors import ReplyParseError
    from aiquery.inference.account import Account, Tally
    from aiquery.inference.purse import Cost
    from aiquery.request import Outcome, Request, Response

POLL_S = 0.1
"""How often a waiting engine thread looks whether its query was cancelled, in seconds."""


class Cancelled(AIQueryError):
    """The query was interrupted; what was answered is kept."""


class Scope:
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
        account: Account | None = None,
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


class Pending:
    """The outcomes of some requests, as they come in. Settled on the loop thread, waited for on any other."""

    def __init__(
        self,
        count: int,
        scope: Scope,
        *,
        keep: bool,
        strict: bool,
        null_on_budget: bool = False,
        tally: Tally | None = None,
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


class Entry:
    """One distinct request in the queue or in flight, and everybody who waits for it."""

    __slots__ = (
        "attempts",
        "charged",
        "claimed",
        "counted",
        "deadline",
        "done",
        "key",
        "ledger_key",
        "max_tokens",
        "most",
        "queued_at",
        "repaired",
        "request",
        "reserved",
        "seen",
        "sent_again",
        "size",
        "started",
        "suspect",
        "tasks",
        "times",
        "waiters",
    )

    def __init__(self, request: Request, key: bytes, pending: Pending, i: int) -> None:
        """``key`` is empty for a request that is never shared."""
        self.request = request
        self.key = key
        self.ledger_key = key or bytes(KEY_BYTES)
        self.waiters = [(pending, i)]
        self.size = request.size()
        self.max_tokens = request.target.max_tokens
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
        self.claimed = False
        self.counted = False
        self.done = False
        self.most: Cost | None = None
        self.tasks: list[asyncio.Task[None]] = []

    @property
    def account(self) -> Account | None:
        """What its attempts are counted for: the statement that wanted it first."""
        return self.waiters[0][0].scope.account

    def count(self) -> None:
        """Count it as asked, once."""
        if not self.counted and self.account is not None:
            self.account.asked += 1
        self.counted = True

    def failed(self, outcome: Outcome, error: AIQueryError) -> None:
        """Count it as failed, unless it only ends with its statement."""
        own = all(pending.scope.stopped is not outcome for pending, _ in self.waiters)
        if own and self.account is not None:
            self.account.gave_up(type(error).__name__, error.message, self.request.content)

    def was_stored(self, made_at: float) -> None:
        """Count an answer that was kept at ``made_at``, if that was before its statement."""
        if self.account is not None and made_at < self.account.since:
            self.account.stored += 1

    def not_kept(self) -> None:
        """Count an answer that the store never got."""
        if self.account is not None:
            self.account.not_kept += 1

    @property
    def members(self) -> Sequence[Entry]:
        """The entries that one attempt of this one answers: itself."""
        return (self,)

    def read(self, response: Response) -> list[object]:
        """Return the value of each member, or raise the row's error."""
        return [self.request.target.reply.read(response, self.request)]

    def cut(self, response: Response) -> int:
        """Count the members whose answer was cut."""
        return int(response.truncated)

    def failed_elsewhere(self) -> Outcome | None:
        """Return how this request failed in another process, if everybody who waits for it shares that statement."""
        failures = [pending.scope.failed.get(self.key) for pending, _ in self.waiters]
        return failures[0] if all(failures) else None

    def may_repair(self, error: ReplyParseError) -> bool:
        """Say whether the model may see its unreadable reply and try once more; True at most once."""
        first, self.repaired = not self.repaired, True
        return first and error.repairable and not self.unwanted()

    def unwanted(self) -> bool:
        """Say whether everybody who waited has gone."""
        return all(pending.scope.cancelled.is_set() for pending, _ in self.waiters)
