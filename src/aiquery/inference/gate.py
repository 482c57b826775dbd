"""Pure: one gate per endpoint. Closed, it lets nothing through, whoever asks and however many wait."""

from __future__ import annotations

import math


class Gate:
    """Closed while the endpoint asks for a pause (Retry-After), or has no room for anybody.

    A refusal without Retry-After closes it only if nothing was answered since the last refusal: then for a random time
    of at most ``base_s``, doubled each time up to ``cap_s``. Seconds on any monotonic clock.
    """

    def __init__(self, base_s: float = 0.5, cap_s: float = 30.0) -> None:
        """Start open."""
        self.closed_until = -math.inf
        self._base_s = base_s
        self._cap_s = cap_s
        self._refusals = 0
        self._closed_at = -math.inf

    def is_open(self, now: float) -> bool:
        """Say whether a request may start."""
        return now >= self.closed_until

    def answered(self) -> None:
        """Forget how often the endpoint refused: it answers."""
        self._refusals = 0

    def refused(self, now: float, started: float, wait_s: float | None, jitter: float) -> None:
        """Close after a refusal of an attempt that began at ``started``; ``jitter`` is in [0, 1)."""
        if wait_s is None:
            wait_s = 0.0
            if started > self._closed_at:  # not one of many that were on their way when the first was refused
                wait_s = (
                    jitter * min(self._cap_s, self._base_s * 2.0 ** (self._refusals - 1)) if self._refusals else 0.0
                )
                self._refusals += 1
                self._closed_at = now
        self.closed_until = max(self.closed_until, now + wait_s)
