"""Pure: an error and how often we tried -> how long to wait, or give up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiquery.errors import RowError

DEPTH = 200.0
"""Failures that a run survives without one success, times two."""

EARNED = 0.1


@dataclass(slots=True)
class Retry:
    """Exponential backoff with full jitter: wait uniform(0, min(cap, base * 2 ** (attempt - 1))) seconds.

    Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015. A budget as in gRPC A6 keeps an endpoint that
    fails half of the time from being asked twice as often: a failure costs 1, an answer earns 0.1 up to ``DEPTH``, and
    only above half of it anything is tried again. What the endpoint refused (429, 503, 529, no connection) costs none:
    there the gate keeps everybody back.

    max_attempts   tries of one request, the first included
    base_s, cap_s  seconds; the first wait is at most ``base_s``, no wait of ours is longer than ``cap_s``
    """

    max_attempts: int = 5
    base_s: float = 0.5
    cap_s: float = 30.0
    budget: float = DEPTH

    def answered(self) -> None:
        """Earn: the endpoint answered."""
        self.budget = min(DEPTH, self.budget + EARNED)

    def wait_s(self, error: RowError, attempt: int, jitter: float) -> float | None:
        """Return the seconds to wait before attempt ``attempt + 1``, or None to give up; ``jitter`` is in [0, 1)."""
        if not error.retryable:
            return None
        if not error.refused:
            self.budget = max(0.0, self.budget - 1.0)
        if attempt >= self.max_attempts or (self.budget <= DEPTH / 2 and not error.refused):
            return None
        if error.wait_s is not None:
            return error.wait_s
        return jitter * min(self.cap_s, self.base_s * 2.0 ** (attempt - 1))
