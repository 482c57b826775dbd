"""When an endpoint may be asked at all: pauses that it asks for, and outages.

The cooldown is closed while a pause that the endpoint asked for lasts (Retry-After), and in an outage: ``IN_A_ROW``
failures with no answer between them. In an outage one probe at a time is sent, after a pause of about an eighth of the
time that the endpoint has been down. The first answer ends the outage. The requests in flight then double with each
round trip, and at least every ``DOUBLING_S``, from a small share of the slots up to all of them (slow start, RFC 5681),
so that a restarted endpoint is not overloaded. The next failure sets them back to the number that was in flight.

Pause and slow start together cost at most a quarter of the time lost, or three seconds: benchmarks/recovery.py.
"""

from __future__ import annotations

import math
from typing import Any

IN_A_ROW = 3
"""Failures with no answer between them that make an outage."""

PAUSE_SHARE = 0.125
MIN_PAUSE_S = 0.25
MAX_PAUSE_S = 5.0
"""The pause between two probes: a share of the time since the first failure, within bounds, 20 % more or less."""

DOUBLING_S = 0.25
STEP_S = 0.02
"""How often to check for one more slot while the slots grow with time, in seconds."""

FIRST_SHARE = 1 / 32
"""The share of the slots that is used after a probe was answered; at least two."""


class Cooldown:
    """Decides whether an endpoint may be asked. Times in seconds on any monotonic clock.

    down_since    when the first failure of the outage ended; None while there is no outage
    answer_count  answers so far
    is_wide_open  no failure needs attention: every request may start
    """

    def __init__(self) -> None:
        """Start open."""
        self.down_since: float | None = None
        self.answer_count = 0
        self.is_wide_open = True
        self.failures = 0
        self._retry_after = -math.inf
        self._paused_until = -math.inf
        self._first_failure_at = 0.0
        self._probe: Any = None
        self._max_in_flight = math.inf
        self._max_set_at = 0.0

    @property
    def closed_until(self) -> float:
        """The time until which no request starts; a past time if it is open."""
        return max(self._retry_after, self._paused_until)

    @property
    def is_steady(self) -> bool:
        """True outside of an outage and its slow start."""
        return self.down_since is None and self._max_in_flight == math.inf

    def admits(self, now: float, in_flight: int) -> bool:
        """Return True if one more request may start."""
        if self.is_wide_open:
            return True
        if now < self.closed_until or self._probe is not None:
            return False
        if in_flight >= self._max_now(now):
            return False
        self.is_wide_open = self.is_steady and not self.failures
        return True

    def admits_at(self, now: float, in_flight: int) -> float | None:
        """Return when it opens by itself; None if it waits for the end of a request."""
        if self.is_wide_open:
            return now
        if self._probe is not None:
            return None
        wait_s = STEP_S if in_flight >= self._max_now(now) else 0.0
        return max(now + wait_s, self.closed_until)

    def record_start(self, item: Any) -> None:
        """Record a start: in an outage it is the probe."""
        if self.down_since is not None:
            self._probe = item

    def record_answer(self, item: Any, now: float, slots: int, in_flight: int) -> None:
        """Record an answer: it ends an outage. ``in_flight`` counts the answered request.

        A request that was sent before the outage may be answered although no new one is: then only two more start.
        """
        self.answer_count += 1
        self.failures = 0
        if self.down_since is None:
            if self._max_in_flight < math.inf:
                self._grow(now, slots)
            return
        if self.is_probe(item):
            self._max_in_flight = max(2, round(FIRST_SHARE * slots))
        else:
            self._max_in_flight = in_flight + 1
        self._max_set_at = now
        self.down_since = None
        self._probe = None
        self._paused_until = -math.inf

    def _grow(self, now: float, slots: int) -> None:
        is_full = self._max_now(now) >= slots
        self._max_in_flight = math.inf if is_full else self._max_in_flight + 1

    def record_failure(
        self, item: Any, now: float, in_flight: int, wait_s: float | None, jitter: float
    ) -> None:
        """Record a failure that may be the endpoint's.

        in_flight   requests in flight without this one
        wait_s      the pause that the endpoint asks for, in seconds
        jitter      chance, in [0, 1)
        """
        self.is_wide_open = False
        if wait_s is not None:
            self._retry_after = max(self._retry_after, now + wait_s)
        if not self.failures:
            self._first_failure_at = now
        self.failures += 1
        if self._max_in_flight < math.inf:
            self._max_in_flight = max(in_flight, 1)
            self._max_set_at = now
        begins = self.down_since is None and self.failures >= IN_A_ROW
        if begins:
            self.down_since = self._first_failure_at
        if self.down_since is not None and (begins or item is self._probe):
            self._pause(now, now - self.down_since, jitter)
        self.record_cancellation(item)

    def _pause(self, now: float, down_s: float, jitter: float) -> None:
        pause_s = min(max(PAUSE_SHARE * down_s, MIN_PAUSE_S), MAX_PAUSE_S)
        self._paused_until = now + pause_s * (0.8 + 0.4 * jitter)

    def is_probe(self, item: Any) -> bool:
        """Return True if a request in flight is the probe."""
        return self._probe is item

    def record_cancellation(self, item: Any) -> None:
        """Record the end of a request: if it was the probe, another one may start."""
        if item is self._probe:
            self._probe = None

    def _max_now(self, now: float) -> float:
        doublings = min((now - self._max_set_at) / DOUBLING_S, 30.0)
        max_now: float = self._max_in_flight * 2.0**doublings
        return max_now

    def reset(self) -> None:
        """Forget the outage: the requests that waited for its end were given up."""
        self.down_since = None
        self._probe = None
        self.failures = 0
        self._retry_after = -math.inf
        self._paused_until = -math.inf
        self._max_in_flight = math.inf
