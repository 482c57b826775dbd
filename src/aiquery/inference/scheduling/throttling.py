"""Whether an endpoint throttles less when fewer requests are in flight, or throttles by chance.

Where requests are throttled because there are too many, fewer slots end that. An endpoint that fails a fixed share of
its requests (one of three replicas is broken, say) would end at one slot, and fail as much.
"""

from __future__ import annotations

import math

MIN_WINDOW = 32
"""Requests that a window has at least; it has at least as many as there are slots."""

RARE = 0.05
OFTEN = 0.6
FEWER = 0.9
SAME = 0.6
"""Requests are throttled by chance if the slots fell below 90 %, the share of throttled requests stayed about the same
(60 % to 167 % of the share before), and it is neither rare nor that of an endpoint that takes nothing more."""

MORE = 2.0
"""It is not by chance any more if the share is this many times the share before."""


class ThrottleStatistics:
    """The share of throttled requests in a window, beside that of the window before."""

    def __init__(self) -> None:
        """Assume that throttling depends on the slots."""
        self.depend_on_slots = True
        self.is_counting = False
        """True from the first throttled request on."""
        self._count = 0
        self._throttled = 0
        self._slots = 0
        self._slots_before = 0
        self._share = 0.0
        self._since = -math.inf

    def record_end(
        self, now: float, started: float, slots: int, *, throttled: bool
    ) -> None:
        """Count a request that ended, unless it began before this window; ``slots``: the current limit."""
        if started < self._since:
            return
        if not self._count:
            self._slots = slots
        self.is_counting = True
        self._count += 1
        if throttled:
            self._throttled += 1
        if self._count >= max(MIN_WINDOW, self._slots):
            self._judge(self._throttled / self._count, slots)
            self.is_counting = self._throttled > 0
            self._count = 0
            self._throttled = 0
            self._since = now

    def _judge(self, share: float, slots: int) -> None:
        if not self.depend_on_slots:
            is_by_chance = RARE < share <= MORE * self._share + RARE
            self.depend_on_slots = not is_by_chance
            return
        is_between = RARE < share < OFTEN
        is_same = is_between and SAME * share <= self._share <= share / SAME
        self.depend_on_slots = not (is_same and slots < FEWER * self._slots_before)
        self._share = share
        self._slots_before = self._slots
