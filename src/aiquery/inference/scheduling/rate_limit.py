"""Pure: requests per minute and tokens per minute, from configuration and from what the endpoint says.

A bucket fills evenly and holds 1.5 % of a minute; it fills at 98.5 % of the limit. So in no window of 60 seconds does
more than the limit start, whichever way the endpoint counts: by fixed windows, sliding windows, or buckets of its own.
An endpoint that says how many requests are left is believed: what it would allow at once need not be spread.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiquery.requests.request import RateLimits

MINUTE = 60.0
BURST = 0.015
RECENT = 64
"""Replies whose word on what is left is remembered."""


class Bucket:
    """At most ``per_minute`` units in any 60 seconds. What is larger than the bucket waits until the bucket is full."""

    def __init__(self, per_minute: float) -> None:
        """Start full."""
        self.per_minute = per_minute
        self._room = max(BURST * per_minute, 1.0)
        self._rate = (1 - BURST) * per_minute / MINUTE
        self._level = self._room
        self._at: float | None = None

    def wait_s(self, now: float, cost: float) -> float:
        """Return the seconds until ``cost`` may be taken, 0 if now."""
        self._fill(now)
        missing = min(cost, self._room) - self._level
        return missing / self._rate if missing > 1e-9 else 0.0  # noqa: PLR2004  rounding of the clock

    def take(self, now: float, cost: float) -> None:
        """Take ``cost``; the level may fall below zero, and then has to be earned first."""
        self._fill(now)
        self._level -= cost

    def give_back(self, amount: float) -> None:
        """Return what was taken and not used; a negative amount takes what was used beyond it."""
        self._level += amount

    def at_most(self, left: float) -> None:
        """Believe the endpoint that only so much is left: others may use it too."""
        self._level = min(self._level, left)

    def at_least(self, left: float) -> None:
        """Believe the endpoint that so much is left, although it was not earned yet."""
        self._level = max(self._level, left)

    def empty_until(self, until: float) -> None:
        """Have nothing left, and earn nothing before ``until``."""
        self._level = min(self._level, 0.0)
        self._at = until

    def _fill(self, now: float) -> None:
        if self._at is not None and now < self._at:
            return
        passed = 0.0 if self._at is None else now - self._at
        self._at = now
        if (
            self._level < self._room
        ):  # what was given back may stand above the rim, but time does not add to it
            self._level = min(self._room, self._level + passed * self._rate)


class OutputTokenEstimate:
    """How many tokens an answer has: the 95th percentile of the last 200, the limit of the call until 20 are known."""

    def __init__(self) -> None:
        """Start with nothing known."""
        self._recent: deque[int] = deque()
        self._sorted: list[int] = []

    def observe(self, tokens: int) -> None:
        """Count one answer."""
        self._recent.append(tokens)
        insort(self._sorted, tokens)
        if len(self._recent) > 200:  # noqa: PLR2004
            del self._sorted[bisect_left(self._sorted, self._recent.popleft())]

    def expected(self, most: int) -> int:
        """Return what to reserve for an answer of at most ``most`` tokens."""
        if len(self._sorted) < 20:  # noqa: PLR2004
            return most
        return min(most, self._sorted[int(0.95 * len(self._sorted))])


class RateLimiter:
    """The two buckets of one endpoint. A configured limit stands; one that only the endpoint names may change."""

    def __init__(
        self,
        requests_per_minute: int | None = None,
        tokens_per_minute: int | None = None,
    ) -> None:
        """None: no limit until the endpoint names one."""
        self._configured = (
            requests_per_minute is not None,
            tokens_per_minute is not None,
        )
        self._requests = Bucket(requests_per_minute) if requests_per_minute else None
        self._tokens = Bucket(tokens_per_minute) if tokens_per_minute else None
        self._left: deque[float] = deque(maxlen=RECENT)
        self.output = OutputTokenEstimate()

    @property
    def counts_tokens(self) -> bool:
        """Say whether it matters how many tokens a request has."""
        return self._tokens is not None

    def wait_s(self, now: float, tokens: float) -> float:
        """Return the seconds until a request of ``tokens`` may start, 0 if now."""
        wait_s = 0.0
        if self._requests is not None:
            wait_s = self._requests.wait_s(now, 1)
        if self._tokens is not None:
            wait_s = max(wait_s, self._tokens.wait_s(now, tokens))
        return wait_s

    def take(self, now: float, tokens: float) -> None:
        """Note that a request of ``tokens`` starts."""
        if self._requests is not None:
            self._requests.take(now, 1)
        if self._tokens is not None:
            self._tokens.take(now, tokens)

    def settle(self, reserved: float, used: float) -> None:
        """Note that a request ended which had ``reserved`` tokens and used ``used``."""
        if self._tokens is not None:
            self._tokens.give_back(reserved - used)

    def undo_start(self, reserved: float) -> None:
        """Note that a request that was taken for was not sent."""
        if self._requests is not None:
            self._requests.give_back(1)
        self.settle(reserved, 0.0)

    @property
    def known(self) -> bool:
        """Say whether there is any limit per minute."""
        return self._requests is not None or self._tokens is not None

    def record_throttle(self, until: float) -> None:
        """Believe the endpoint that nothing is left before ``until``."""
        for bucket in (self._requests, self._tokens):
            if bucket is not None:
                bucket.empty_until(until)

    def observe(self, limits: RateLimits, in_flight: int) -> None:
        """Take in what the endpoint's headers say while ``in_flight`` requests were sent without knowing it."""
        if _is_news(
            self._requests, limits.requests_per_minute, configured=self._configured[0]
        ):
            self._requests = Bucket(limits.requests_per_minute or 0.0)
            self._requests.give_back(-in_flight)
        if _is_news(
            self._tokens, limits.tokens_per_minute, configured=self._configured[1]
        ):
            self._tokens = Bucket(limits.tokens_per_minute or 0.0)
        if self._requests is not None and limits.requests_left is not None:
            # What is in flight may be counted already or not. A reply may be older than others that came before it, and
            # then says too much: so more is believed only once as many say so as are on their way.
            self._left.append(limits.requests_left)
            self._requests.at_most(limits.requests_left - in_flight)
            if not self._configured[0]:
                self._requests.at_least(
                    min(islice(reversed(self._left), max(in_flight, 1))) - in_flight
                )
        if self._tokens is not None and limits.tokens_left is not None:
            self._tokens.at_most(limits.tokens_left)


def _is_news(
    bucket: Bucket | None, per_minute: float | None, *, configured: bool
) -> bool:
    if not per_minute or configured:
        return False
    return bucket is None or not math.isclose(bucket.per_minute, per_minute)
