"""Pure: whether an endpoint refuses less when less is in flight, or refuses by chance.

Where requests are refused because there are too many, fewer places end that. An endpoint that fails a share of what it
gets whatever that is (one of three replicas is ill, say) would be asked one at a time in the end, and fail as much.
"""

from __future__ import annotations

import math

LEAST = 32
"""A window has at least so many requests, and at least as many as there are places."""

RARE, OFTEN = 0.05, 0.6
FEWER = 0.9
SAME = 0.6
"""Refusals come by chance if the places fell below 90 %, and the share of refusals remained about the same (60 % to
167 % of what it was), and neither rare nor that of an endpoint that takes nothing more."""

MORE = 2.0
"""They do not any more if their share is so many times what it was."""


class ThrottleStatistics:
    """The share of refusals in a window of requests that ended, beside that in the window before."""

    def __init__(self) -> None:
        """Start with no refusal."""
        self.depend_on_slots = True
        self._count = self._refused = 0
        self._slots = self._slots_before = 0
        self._share = 0.0
        self._since = -math.inf
        self.is_counting = False  # from the first refusal on

    def observe_end(
        self, now: float, started: float, slots: int, *, throttled: bool
    ) -> None:
        """Count a request that ended, unless it began before this window; ``slots``: how many may be in flight."""
        if started < self._since:
            return
        if not self._count:
            self._slots = slots
        self.is_counting = True
        self._count += 1
        self._refused += throttled
        if self._count >= max(LEAST, self._slots):
            self._judge(self._refused / self._count, slots)
            self.is_counting = self._refused > 0
            self._count = self._refused = 0
            self._since = now

    def _judge(self, share: float, slots: int) -> None:
        if not self.depend_on_slots:
            self.depend_on_slots = not RARE < share <= MORE * self._share + RARE
            return
        is_same = RARE < share < OFTEN and SAME * share <= self._share <= share / SAME
        self.depend_on_slots = not (is_same and slots < FEWER * self._slots_before)
        self._share, self._slots_before = share, self._slots
