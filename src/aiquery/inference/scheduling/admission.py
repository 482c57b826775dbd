"""Pure: who says whether one more request may start at an endpoint, and what is learned from how requests end.

``Admission`` decides here: one limit of requests in flight, one pair of rates, one gate. Where many processes ask the
same endpoint, one of them decides for all, and the others hold permits: see ``inference/cluster``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from aiquery.inference.scheduling.cooldown import Cooldown
from aiquery.inference.scheduling.rate_limit import RateLimiter
from aiquery.inference.scheduling.throttling import ThrottleStatistics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from aiquery.inference.scheduling.concurrency import Limit
    from aiquery.requests.request import RateLimits


class Startable(Protocol):
    """What is noted on an entry: when its last attempt began, and the tokens that were reserved for it."""

    started: float
    reserved: float


class Failure(NamedTuple):
    """How an attempt failed that began at ``started`` and ended at ``now``.

    refused   the endpoint had no room for it; else it broke off, or did not answer
    wait_s    how long the endpoint asks to wait
    jitter    chance, in [0, 1)
    """

    now: float
    started: float
    throttled: bool
    wait_s: float | None
    jitter: float


class Admits(Protocol):
    """What a schedule asks before it starts an entry, and tells when one ends. Seconds on any monotonic clock."""

    in_flight: int

    @property
    def closed_until(self) -> float:
        """When the gate opens, or opened."""

    @property
    def down_since(self) -> float | None:
        """Since when the endpoint answers nobody; None while it answers."""

    @property
    def answer_count(self) -> int:
        """Answers so far: who sees it change knows that the endpoint answers somebody."""

    @property
    def counts_tokens(self) -> bool:
        """Whether it matters how many tokens a request has."""

    def may_have_room(self, now: float) -> bool:
        """Say whether one more may start now, or when time alone allows it, as far as their number goes."""

    def admits(self, now: float, entry: Any) -> bool:
        """Say whether ``entry`` may start now."""

    def admits_at(self, now: float, entry: Any | None) -> float | None:
        """Return when time alone lets ``entry`` (None: a copy of one in flight) start; None if only an ending may."""

    def record_start(self, now: float, entry: Any) -> None:
        """Note that ``entry`` starts, or a copy of it."""

    def announce(self, entries: Iterable[Any]) -> None:
        """Note what waits to start, in its order; looked at only as far as it matters."""

    def record_answer(
        self, entry: Any, now: float, started: float, tokens: float
    ) -> None:
        """End an attempt that began at ``started`` with an answer that used ``tokens`` (0: nobody counts them)."""

    def record_failure(self, entry: Any, failure: Failure) -> None:
        """End an attempt that failed, maybe not by its own fault."""

    def record_rejection(self, entry: Any, now: float) -> None:
        """End an attempt that the endpoint answered with an error that is the request's own."""

    def record_cancellation(self, entry: Any) -> None:
        """End an attempt that says nothing about the endpoint: it was cancelled."""

    def reset_outage(self, now: float) -> None:
        """Begin anew after an outage: who waited for its end has given up."""

    def observe(self, limits: RateLimits) -> None:
        """Take in what the endpoint's headers say."""


class Admission:
    """The one owner of an endpoint's limits."""

    def __init__(
        self,
        limit: Limit,
        rates: RateLimiter | None = None,
        *,
        cost: Callable[[Any], float] | None = None,
    ) -> None:
        """``cost`` says how many tokens to reserve for an entry."""
        self.limit = limit
        self.rates = rates or RateLimiter()
        self.cooldown = Cooldown()
        self._refusals = ThrottleStatistics()
        self.in_flight = 0
        self._cost = cost or (lambda _: 0.0)

    @property
    def closed_until(self) -> float:
        """See ``Admits``."""
        return self.cooldown.closed_until

    @property
    def down_since(self) -> float | None:
        """See ``Admits``."""
        return self.cooldown.down_since

    @property
    def answer_count(self) -> int:
        """See ``Admits``."""
        return self.cooldown.answer_count

    @property
    def counts_tokens(self) -> bool:
        """See ``Admits``."""
        return self.rates.counts_tokens

    def may_have_room(self, now: float) -> bool:
        """See ``Admits``."""
        return not self.cooldown.is_wide_open or self.in_flight < self.limit.slots(now)

    def admits(self, now: float, entry: Any) -> bool:
        """See ``Admits``."""
        if not self.cooldown.admits(
            now, self.in_flight
        ) or self.in_flight >= self.limit.slots(now):
            return False
        return self.rates.wait_s(now, self._cost(entry)) <= 0

    def admits_at(self, now: float, entry: Any | None) -> float | None:
        """See ``Admits``."""
        opens_at = self.cooldown.admits_at(now, self.in_flight)
        if opens_at is None or opens_at > now:
            return opens_at
        if self.in_flight >= self.limit.slots(now):
            return self.limit.grows_at(now)
        return now + self.rates.wait_s(now, 0.0 if entry is None else self._cost(entry))

    def record_start(self, now: float, entry: Startable) -> None:
        """See ``Admits``."""
        entry.reserved = self._cost(entry)
        self.rates.take(now, entry.reserved)
        self.in_flight += 1
        if not self.cooldown.is_wide_open:
            self.cooldown.record_start(entry)

    def announce(self, entries: Iterable[Any]) -> None:
        """Do nothing: who waits is asked for when there is room."""

    def record_answer(
        self, entry: Startable, now: float, started: float, tokens: float
    ) -> None:
        """See ``Admits``."""
        if self.cooldown.is_wide_open:
            self.cooldown.answer_count += 1
        else:
            self._record_served(entry, now)
        if self._refusals.is_counting:
            self._check_dependence(now, started, throttled=False)
        self.limit.record_answer(now, started, tokens or 1.0, self.in_flight)
        self._end(entry, tokens or entry.reserved)

    def record_failure(self, entry: Startable, failure: Failure) -> None:
        """See ``Admits``. A probe teaches the limit nothing: where nobody is served, fewer would not be either."""
        now, is_probe = failure.now, self.cooldown.is_probe(entry)
        self._end(entry, 0.0 if failure.throttled else entry.reserved)
        self.cooldown.record_failure(
            entry, now, self.in_flight, failure.wait_s, failure.jitter
        )
        if not failure.throttled or is_probe:
            return
        if failure.wait_s is not None and self.rates.known:
            self.rates.record_throttle(
                self.cooldown.closed_until
            )  # it was too fast, not too much at once
        elif self._check_dependence(now, failure.started, throttled=True):
            self.limit.record_throttle(now, failure.started, self.in_flight)

    def record_rejection(self, entry: Startable, now: float) -> None:
        """See ``Admits``."""
        self._record_served(entry, now)
        self._end(entry, entry.reserved)

    def record_cancellation(self, entry: Startable) -> None:
        """See ``Admits``."""
        self.cooldown.record_cancellation(entry)
        self._end(entry, entry.reserved)

    def reset_outage(self, now: float) -> None:
        """See ``Admits``."""
        del now
        self.cooldown.forget()

    def undo_start(self, entry: Startable) -> None:
        """Take back what ``record_start`` gave: nothing was sent."""
        self.cooldown.record_cancellation(entry)
        self.in_flight -= 1
        self.rates.undo_start(entry.reserved)

    def observe(self, limits: RateLimits) -> None:
        """See ``Admits``."""
        self.rates.observe(limits, self.in_flight)

    def _record_served(self, entry: Startable, now: float) -> None:
        if self.cooldown.is_probe(entry):
            self.limit.restore(now)
        self.cooldown.record_answer(entry, now, self.limit.slots(now), self.in_flight)

    def _check_dependence(self, now: float, started: float, *, throttled: bool) -> bool:
        """Count a request that ended; return whether refusals say anything of the places."""
        depended = self._refusals.depend_on_slots
        self._refusals.observe_end(
            now, started, self.limit.slots(now), throttled=throttled
        )
        if depended and not self._refusals.depend_on_slots:
            self.limit.restore(now)
        return self._refusals.depend_on_slots

    def _end(self, entry: Startable, used: float) -> None:
        self.in_flight -= 1
        self.rates.settle(entry.reserved, used)
