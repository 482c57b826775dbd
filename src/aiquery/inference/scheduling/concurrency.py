"""The concurrency limit of one endpoint: how many requests may be in flight.

An endpoint that batches does more work the more requests it has, up to an unknown point. ``AdaptiveLimit`` finds it by
throughput alone: latency rises long before throughput stops to rise, so limits that use latency (Vegas, Gradient2) stay
at 8 to 83 % of the endpoint's throughput, and those that use losses alone (AIMD) have thousands of requests in flight
where none is ever throttled. Figures: benchmarks/scheduling.py.
"""

from __future__ import annotations

import math
from typing import Protocol

INITIAL_SLOTS = 64
"""Slots to begin with; filled one by one, ``FILL_S`` apart, so that a throttled request is seen before all are sent."""

FILL_S = 0.001
MAX_SLOTS = 4096

MIN_GAIN = 1.08
"""The search goes on while twice the slots do at least this much more work per second."""

BACKOFF_FACTOR = 0.8
"""The share of the slots that is left if requests are throttled again after the last cut."""

WINDOWS_BETWEEN_PROBES = 6
FIRST_ROUNDS = 3
MAX_ANSWERS = 400
"""Answers before the first trial after a cut: this many rounds of all slots, more if trials are throttled."""

MIN_WINDOW = 64
"""Answers that a window has at least."""

FEW_SLOTS = 32
"""With fewer slots a window has many rounds, so fewer windows pass between two probes."""

BUSY_SHARE = 0.9
"""A window counts only while this share of the slots is in use: else the endpoint waited for us."""


class Limit(Protocol):
    """A number of slots, and what it learns from attempts that ended. Times in seconds on any monotonic clock."""

    def slots(self, now: float) -> int:
        """Return how many requests may be in flight now; at least 1."""

    def grows_at(self, now: float) -> float | None:
        """Return when ``slots`` rises by itself; None if it does not."""

    def record_answer(
        self, now: float, started: float, work: float, in_flight: int
    ) -> None:
        """Record an answer; ``work`` is its cost for the endpoint, ``in_flight`` counts it."""

    def record_throttle(self, now: float, started: float, in_flight: int) -> None:
        """Record that an attempt that began at ``started`` was throttled; ``in_flight`` does not count it."""

    def restore(self, now: float) -> None:
        """Undo the last cuts: in an outage every request is throttled, whatever the number of slots."""


class FixedLimit:
    """A fixed number of slots."""

    def __init__(self, slots: int) -> None:
        """``slots`` is at least 1."""
        self._slots = slots

    def slots(self, now: float) -> int:
        """Return the fixed number."""
        del now
        return self._slots

    def grows_at(self, now: float) -> float | None:
        """Return None: it never grows."""
        del now
        return None

    def record_answer(
        self, now: float, started: float, work: float, in_flight: int
    ) -> None:
        """Do nothing."""

    def record_throttle(self, now: float, started: float, in_flight: int) -> None:
        """Do nothing: the cooldown holds requests back."""

    def restore(self, now: float) -> None:
        """Do nothing."""


class SlotRecovery:
    """Returns slots after a cut, up to ``max_slots``.

    After ``FIRST_ROUNDS`` rounds of answers there is one slot more, after each further round twice as many more as
    before: an endpoint that has room again is soon used. Where it has none, the first additional request is throttled;
    the next trial comes after twice as many answers, up to ``MAX_ANSWERS``: one request of hundreds is throttled.
    """

    def __init__(
        self, slots: int, max_slots: float, before: SlotRecovery | None
    ) -> None:
        """``before`` is the recovery that a throttled request ends; if it had tried more slots, that was in vain."""
        self.rounds: int = FIRST_ROUNDS
        if before is not None:
            self.rounds = before.rounds * 2 if before.grew else before.rounds
        self.slots = slots
        self.max_slots = max_slots
        self.grew: bool = False
        self._step = 1
        self._answers_left = min(self.rounds * slots, MAX_ANSWERS)

    def record_answer(self) -> None:
        """Count an answer while all slots are in use."""
        self._answers_left -= 1
        if self._answers_left <= 0:
            self.slots = int(min(self.max_slots, self.slots + self._step))
            self.grew = True
            self._step = 2 * self._step
            self._answers_left = self.slots

    def is_over(self) -> bool:
        """Return True once all slots are back."""
        return self.slots >= self.max_slots


class CappedLimit(FixedLimit):
    """The configured number of slots, fewer while the endpoint throttles requests."""

    def __init__(self, max_slots: int) -> None:
        """``max_slots`` is at least 1."""
        super().__init__(max_slots)
        self._max_slots = max_slots
        self._recovery: SlotRecovery | None = None
        self._cut_at = -math.inf

    def record_answer(
        self, now: float, started: float, work: float, in_flight: int
    ) -> None:
        """Return a slot if a recovery is under way."""
        del now, work
        if self._recovery is None:
            return
        if started > self._cut_at and in_flight >= self._slots:
            self._recovery.record_answer()
            self._slots = self._recovery.slots
            if self._recovery.is_over():
                self._recovery = None

    def record_throttle(self, now: float, started: float, in_flight: int) -> None:
        """Cut the slots to the number of requests that the endpoint took."""
        del started
        self._slots = max(1, min(self._slots, in_flight))
        self._recovery = SlotRecovery(self._slots, self._max_slots, self._recovery)
        self._cut_at = now

    def restore(self, now: float) -> None:
        """Return all slots at once."""
        del now
        self._slots = self._max_slots
        self._recovery = None


class AdaptiveLimit:
    """Searches the smallest number of slots with the highest work per second.

    The search doubles the slots while that pays (``MIN_GAIN``): each time it waits until the requests sent under the
    old number have ended, then measures the work per second of one window. After that it holds, and tries a quarter
    more and a fifth less in turn. When the work per second rises by itself the endpoint has grown, and the search
    begins again.

    A throttled request cuts the slots to the number that the endpoint took; a second one soon after cuts further. The
    slots come back as ``SlotRecovery`` describes; then the search goes on where it was.
    """

    def __init__(self, first: int = INITIAL_SLOTS, max_slots: int = MAX_SLOTS) -> None:
        """Begin with ``first`` slots; never use more than ``max_slots``."""
        self._max_slots = float(max_slots)
        self._goal = float(min(first, max_slots))
        self._slots = 1.0
        self._filled_from: float | None = None
        self._filling = True
        self._judge = self._search
        self._upwards = True
        self._before = 0.0
        self._rate = 0.0
        self._best = 0.0
        self._windows = 0
        self._rises = False
        self._settling = 0.0
        self._cut_at = -math.inf
        self._since_cut = MAX_SLOTS
        self._recovery: SlotRecovery | None = None
        self._saved = (self._judge, self._before, self._rate)
        self._begin_window(0.0)

    def slots(self, now: float) -> int:
        """Return the slots; while the first ones are filled they rise with time."""
        if self._filling:
            if self._filled_from is None:
                self._filled_from = now
            filled = 1 + (now - self._filled_from) / FILL_S
            self._slots = min(self._goal, filled)
            self._filling = self._slots < self._goal
        return int(self._slots)

    def grows_at(self, now: float) -> float | None:
        """Return the next time while the first slots are filled."""
        return now + FILL_S if self._filling else None

    def record_answer(
        self, now: float, started: float, work: float, in_flight: int
    ) -> None:
        """Count an answer in the window, and judge a window that is full."""
        if started > self._cut_at:
            self._since_cut += 1
        if self._recovery is not None:
            self._recover(self._recovery, now, started, in_flight)
        elif in_flight < BUSY_SHARE * int(self._slots) or self._filling:
            self._begin_window(now)
        elif self._slots < self._goal:
            step = 1.0 if self._judge == self._search else 0.25
            self._slots = min(self._goal, self._slots + step)
            self._settle(now)
        elif self._settling > 0:
            self._settling -= 1
            self._begin_window(now)
        else:
            self._work += work
            self._count += 1
            if self._count >= max(self._slots, MIN_WINDOW):
                rate = self._work / max(now - self._window_from, 1e-9)
                self._begin_window(now)
                self._judge(rate)

    def record_throttle(self, now: float, started: float, in_flight: int) -> None:
        """Cut the slots, and remember where the search was."""
        worked = self._goal if self._filling else self._slots
        if self._recovery is None:
            self._saved = (self._judge, self._before, self._rate)
        else:
            worked = self._recovery.max_slots
        is_again = started > self._cut_at and self._since_cut < self._slots / 4
        cut = int(BACKOFF_FACTOR * self._slots)
        left = cut if is_again else max(in_flight, cut)
        self._slots = max(1, min(self._slots, left))
        self._goal = self._slots
        self._filling = False
        self._cut_at = now
        self._since_cut = 0
        self._recovery = SlotRecovery(int(self._slots), worked, self._recovery)

    def _recover(
        self, recovery: SlotRecovery, now: float, started: float, in_flight: int
    ) -> None:
        if started > self._cut_at and in_flight >= int(self._slots):
            recovery.record_answer()
            self._slots = recovery.slots
            self._goal = self._slots
            if recovery.is_over():
                self.restore(now)

    def restore(self, now: float) -> None:
        """Return all slots at once and go on with the search."""
        if self._recovery is not None:
            self._slots = self._recovery.max_slots
            self._goal = self._slots
            self._judge, self._before, self._rate = self._saved
            self._recovery = None
            self._best = 0.0
            self._windows = 0
            self._settle(now)

    # --- what a full window leads to. All its answers came under one number of slots; rate = work per second

    def _search(self, rate: float) -> None:
        if rate > self._rate * MIN_GAIN and self._slots < self._max_slots:
            self._before = self._slots
            self._rate = rate
            self._aim(2 * self._slots)
            return
        if self._before and rate < self._rate * (1 + MIN_GAIN) / 2:
            self._aim(math.sqrt(self._before * self._slots))
        self._hold(max(rate, self._rate))

    def _watch(self, rate: float) -> None:
        self._windows += 1
        rose_before = self._rises
        self._rises = bool(self._rate) and rate > 1.25 * self._rate
        if self._rises:
            if rose_before:  # one window may be luck
                self._search_again(rate)
            return
        has_changed = not self._rate or rate < 0.7 * self._rate
        if has_changed:
            self._rate = rate
            self._best = rate
        else:
            self._rate = 0.7 * self._rate + 0.3 * rate
            self._best = max(self._best, self._rate)
        if self._windows >= WINDOWS_BETWEEN_PROBES * min(1.0, self._slots / FEW_SLOTS):
            self._start_probe()

    def _search_again(self, rate: float) -> None:
        self._judge = self._search
        self._before = self._slots
        self._rate = rate
        self._best = 0.0
        self._aim(2 * self._slots)

    def _start_probe(self) -> None:
        self._judge = self._probe
        self._before = self._slots
        if self._upwards:
            self._aim(max(self._slots * 1.25, self._slots + 1))
        else:
            self._aim(self._slots * 0.8)

    def _probe(self, rate: float) -> None:
        if self._upwards:
            is_better = rate > 1.03 * self._rate
        else:
            is_better = rate > 0.985 * self._best
        if not is_better:
            self._aim(self._before)
            self._upwards = not self._upwards
        self._hold(rate if is_better else self._rate)

    def _hold(self, rate: float) -> None:
        self._judge = self._watch
        self._windows = 0
        self._rate = rate

    # ---

    def _aim(self, slots: float) -> None:
        """Set the goal: fewer slots at once, more one by one, so that a throttled request ends the growth early."""
        self._goal = min(max(slots, 1.0), self._max_slots)
        self._slots = min(self._slots, self._goal)
        self._settling = self._slots

    def _settle(self, now: float) -> None:
        self._settling = self._slots / 2
        self._begin_window(now)

    def _begin_window(self, now: float) -> None:
        self._work = 0.0
        self._count = 0
        self._window_from = now


def make_limit(max_concurrency: int | None, first: int) -> Limit:
    """Return the configured limit, or an adaptive one that begins with ``first`` slots."""
    if max_concurrency is None:
        return AdaptiveLimit(first)
    return CappedLimit(max_concurrency)
