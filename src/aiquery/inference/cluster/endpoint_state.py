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

    def send(self, message: Any) -> None:
        """Send soon."""


class Permit:
    """One permit, from when it is asked for until it comes back."""

    __slots__ = ("most", "number", "reserved", "started", "subscription", "tokens")

    def __init__(
        self, number: int, subscription: Subscription, tokens: float, most: Cost
    ) -> None:
        """``tokens`` and ``most`` are what to reserve."""
        self.number = number
        self.subscription = subscription
        self.tokens = tokens
        self.most = most
        self.started = 0.0
        self.reserved = 0.0


class Subscription:
    """One worker's view of one endpoint: its number there, whose permits it holds, whose purse it pays from."""

    def __init__(
        self,
        worker: Listener,
        channel: int,
        place: EndpointState,
        budget_guard: BudgetGuard | None,
    ) -> None:
        """Hold nothing."""
        self.worker = worker
        self.channel = channel
        self.place = place
        self.budget_guard = budget_guard
        self.permits = 0
        self.keep = 0
        self.asks: deque[Permit] = deque()
        place.subscriptions.add(self)

    def share(self, keep: int) -> None:
        """Say how many permits it may go on with, if that is less than it thinks, or clearly more."""
        if keep < self.keep or keep > SMALL * self.keep:
            self.keep = keep
            self.worker.send(QuotaGranted(self.channel, keep))


class EndpointState:
    """One endpoint: its limits, and who waits for a permit."""

    def __init__(self, terms: EndpointLimits, loop: asyncio.AbstractEventLoop) -> None:
        """Start with nothing in flight."""
        rates = RateLimiter(terms.requests_per_minute, terms.tokens_per_minute)
        self.admission = Admission(
            _limit(terms), rates, cost=lambda permit: permit.tokens
        )
        self.scheduler: Scheduler[Permit] = Scheduler(
            self.admission, allows=self._afford
        )
        self.subscriptions: set[Subscription] = set()
        self._loop = loop
        self._busy = 0
        self._shares = (0, 0)
        self._alarm = Timer(loop, self.start_ready)

    def start_ready(self) -> None:
        """Grant what may be granted now, and look again when time alone allows more."""
        now = time.monotonic()
        while (permit := self.scheduler.take(now)) is not None:
            subscription, most = permit.subscription, permit.most
            subscription.worker.held[permit.number] = permit
            subscription.worker.send(
                PermitsGranted(
                    subscription.channel,
                    permit.number,
                    permit.reserved,
                    most.tokens,
                    most.usd,
                )
            )
            subscription.asks.popleft()
            if subscription.asks:
                self.scheduler.add(subscription.asks[0])
        self._divide(now)
        self._alarm.set(now, self.scheduler.wake_at(now))

    def ask(self, permit: Permit) -> None:
        """Queue a wish. One of each branch waits in the schedule: so the branches take turns."""
        subscription = permit.subscription
        subscription.asks.append(permit)
        if len(subscription.asks) == 1:
            self.scheduler.add(permit)
        self.wants(subscription, 1)

    def wants(self, subscription: Subscription, change: int) -> None:
        """Note that a branch asks for, or holds, so many permits more (or less)."""
        was_busy = subscription.permits > 0
        subscription.permits += change
        self._busy += (subscription.permits > 0) - was_busy

    def _divide(self, now: float) -> None:
        """Give each branch that has work an equal share to go on with: no request waits for us then.

        Where something is counted per minute, or paid for, or the endpoint is recovering, each request must ask.
        """
        each_asks = self.admission.rates.known or not self.admission.cooldown.is_steady
        slots = 0 if each_asks else self.admission.limit.slots(now)
        if (slots, self._busy) != self._shares:
            self._shares = slots, self._busy
            for subscription in self.subscriptions:
                subscription.share(
                    0
                    if subscription.budget_guard is not None
                    else slots // max(self._busy, 1)
                )

    def _afford(self, permit: Permit, now: float) -> bool:
        budget_guard = permit.subscription.budget_guard
        if budget_guard is None or budget_guard.reserve(permit.most, now):
            return True
        if budget_guard.reached is not None:
            self._loop.call_soon(self._halt, budget_guard)
        return False

    def _halt(self, budget_guard: BudgetGuard) -> None:
        for subscription in self.subscriptions:
            if (
                subscription.budget_guard is budget_guard
                and budget_guard.reached is not None
            ):
                subscription.worker.send(
                    BudgetExhausted(
                        subscription.channel,
                        budget_guard.reached,
                        budget_guard.requests,
                        budget_guard.spent.tokens,
                        budget_guard.spent.usd,
                    )
                )
        for permit in self.scheduler.drop(
            lambda permit: permit.subscription.budget_guard is budget_guard
        ):
            self.wants(permit.subscription, -len(permit.subscription.asks))
            permit.subscription.asks.clear()
        self.start_ready()

    def leave(self, subscription: Subscription) -> None:
        """Forget a branch; what it held was taken back."""
        self.subscriptions.discard(subscription)
        self._busy -= bool(subscription.permits)
        self.scheduler.drop(lambda permit: permit.subscription is subscription)
        self.start_ready()

    def back(self, permit: Permit, over: PermitReleased) -> None:
        """Take a permit back."""
        now, admission = time.monotonic(), self.admission
        before = (
            admission.closed_until > now,
            admission.closed_until,
            admission.down_since,
        )
        goes_on = self._end(permit, over, now)
        if before != (
            admission.closed_until > now,
            admission.closed_until,
            admission.down_since,
        ):
            self._say_closed(now)
        if goes_on:
            return
        del permit.subscription.worker.held[permit.number]
        self.wants(permit.subscription, -1)

    def _end(self, permit: Permit, over: PermitReleased, now: float) -> bool:
        """Learn from how an attempt ended; return whether the permit is used again at once."""
        admission, started = self.admission, now - over.took_s
        if over.how == "answered":
            admission.record_answer(permit, now, started, over.tokens)
            if over.next_tokens is not None:
                permit.tokens = over.next_tokens
                admission.record_start(now, permit)
                return True
        elif over.how in {"throttled", "failed"}:
            jitter = random.random()  # noqa: S311  no secret
            admission.record_failure(
                permit,
                Failure(now, started, over.how == "throttled", over.wait_s, jitter),
            )
        elif over.how == "rejected":
            admission.record_rejection(permit, now)
        elif over.how == "ended":
            admission.record_cancellation(permit)
        else:
            admission.undo_start(permit)
            if permit.subscription.budget_guard is not None:
                permit.subscription.budget_guard.undo_start(permit.most)
        return False

    def _say_closed(self, now: float) -> None:
        since = self.admission.down_since
        for_s, down_for_s = (
            max(self.admission.closed_until - now, 0.0),
            None if since is None else now - since,
        )
        for subscription in self.subscriptions:
            subscription.worker.send(
                CooldownStarted(subscription.channel, for_s, down_for_s)
            )


def _limit(terms: EndpointLimits) -> Limit:
    if terms.max_concurrency is None and not terms.slots:
        return FixedLimit(NO_LIMIT)
    return make_limit(terms.max_concurrency, terms.slots)
