"""One endpoint as the coordinator sees it: its limits, who asks for permits, how they are divided."""

from __future__ import annotations

import random
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

from aiquery.inference.cluster.messages import (
    BudgetExhausted,
    CooldownStarted,
    EndpointLimits,
    PermitReleased,
    PermitsGranted,
    QuotaGranted,
)
from aiquery.inference.scheduling.admission import Admission, Failure
from aiquery.inference.scheduling.concurrency import FixedLimit, Limit, make_limit
from aiquery.inference.scheduling.rate_limit import RateLimiter
from aiquery.inference.scheduling.scheduler import Scheduler
from aiquery.runtime.timer import Timer

if TYPE_CHECKING:
    import asyncio

    from aiquery.inference.scheduling.budget_guard import BudgetGuard, Cost

NO_LIMIT = 1 << 30
SMALL = 1.05
"""A share that grew by less is not worth a message."""


class Listener(Protocol):
    """A worker process: what it holds of any endpoint, and the way to it."""

    held: dict[int, Permit]

    def send(self, message: Any) -> None:  # noqa: ANN401  one of ``FromCoordinator``
        """Send soon."""


class Permit:
    """One permit, from when it is asked for until it comes back."""

    __slots__ = ("branch", "most", "number", "reserved", "started", "tokens")

    def __init__(self, number: int, branch: Subscription, tokens: float, most: Cost) -> None:
        """``tokens`` and ``most`` are what to reserve."""
        self.number = number
        self.branch = branch
        self.tokens = tokens
        self.most = most
        self.started = 0.0
        self.reserved = 0.0


class Subscription:
    """One worker's view of one endpoint: its number there, whose permits it holds, whose purse it pays from."""

    def __init__(self, worker: Listener, lane: int, place: EndpointState, purse: BudgetGuard | None) -> None:
        """Hold nothing."""
        self.worker = worker
        self.lane = lane
        self.place = place
        self.purse = purse
        self.permits = 0
        self.keep = 0
        self.asks: deque[Permit] = deque()
        place.branches.add(self)

    def share(self, keep: int) -> None:
        """Say how many permits it may go on with, if that is less than it thinks, or clearly more."""
        if keep < self.keep or keep > SMALL * self.keep:
            self.keep = keep
            self.worker.send(QuotaGranted(self.lane, keep))


class EndpointState:
    """One endpoint: its limits, and who waits for a permit."""

    def __init__(self, terms: EndpointLimits, loop: asyncio.AbstractEventLoop) -> None:
        """Start with nothing in flight."""
        rates = RateLimiter(terms.requests_per_minute, terms.tokens_per_minute)
        self.admission = Admission(_limit(terms), rates, cost=lambda ticket: ticket.tokens)
        self.schedule: Scheduler[Permit] = Scheduler(self.admission, allows=self._afford)
        self.branches: set[Subscription] = set()
        self._loop = loop
        self._busy = 0
        self._shares = (0, 0)
        self._alarm = Timer(loop, self.kick)

    def kick(self) -> None:
        """Grant what may be granted now, and look again when time alone allows more."""
        now = time.monotonic()
        while (ticket := self.schedule.take(now)) is not None:
            branch, most = ticket.branch, ticket.most
            branch.worker.held[ticket.number] = ticket
            branch.worker.send(PermitsGranted(branch.lane, ticket.number, ticket.reserved, most.tokens, most.usd))
            branch.asks.popleft()
            if branch.asks:
                self.schedule.add(branch.asks[0])
        self._divide(now)
        self._alarm.set(now, self.schedule.wake_at(now))

    def ask(self, ticket: Permit) -> None:
        """Queue a wish. One of each branch waits in the schedule: so the branches take turns."""
        branch = ticket.branch
        branch.asks.append(ticket)
        if len(branch.asks) == 1:
            self.schedule.add(ticket)
        self.wants(branch, 1)

    def wants(self, branch: Subscription, change: int) -> None:
        """Note that a branch asks for, or holds, so many permits more (or less)."""
        was_busy = branch.permits > 0
        branch.permits += change
        self._busy += (branch.permits > 0) - was_busy

    def _divide(self, now: float) -> None:
        """Give each branch that has work an equal share to go on with: no request waits for us then.

        Where something is counted per minute, or paid for, or the endpoint is recovering, each request must ask.
        """
        each_asks = self.admission.rates.known or not self.admission.gate.is_steady
        places = 0 if each_asks else self.admission.limit.places(now)
        if (places, self._busy) != self._shares:
            self._shares = places, self._busy
            for branch in self.branches:
                branch.share(0 if branch.purse is not None else places // max(self._busy, 1))

    def _afford(self, ticket: Permit, now: float) -> bool:
        purse = ticket.branch.purse
        if purse is None or purse.reserve(ticket.most, now):
            return True
        if purse.reached is not None:
            self._loop.call_soon(self._halt, purse)
        return False

    def _halt(self, purse: BudgetGuard) -> None:
        for branch in self.branches:
            if branch.purse is purse and purse.reached is not None:
                branch.worker.send(
                    BudgetExhausted(branch.lane, purse.reached, purse.requests, purse.spent.tokens, purse.spent.usd)
                )
        for ticket in self.schedule.drop(lambda ticket: ticket.branch.purse is purse):
            self.wants(ticket.branch, -len(ticket.branch.asks))
            ticket.branch.asks.clear()
        self.kick()

    def leave(self, branch: Subscription) -> None:
        """Forget a branch; what it held was taken back."""
        self.branches.discard(branch)
        self._busy -= bool(branch.permits)
        self.schedule.drop(lambda ticket: ticket.branch is branch)
        self.kick()

    def back(self, ticket: Permit, over: PermitReleased) -> None:
        """Take a permit back."""
        now, admission = time.monotonic(), self.admission
        before = admission.closed_until > now, admission.closed_until, admission.down_since
        goes_on = self._end(ticket, over, now)
        if before != (admission.closed_until > now, admission.closed_until, admission.down_since):
            self._say_closed(now)
        if goes_on:
            return
        del ticket.branch.worker.held[ticket.number]
        self.wants(ticket.branch, -1)

    def _end(self, ticket: Permit, over: PermitReleased, now: float) -> bool:
        """Learn from how an attempt ended; return whether the permit is used again at once."""
        admission, started = self.admission, now - over.took_s
        if over.how == "answered":
            admission.answered(ticket, now, started, over.tokens)
            if over.next_tokens is not None:
                ticket.tokens = over.next_tokens
                admission.began(now, ticket)
                return True
        elif over.how in {"refused", "failed"}:
            jitter = random.random()  # noqa: S311  no secret
            admission.failed(ticket, Failure(now, started, over.how == "refused", over.wait_s, jitter))
        elif over.how == "rejected":
            admission.rejected(ticket, now)
        elif over.how == "ended":
            admission.ended(ticket)
        else:
            admission.unused(ticket)
            if ticket.branch.purse is not None:
                ticket.branch.purse.unused(ticket.most)
        return False

    def _say_closed(self, now: float) -> None:
        since = self.admission.down_since
        for_s, down_for_s = max(self.admission.closed_until - now, 0.0), None if since is None else now - since
        for branch in self.branches:
            branch.worker.send(CooldownStarted(branch.lane, for_s, down_for_s))


def _limit(terms: EndpointLimits) -> Limit:
    if terms.max_concurrency is None and not terms.slots:
        return FixedLimit(NO_LIMIT)
    return make_limit(terms.max_concurrency, terms.slots)
