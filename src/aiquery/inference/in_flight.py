"""One distinct request in the queue or in flight, with the batches that wait for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiquery.requests.request import KEY_BYTES

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from aiquery.errors import AIQueryError, ReplyParseError
    from aiquery.inference.query_context import BatchFuture
    from aiquery.inference.scheduling.budget_guard import Cost
    from aiquery.requests.request import Outcome, Request, Response
    from aiquery.tracking.run import RunStats


class InFlightRequest:
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

    def __init__(self, request: Request, key: bytes, pending: BatchFuture, i: int) -> None:
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
    def account(self) -> RunStats | None:
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
    def members(self) -> Sequence[InFlightRequest]:
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
