"""Requests per minute and tokens per minute: from the configuration, and from the endpoint's headers.

A bucket fills evenly and holds 1.5 % of a minute; it fills at 98.5 % of the limit. So no window of 60 seconds has more
starts than the limit, whether the endpoint counts by fixed windows, sliding windows, or buckets of its own. Where an
endpoint reports how many requests are left, these may start at once.
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
MIN_WAIT = 1e-9
"""A shorter wait is a rounding error of the clock."""

RECENT_REPORTS = 64
"""Reports of the requests that are left which are remembered."""

RECENT_ANSWERS = 200
MIN_ANSWERS = 20
PERCENTILE = 0.95


class Bucket:
    """At most ``per_minute`` units in any 60 seconds. A cost above the bucket's size waits until the bucket is full."""

    def __init__(self, per_minute: float) -> None:
        """Start full."""
        self.per_minute = per_minute
        self._size = max(BURST * per_minute, 1.0)
        self._rate = (1 - BURST) * per_minute / MINUTE
        self._level = self._size
        self._filled_at: float | None = None

    def wait_s(self, now: float, cost: float) -> float:
        """Return the seconds until ``cost`` may be taken; 0 if now."""
        self._fill(now)
        missing = min(cost, self._size) - self._level
        return missing / self._rate if missing > MIN_WAIT else 0.0

    def take(self, now: float, cost: float) -> None:
        """Take ``cost``. The level may fall below zero, and then has to fill first."""
        self._fill(now)
        self._level -= cost

    def give_back(self, amount: float) -> None:
        """Return an amount that was not used; a negative amount takes what was used in addition."""
        self._level += amount

    def lower_to(self, left: float) -> None:
        """Lower the level to what the endpoint reports: other clients may use it too."""
        self._level = min(self._level, left)

    def raise_to(self, left: float) -> None:
        """Raise the level to what the endpoint reports."""
        self._level = max(self._level, left)

    def empty_until(self, until: float) -> None:
        """Empty the bucket, and do not fill it before ``until``."""
        self._level = min(self._level, 0.0)
        self._filled_at = until

    def _fill(self, now: float) -> None:
        if self._filled_at is not None and now < self._filled_at:
            return
        passed = 0.0 if self._filled_at is None else now - self._filled_at
        self._filled_at = now
        # The level may be above the size after ``raise_to``; time does not add to that.
        if self._level < self._size:
            self._level = min(self._size, self._level + passed * self._rate)


class OutputTokenEstimate:
    """Estimates the tokens of an answer: the 95th percentile of the last 200; the call's limit until 20 are known."""

    def __init__(self) -> None:
        """Start with no answer."""
        self._recent: deque[int] = deque()
        self._sorted: list[int] = []

    def observe(self, tokens: int) -> None:
        """Count one answer."""
        self._recent.append(tokens)
        insort(self._sorted, tokens)
        if len(self._recent) > RECENT_ANSWERS:
            oldest = self._recent.popleft()
            del self._sorted[bisect_left(self._sorted, oldest)]

    def expected(self, max_tokens: int) -> int:
        """Return the tokens to reserve for an answer of at most ``max_tokens``."""
        if len(self._sorted) < MIN_ANSWERS:
            return max_tokens
        usual = self._sorted[int(PERCENTILE * len(self._sorted))]
        return min(max_tokens, usual)


class RateLimiter:
    """The two buckets of one endpoint. A configured limit is fixed; one that the endpoint reports may change."""

    def __init__(
        self,
        requests_per_minute: int | None = None,
        tokens_per_minute: int | None = None,
    ) -> None:
        """None: no limit until the endpoint reports one."""
        self._requests_configured = requests_per_minute is not None
        self._tokens_configured = tokens_per_minute is not None
        self._requests = Bucket(requests_per_minute) if requests_per_minute else None
        self._tokens = Bucket(tokens_per_minute) if tokens_per_minute else None
        self.counts_tokens = self._tokens is not None
        """True if there is a limit of tokens."""
        self._reported_left: deque[float] = deque(maxlen=RECENT_REPORTS)
        self.output = OutputTokenEstimate()

    @property
    def has_limit(self) -> bool:
        """True if there is any limit per minute."""
        return self._requests is not None or self._tokens is not None

    def wait_s(self, now: float, tokens: float) -> float:
        """Return the seconds until a request of ``tokens`` may start; 0 if now."""
        wait_s = 0.0
        if self._requests is not None:
            wait_s = self._requests.wait_s(now, 1)
        if self._tokens is not None:
            wait_s = max(wait_s, self._tokens.wait_s(now, tokens))
        return wait_s

    def take(self, now: float, tokens: float) -> None:
        """Record the start of a request of ``tokens``."""
        if self._requests is not None:
            self._requests.take(now, 1)
        if self._tokens is not None:
            self._tokens.take(now, tokens)

    def settle(self, reserved: float, used: float) -> None:
        """Record the end of a request that reserved and used these tokens."""
        if self._tokens is not None:
            self._tokens.give_back(reserved - used)

    def undo_start(self, reserved: float) -> None:
        """Undo ``take`` for a request that was not sent."""
        if self._requests is not None:
            self._requests.give_back(1)
        self.settle(reserved, 0.0)

    def record_throttle(self, until: float) -> None:
        """Empty both buckets until a time that the endpoint named."""
        for bucket in (self._requests, self._tokens):
            if bucket is not None:
                bucket.empty_until(until)

    def observe(self, limits: RateLimits, in_flight: int) -> None:
        """Take over the limits in the endpoint's headers; ``in_flight`` requests were sent without them."""
        if not self._requests_configured and _is_new(
            self._requests, limits.requests_per_minute
        ):
            self._requests = Bucket(limits.requests_per_minute or 0.0)
            self._requests.give_back(-in_flight)
        if not self._tokens_configured and _is_new(
            self._tokens, limits.tokens_per_minute
        ):
            self._tokens = Bucket(limits.tokens_per_minute or 0.0)
            self.counts_tokens = True
        if self._requests is not None and limits.requests_left is not None:
            self._observe_requests_left(self._requests, limits.requests_left, in_flight)
        if self._tokens is not None and limits.tokens_left is not None:
            self._tokens.lower_to(limits.tokens_left)

    def _observe_requests_left(
        self, bucket: Bucket, left: float, in_flight: int
    ) -> None:
        """Adjust the level. The requests in flight may be counted in ``left`` already, or not.

        A reply may be older than others that came before it, and then reports too many. So a higher level needs as
        many reports as there are requests in flight.
        """
        self._reported_left.append(left)
        bucket.lower_to(left - in_flight)
        if not self._requests_configured:
            newest = islice(reversed(self._reported_left), max(in_flight, 1))
            bucket.raise_to(min(newest) - in_flight)


def _is_new(bucket: Bucket | None, per_minute: float | None) -> bool:
    if not per_minute:
        return False
    return bucket is None or not math.isclose(bucket.per_minute, per_minute)
