"""One endpoint at the coordinator: its limits, the workers that subscribe to it, and how permits are divided."""

from __future__ import annotations

import random
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from aiquery.inference.cluster.messages import (
    BudgetExhausted,
    CooldownStarted,
    EndpointLimits,
    PermitReleased,
    PermitsGranted,
    QuotaGranted,
)
from aiquery.inference.cluster.turns import Turns
from aiquery.inference.scheduling.admission import Admission, Failure
from aiquery.inference.scheduling.concurrency import FixedLimit, Limit, make_limit
from aiquery.inference.scheduling.rate_limit import RateLimiter
from aiquery.inference.scheduling.scheduler import Scheduler
from aiquery.runtime.timer import Timer

if TYPE_CHECKING:
    import asyncio

    from aiquery.inference.scheduling.budget_guard import BudgetGuard, Cost

NO_LIMIT = 1 << 30
MIN_QUOTA_GROWTH = 1.05
"""A quota that grew by less is not sent."""


class Worker(Protocol):
    """A worker process: the permits that it holds of any endpoint, and a way to send to it."""

    held: dict[int, Permit]

    def send(self, message: Any) -> None:
        """Send a message soon."""


@dataclass(slots=True, eq=False)
class Permit:
    """One permit, from its request until it returns. ``tokens`` and ``max_cost`` are reserved when it is granted."""

    number: int
    subscription: Subscription
    tokens: float
    max_cost: Cost
    started: float = 0.0
    reserved: float = 0.0


@dataclass(slots=True, eq=False)
class Subscription:
    """One worker's view of one endpoint: its channel, its permits, and the budget that it is charged to."""

    worker: Worker
    channel: int
    endpoint: EndpointState
    budget_guard: BudgetGuard | None
    permits: int = 0
    quota: int = 0
    requests: deque[Permit] = field(default_factory=deque)

    def __post_init__(self) -> None:
        """Make the endpoint know this worker."""
        self.endpoint.subscriptions.add(self)
        self.endpoint.turns.join(self)

    def set_quota(self, quota: int) -> None:
        """Send the quota, if it is lower than before or clearly higher."""
        if quota < self.quota or quota > MIN_QUOTA_GROWTH * self.quota:
            self.quota = quota
            self.worker.send(QuotaGranted(self.channel, quota))


class EndpointState:
    """One endpoint: its limits, and the permits that workers request."""

    def __init__(self, limits: EndpointLimits, loop: asyncio.AbstractEventLoop) -> None:
        """Start with no request in flight."""
        rates = RateLimiter(limits.requests_per_minute, limits.tokens_per_minute)
        self.admission = Admission(_make_limit(limits), rates, cost=_tokens)
        self.scheduler: Scheduler[Permit] = Scheduler(
            self.admission, allows=self._reserve
        )
        self.subscriptions: set[Subscription] = set()
        self.turns = Turns()
        self._loop = loop
        self._busy = 0
        self._divided = (0, 0)
        self._timer = Timer(loop, self.start_ready)

    def start_ready(self) -> None:
        """Grant the permits that may be granted now, and set a timer for the next time."""
        now = time.monotonic()
        while (permit := self.scheduler.take(now)) is not None:
            self._grant(permit)
        self._divide(now)
        self._timer.set(now, self.scheduler.wake_at(now))

    def _grant(self, permit: Permit) -> None:
        subscription = permit.subscription
        subscription.worker.held[permit.number] = permit
        grant = PermitsGranted(
            channel=subscription.channel,
            permit=permit.number,
            tokens=permit.reserved,
            max_tokens=permit.max_cost.tokens,
            max_usd=permit.max_cost.usd,
        )
        subscription.worker.send(grant)
        subscription.requests.popleft()
        if subscription.requests:
            self.scheduler.add(subscription.requests[0])

    def request(self, permit: Permit) -> None:
        """Queue a request. One of each subscription waits in the scheduler, so that they take turns."""
        subscription = permit.subscription
        subscription.requests.append(permit)
        if len(subscription.requests) == 1:
            self.scheduler.add(permit)
        self._count_permits(subscription, 1)

    def _count_permits(self, subscription: Subscription, change: int) -> None:
        """Count the permits that a subscription requests or holds."""
        was_busy = subscription.permits > 0
        subscription.permits += change
        is_busy = subscription.permits > 0
        if is_busy and not was_busy:
            self._busy += 1
        elif was_busy and not is_busy:
            self._busy -= 1

    def _divide(self, now: float) -> None:
        """Give each busy subscription an equal quota, so that its requests do not wait for a grant.

        With limits per minute, a budget, or an endpoint that recovers, each attempt needs a grant.
        """
        needs_grants = (
            self.admission.rates.has_limit or not self.admission.cooldown.is_steady
        )
        slots = 0 if needs_grants else self.admission.limit.slots(now)
        if (slots, self._busy) == self._divided:
            return
        self._divided = (slots, self._busy)
        quota = slots // max(self._busy, 1)
        for subscription in self.subscriptions:
            subscription.set_quota(
                0 if subscription.budget_guard is not None else quota
            )

    def _reserve(self, permit: Permit, now: float) -> bool:
        guard = permit.subscription.budget_guard
        if guard is None or guard.reserve(permit.max_cost, now):
            return True
        if guard.reached is not None:
            self._loop.call_soon(self._stop_budget, guard, guard.reached)
        return False

    def _stop_budget(self, guard: BudgetGuard, reached: str) -> None:
        """Inform the workers of an exhausted budget, and drop their requests."""
        for subscription in self.subscriptions:
            if subscription.budget_guard is guard:
                message = BudgetExhausted(
                    channel=subscription.channel,
                    reached=reached,
                    requests=guard.requests,
                    tokens=guard.spent.tokens,
                    usd=guard.spent.usd,
                )
                subscription.worker.send(message)
        dropped = self.scheduler.drop(
            lambda permit: permit.subscription.budget_guard is guard
        )
        for permit in dropped:
            subscription = permit.subscription
            self._count_permits(subscription, -len(subscription.requests))
            subscription.requests.clear()
        self.start_ready()

    def unsubscribe(self, subscription: Subscription) -> None:
        """Remove a subscription whose permits were released."""
        self.subscriptions.discard(subscription)
        self.turns.leave(subscription)
        if subscription.permits:
            self._busy -= 1
        self.scheduler.drop(lambda permit: permit.subscription is subscription)
        self.start_ready()

    def release(self, permit: Permit, release: PermitReleased) -> None:
        """Take a permit back."""
        now = time.monotonic()
        before = self._cooldown_state(now)
        is_reused = self._end_attempt(permit, release, now)
        if before != self._cooldown_state(now):
            self._send_cooldown(now)
        if is_reused:
            return
        del permit.subscription.worker.held[permit.number]
        self._count_permits(permit.subscription, -1)

    def _cooldown_state(self, now: float) -> tuple[bool, float, float | None]:
        closed_until = self.admission.closed_until
        return closed_until > now, closed_until, self.admission.down_since

    def _end_attempt(self, permit: Permit, release: PermitReleased, now: float) -> bool:
        """Learn from an attempt that ended; return True if the permit is in use again."""
        admission = self.admission
        started = now - release.took_s
        if release.how == "answered":
            admission.record_answer(permit, now, started, release.tokens)
            if release.next_tokens is not None:
                permit.tokens = release.next_tokens
                admission.record_start(now, permit)
                return True
        elif release.how in {"throttled", "failed"}:
            throttled = release.how == "throttled"
            jitter = random.random()  # noqa: S311  not a secret
            failure = Failure(now, started, throttled, release.wait_s, jitter)
            admission.record_failure(permit, failure)
        elif release.how == "rejected":
            admission.record_rejection(permit, now)
        elif release.how == "cancelled":
            admission.record_cancellation(permit)
        else:
            admission.undo_start(permit)
            if permit.subscription.budget_guard is not None:
                permit.subscription.budget_guard.undo_start(permit.max_cost)
        return False

    def _send_cooldown(self, now: float) -> None:
        down_since = self.admission.down_since
        for_s = max(self.admission.closed_until - now, 0.0)
        down_for_s = None if down_since is None else now - down_since
        for subscription in self.subscriptions:
            message = CooldownStarted(subscription.channel, for_s, down_for_s)
            subscription.worker.send(message)


def _tokens(permit: Permit) -> float:
    return permit.tokens


def _make_limit(limits: EndpointLimits) -> Limit:
    if limits.max_concurrency is None and not limits.slots:
        return FixedLimit(NO_LIMIT)
    return make_limit(limits.max_concurrency, limits.slots)
