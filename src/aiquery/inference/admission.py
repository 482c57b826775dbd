"""Pure: who says whether one more request may start at an endpoint, and what is learned from how requests end.

``Admission`` decides here: one limit of requests in flight, one pair of rates, one gate. Where many processes ask the
same endpoint, one of them decides for all, and the others hold permits: see ``inference/cluster``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from aiquery.inference.gate import Gate
from aiquery.inference.rate import Rates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from aiquery.inference.limit import Limit
    from aiquery.request import RateLimits


class Startable(Protocol):
    """What is noted on an entry: when its last attempt began, and the tokens that were reserved for it."""

    started: float
    reserved: float


class Admits(Protocol):
    """What a schedule asks before it starts an entry, and tells when one ends. Seconds on any monotonic clock."""

    in_flight: int

    @property
    def closed_until(self) -> float:
        """When the gate opens, or opened."""

    @property
    def counts_tokens(self) -> bool:
        """Whether it matters how many tokens a request has."""

    def admits(self, now: float, entry: Any) -> bool:  # noqa: ANN401  what the schedule holds
        """Say whether ``entry`` may start now."""

    def admits_at(self, now: float, entry: Any | None) -> float | None:  # noqa: ANN401
        """Return when time alone lets ``entry`` (None: a copy of one in flight) start; None if only an ending may."""

    def began(self, now: float, entry: Any) -> None:  # noqa: ANN401
        """Note that ``entry`` starts, or a copy of it."""

    def wanted(self, entries: Iterable[Any]) -> None:
        """Note what waits to start, in its order; looked at only as far as it matters."""

    def answered(self, entry: Any, now: float, started: float, tokens: float) -> None:  # noqa: ANN401
        """End an attempt that began at ``started`` with an answer that used ``tokens`` (0: nobody counts them)."""

    def refused(
        self, entry: Any, now: float, started: float, wait_s: float | None, jitter: float  # noqa: ANN401
    ) -> None:  # fmt: skip
        """End an attempt that the endpoint had no room for: that concerns every request, not this one."""

    def ended(self, entry: Any) -> None:  # noqa: ANN401
        """End an attempt that failed or was cancelled."""

    def learn(self, limits: RateLimits) -> None:
        """Take in what the endpoint's headers say."""


class Admission:
    """The one owner of an endpoint's limits."""

    def __init__(self, limit: Limit, rates: Rates | None = None, *, cost: Callable[[Any], float] | None = None) -> None:
        """``cost`` says how many tokens to reserve for an entry."""
        self.limit = limit
        self.rates = rates or Rates()
        self.gate = Gate()
        self.in_flight = 0
        self._cost = cost or (lambda _: 0.0)

    @property
    def closed_until(self) -> float:
        """See ``Admits``."""
        return self.gate.closed_until

    @property
    def counts_tokens(self) -> bool:
        """See ``Admits``."""
        return self.rates.counts_tokens

    def admits(self, now: float, entry: Any) -> bool:  # noqa: ANN401
        """See ``Admits``."""
        if not self.gate.is_open(now) or self.in_flight >= self.limit.places(now):
            return False
        return self.rates.wait_s(now, self._cost(entry)) <= 0

    def admits_at(self, now: float, entry: Any | None) -> float | None:  # noqa: ANN401
        """See ``Admits``."""
        if not self.gate.is_open(now):
            return self.gate.closed_until
        if self.in_flight >= self.limit.places(now):
            return self.limit.grows_at(now)
        return now + self.rates.wait_s(now, 0.0 if entry is None else self._cost(entry))

    def began(self, now: float, entry: Startable) -> None:
        """See ``Admits``."""
        entry.reserved = self._cost(entry)
        self.rates.take(now, entry.reserved)
        self.in_flight += 1

    def wanted(self, entries: Iterable[Any]) -> None:
        """Do nothing: who waits is asked for when there is room."""

    def answered(self, entry: Startable, now: float, started: float, tokens: float) -> None:
        """See ``Admits``."""
        self.gate.answered()
        self.limit.answered(now, started, tokens or 1.0, self.in_flight)
        self._end(entry, tokens or entry.reserved)

    def refused(self, entry: Startable, now: float, started: float, wait_s: float | None, jitter: float) -> None:
        """See ``Admits``."""
        self._end(entry, 0.0)
        self.gate.refused(now, started, wait_s, jitter)
        if wait_s is not None and self.rates.known:
            self.rates.refused(self.gate.closed_until)  # it was too fast, not too much at once
        else:
            self.limit.refused(now, started, self.in_flight)

    def ended(self, entry: Startable) -> None:
        """See ``Admits``."""
        self._end(entry, entry.reserved)

    def unused(self, entry: Startable) -> None:
        """Take back what ``began`` gave: nothing was sent."""
        self.in_flight -= 1
        self.rates.unused(entry.reserved)

    def learn(self, limits: RateLimits) -> None:
        """See ``Admits``."""
        self.rates.learn(limits, self.in_flight)

    def _end(self, entry: Startable, used: float) -> None:
        self.in_flight -= 1
        self.rates.settle(entry.reserved, used)
