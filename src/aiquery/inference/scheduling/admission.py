"""Whether one more request may start at an endpoint, and what is learned from how requests end.

``Admission`` decides in one process: a concurrency limit, rate limits and a cooldown. Where many processes ask the same
endpoint, one of them decides for all, and the others hold permits: see ``inference/cluster``.
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
    """What is recorded on an item: when its last attempt started, and the tokens that were reserved for it."""

    started: float
    reserved: float


class Failure(NamedTuple):
    """A failed attempt that began at ``started`` and ended at ``now``.

    throttled   the endpoint had no room for it; else it broke off, or did not answer
    wait_s      how long the endpoint asks to wait
    jitter      chance, in [0, 1)
    """

    now: float
    started: float
    throttled: bool
    wait_s: float | None
    jitter: float


class Admits(Protocol):
    """What a scheduler asks before it starts an item, and informs when one ends. Seconds on any monotonic clock."""

    in_flight: int

    @property
    def closed_until(self) -> float:
        """The time until which no request starts; a past time if it is open."""

    @property
    def down_since(self) -> float | None:
        """Since when the endpoint answers no request; None while it answers."""

    @property
    def answer_count(self) -> int:
        """Answers so far."""

    @property
    def counts_tokens(self) -> bool:
        """True if the tokens of a request matter."""

    def may_have_room(self, now: float) -> bool:
        """Return True if one more request may start now or later by itself, as far as the number of slots goes."""

    def admits(self, now: float, item: Any) -> bool:
        """Return True if ``item`` may start now."""

    def admits_at(self, now: float, item: Any | None) -> float | None:
        """Return when ``item`` (None: a hedge) may start by itself; None if it waits for the end of a request."""

    def record_start(self, now: float, item: Any) -> None:
        """Record the start of ``item``, or of its hedge."""

    def announce(self, items: Iterable[Any]) -> None:
        """Take note of the items that wait, in their order; they are read only as far as needed."""

    def record_answer(
        self, item: Any, now: float, started: float, tokens: float
    ) -> None:
        """End an attempt with an answer that used ``tokens``; 0 if they are unknown."""

    def record_failure(self, item: Any, failure: Failure) -> None:
        """End an attempt that failed, perhaps not by its own fault."""

    def record_rejection(self, item: Any, now: float) -> None:
        """End an attempt that the endpoint answered with an error that is the request's own."""

    def record_cancellation(self, item: Any) -> None:
        """End an attempt that carries no information about the endpoint."""

    def reset_outage(self, now: float) -> None:
        """Forget an outage: the requests that waited for its end were given up."""

    def observe(self, limits: RateLimits) -> None:
        """Take over the limits in the endpoint's headers."""


def _no_tokens(item: Any) -> float:
    del item
    return 0.0


class Admission:
    """The one owner of an endpoint's limits."""

    def __init__(
        self,
        limit: Limit,
        rates: RateLimiter | None = None,
        *,
        cost: Callable[[Any], float] | None = None,
    ) -> None:
        """``cost`` returns the tokens to reserve for an item."""
        self.limit = limit
        self.rates = rates or RateLimiter()
        self.cooldown = Cooldown()
        self.in_flight = 0
        self._throttles = ThrottleStatistics()
        self._cost = cost or _no_tokens

    @property
    def closed_until(self) -> float:
        """The time until which no request starts."""
        return self.cooldown.closed_until

    @property
    def down_since(self) -> float | None:
        """Since when the endpoint answers no request."""
        return self.cooldown.down_since

    @property
    def answer_count(self) -> int:
        """Answers so far."""
        return self.cooldown.answer_count

    @property
    def counts_tokens(self) -> bool:
        """True if there is a limit of tokens per minute."""
        return self.rates.counts_tokens

    def may_have_room(self, now: float) -> bool:
        """Return True if there is a free slot, or a cooldown that time may end."""
        return not self.cooldown.is_wide_open or self.in_flight < self.limit.slots(now)

    def admits(self, now: float, item: Any) -> bool:
        """Return True if cooldown, slots and rates allow a start now."""
        if not self.cooldown.admits(now, self.in_flight):
            return False
        if self.in_flight >= self.limit.slots(now):
            return False
        return self.rates.wait_s(now, self._cost(item)) <= 0

    def admits_at(self, now: float, item: Any | None) -> float | None:
        """Return when time alone allows a start; None if it waits for the end of a request."""
        opens_at = self.cooldown.admits_at(now, self.in_flight)
        if opens_at is None or opens_at > now:
            return opens_at
        if self.in_flight >= self.limit.slots(now):
            return self.limit.grows_at(now)
        tokens = 0.0 if item is None else self._cost(item)
        return now + self.rates.wait_s(now, tokens)

    def record_start(self, now: float, item: Startable) -> None:
        """Take a slot and the tokens of an item."""
        item.reserved = self._cost(item)
        self.rates.take(now, item.reserved)
        self.in_flight += 1
        if not self.cooldown.is_wide_open:
            self.cooldown.record_start(item)

    def announce(self, items: Iterable[Any]) -> None:
        """Do nothing: items are taken when there is room."""

    def record_answer(
        self, item: Startable, now: float, started: float, tokens: float
    ) -> None:
        """Free the slot; the limit learns from the answer."""
        if self.cooldown.is_wide_open:
            self.cooldown.answer_count += 1
        else:
            self._record_served(item, now)
        if self._throttles.is_counting:
            self._check_dependence(now, started, throttled=False)
        self.limit.record_answer(now, started, tokens or 1.0, self.in_flight)
        self._free(item, tokens or item.reserved)

    def record_failure(self, item: Startable, failure: Failure) -> None:
        """Free the slot; cooldown, limit and rates learn from the failure.

        A probe teaches the limit nothing: in an outage fewer slots would not help.
        """
        now = failure.now
        is_probe = self.cooldown.is_probe(item)
        self._free(item, 0.0 if failure.throttled else item.reserved)
        self.cooldown.record_failure(
            item, now, self.in_flight, failure.wait_s, failure.jitter
        )
        if not failure.throttled or is_probe:
            return
        if failure.wait_s is not None and self.rates.has_limit:
            # With Retry-After and limits per minute it was too fast, not too many at once.
            self.rates.record_throttle(self.cooldown.closed_until)
        elif self._check_dependence(now, failure.started, throttled=True):
            self.limit.record_throttle(now, failure.started, self.in_flight)

    def record_rejection(self, item: Startable, now: float) -> None:
        """Free the slot; the endpoint answers, so an outage is over."""
        self._record_served(item, now)
        self._free(item, item.reserved)

    def record_cancellation(self, item: Startable) -> None:
        """Free the slot."""
        self.cooldown.record_cancellation(item)
        self._free(item, item.reserved)

    def reset_outage(self, now: float) -> None:
        """Forget an outage."""
        del now
        self.cooldown.reset()

    def undo_start(self, item: Startable) -> None:
        """Undo ``record_start`` for a request that was not sent."""
        self.cooldown.record_cancellation(item)
        self.in_flight -= 1
        self.rates.undo_start(item.reserved)

    def observe(self, limits: RateLimits) -> None:
        """Take over the limits in the endpoint's headers."""
        self.rates.observe(limits, self.in_flight)

    def _record_served(self, item: Startable, now: float) -> None:
        if self.cooldown.is_probe(item):
            self.limit.restore(now)
        self.cooldown.record_answer(item, now, self.limit.slots(now), self.in_flight)

    def _check_dependence(self, now: float, started: float, *, throttled: bool) -> bool:
        """Count a request that ended; return True if throttling depends on the slots."""
        depended = self._throttles.depend_on_slots
        slots = self.limit.slots(now)
        self._throttles.record_end(now, started, slots, throttled=throttled)
        if depended and not self._throttles.depend_on_slots:
            self.limit.restore(now)
        return self._throttles.depend_on_slots

    def _free(self, item: Startable, used: float) -> None:
        self.in_flight -= 1
        self.rates.settle(item.reserved, used)
