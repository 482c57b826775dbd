"""Pure: an error and how often we tried -> how long to wait, or give up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiquery.errors import RowError


@dataclass(frozen=True, slots=True)
class Retry:
    """Exponential backoff with full jitter: wait uniform(0, min(cap, base * 2 ** (attempt - 1))) seconds.

    What the endpoint itself asks for (Retry-After) comes first and is never cut short. Source: "Exponential Backoff
    And Jitter", AWS Architecture Blog, 2015.

    max_attempts   tries of one request, the first included
    base_s, cap_s  seconds; the first wait is at most ``base_s``, no wait of ours is longer than ``cap_s``
    """

    max_attempts: int = 5
    base_s: float = 0.5
    cap_s: float = 30.0

    def wait_s(self, error: RowError, attempt: int, jitter: float) -> float | None:
        """Return the seconds to wait before attempt ``attempt + 1``, or None to give up; ``jitter`` is in [0, 1)."""
        if not error.retryable or attempt >= self.max_attempts:
            return None
        if error.wait_s is not None:
            return error.wait_s
        return jitter * min(self.cap_s, self.base_s * 2.0 ** (attempt - 1))
