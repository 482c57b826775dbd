"""Pure: one gate per endpoint. Closed, it lets nothing through, whoever asks and however many wait.

It closes when the endpoint asks for a pause (Retry-After), and in an outage: ``IN_A_ROW`` failures with no answer
between them. Then one probe at a time goes out, after a pause of about an eighth of the time that the endpoint has been
down. The first answer ends the outage. The requests in flight then double with each round trip, and at least every
``DOUBLES_S``, from a small share of the places up to all of them (slow start, RFC 5681), so that an endpoint that comes
back is not run over. The next failure sets them back to what it did take.

Pause and slow start together cost at most a quarter of the time lost, or three seconds: benchmarks/recovery.py.
"""

from __future__ import annotations

import math
from typing import Any

IN_A_ROW = 3
"""Failures with no answer between them that make an outage."""

PAUSE_SHARE = 0.125
LEAST_PAUSE_S = 0.25
MOST_PAUSE_S = 5.0
"""The pause between two probes: a share of the time since the first failure, within bounds, 20 % more or less."""

DOUBLES_S = 0.25
STEP_S = 0.02
"""While the places in use grow with time, it is looked so often whether there is one more."""

FIRST_SHARE = 1 / 32
"""The share of the places that is used after a probe was answered; at least two."""


class Cooldown:
    """Whether an endpoint may be asked. Seconds on any monotonic clock.

    down_since   when the first failure of the outage ended; None while there is no outage
    served       answers so far: who sees it change knows that the endpoint answers somebody
    is_wide_open nothing failed since there was nothing to look at: every request may start
    """

    def __init__(self) -> None:
        """Start open."""
        self.down_since: float | None = None
        self.answer_count = 0
        self._asked_until = -math.inf
        self._paused_until = -math.inf
        self.failures = 0
        self._first_failure_at = 0.0
        self._probe: Any = None
        self._most = math.inf
        self._most_at = 0.0
        self.is_wide_open = True  # nothing to look at: every request asks

    @property
    def closed_until(self) -> float:
        """When it opens, or opened."""
        return max(self._asked_until, self._paused_until)

    @property
    def is_steady(self) -> bool:
        """Whether only the ends of requests open it further."""
        return self.down_since is None and self._most == math.inf

    def admits(self, now: float, in_flight: int) -> bool:
        """Say whether one more request may start."""
        if self.is_wide_open:
            return True
        if (
            now < self.closed_until
            or self._probe is not None
            or in_flight >= self._most_now(now)
        ):
            return False
        self.is_wide_open = self.is_steady and not self.failures
        return True

    def admits_at(self, now: float, in_flight: int) -> float | None:
        """Return when time alone opens it; None if only the end of a request does."""
        if self.is_wide_open:
            return now
        if self._probe is not None:
            return None
        wait_s = STEP_S if in_flight >= self._most_now(now) else 0.0
        return max(now + wait_s, self.closed_until)

    def record_start(self, entry: Any) -> None:
        """Note that a request starts: in an outage it is the probe."""
        if self.down_since is not None:
            self._probe = entry

    def record_answer(self, entry: Any, now: float, slots: int, in_flight: int) -> None:
        """Note that the endpoint answered: an outage is over. ``slots`` may be in flight at most, this one included.

        What was sent before the outage may be answered although nothing new is: then two more are tried at first.
        """
        self.answer_count += 1
        self.failures = 0
        if self.down_since is None:
            if self._most < math.inf:
                self._most = self._most + 1 if self._most_now(now) < slots else math.inf
            return
        self._most = (
            max(2, round(FIRST_SHARE * slots))
            if self.is_probe(entry)
            else in_flight + 1
        )
        self._most_at = now
        self.down_since = self._probe = None
        self._paused_until = -math.inf

    def record_failure(
        self, entry: Any, now: float, in_flight: int, wait_s: float | None, jitter: float
    ) -> None:  # fmt: skip
        """Note a failure that may be the endpoint's; ``in_flight`` do not count it. ``jitter`` is in [0, 1)."""
        self.is_wide_open = False
        if wait_s is not None:
            self._asked_until = max(self._asked_until, now + wait_s)
        if not self.failures:
            self._first_failure_at = now
        self.failures += 1
        if self._most < math.inf:
            self._most, self._most_at = max(in_flight, 1), now
        begins = self.down_since is None and self.failures >= IN_A_ROW
        if begins:
            self.down_since = self._first_failure_at
        if self.down_since is not None and (begins or entry is self._probe):
            pause_s = min(
                max(PAUSE_SHARE * (now - self.down_since), LEAST_PAUSE_S), MOST_PAUSE_S
            )
            self._paused_until = now + pause_s * (0.8 + 0.4 * jitter)
        self.record_cancellation(entry)

    def is_probe(self, entry: Any) -> bool:
        """Say whether a request in flight is the probe."""
        return self._probe is entry

    def record_cancellation(self, entry: Any) -> None:
        """Note that a request ended, in whatever way: if it was the probe, there may be another."""
        if entry is self._probe:
            self._probe = None

    def _most_now(self, now: float) -> float:
        most: float = self._most * 2.0 ** min((now - self._most_at) / DOUBLES_S, 30.0)
        return most

    def forget(self) -> None:
        """Begin anew: who waited for the end of the outage has given up."""
        self.down_since = self._probe = None
        self.failures = 0
        self._asked_until = self._paused_until = -math.inf
        self._most = math.inf
