"""Pure: how many requests may be in flight at one endpoint.

An endpoint that batches gives more the more it has in flight, up to a point that nobody knows beforehand. ``Seeking``
finds it by throughput alone: latency rises long before throughput stops to rise, so limits that go by latency
(Vegas, Gradient2) stay at 8 to 83 % of what the endpoint can give, and those that go by losses alone (AIMD) have
thousands in flight where nothing is ever refused. Figures: benchmarks/scheduling.py.
"""

from __future__ import annotations

import math
from typing import Protocol

FIRST = 64
"""Places to begin with; filled one by one, ``FILL_S`` apart, so that a refusal is seen before the rest is sent."""

FILL_S = 0.001
MOST = 4096
"""More places than this are never tried."""

PAYS = 1.08
"""Twice the places must do at least so much more work per second; else the search ends."""

CUT = 0.8
"""What is left of the places after a refusal that the last cut did not prevent."""

PATIENCE = 6
"""Windows between two probes; four times as many after a refusal, since each probe may cost one."""

SAMPLE = 64
"""A window of fewer answers than this is not judged."""


class Limit(Protocol):
    """How many places there are, and what is learned from attempts that ended. Seconds on any monotonic clock."""

    def places(self, now: float) -> int:
        """Return how many requests may be in flight now; at least 1."""

    def grows_at(self, now: float) -> float | None:
        """Return when ``places`` rises by itself, None if it does not."""

    def answered(self, now: float, started: float, work: float, in_flight: int) -> None:
        """Learn from an answer; ``work`` is what it cost the endpoint, ``in_flight`` counts it too."""

    def refused(self, now: float, started: float, in_flight: int) -> None:
        """Learn that there was no room for an attempt begun at ``started``; ``in_flight`` no longer counts it."""


class Fixed:
    """Exactly as many places as somebody said, while there is work, never more."""

    def __init__(self, places: int) -> None:
        """``places`` at least 1."""
        self._places = places

    def places(self, now: float) -> int:
        """See ``Limit``."""
        del now
        return self._places

    def grows_at(self, now: float) -> float | None:
        """Never."""
        del now
        return None

    def answered(self, now: float, started: float, work: float, in_flight: int) -> None:
        """Learn nothing."""

    def refused(self, now: float, started: float, in_flight: int) -> None:
        """Learn nothing: the gate holds requests back."""


class Configured(Fixed):
    """As many places as somebody said, fewer while the endpoint refuses: what was said may be more than it has.

    A refusal leaves the places that the endpoint did take. Answers bring them back: one place each up to half of what
    there was before the refusal, from there one for ``PATIENCE`` times the places (slow start and congestion avoidance
    of TCP, RFC 5681, with answers in the place of round trips).
    """

    def __init__(self, most: int) -> None:
        """``most`` at least 1."""
        super().__init__(most)
        self._most = most
        self._fast_below = 0.0
        self._since = 0
        self._cut_at = -math.inf

    def answered(self, now: float, started: float, work: float, in_flight: int) -> None:
        """See ``Limit``."""
        del now, work
        if self._places < self._most and started > self._cut_at and in_flight >= self._places:
            self._since += 1
            if self._places < self._fast_below or self._since >= PATIENCE * self._places:
                self._places, self._since = self._places + 1, 0

    def refused(self, now: float, started: float, in_flight: int) -> None:
        """See ``Limit``."""
        if started > self._cut_at:  # not one of many that were on their way when the first was refused
            self._fast_below = self._places / 2
        self._cut_at, self._since = now, 0
        self._places = max(1, min(self._places, in_flight))


class Seeking:
    """As many places as make the endpoint do most work per second, and not many more.

    The search doubles the places while that pays (``PAYS``): each time it waits until what was sent under the old
    number is through, then measures the work per second of one window. After that the limit holds, and tries a quarter
    more and a fifth less in turn, so that it ends near the smallest number that does all the work. When the work per
    second rises by itself the endpoint has grown, and the search begins again from there.

    A refusal sets the places to what the endpoint did take (``in_flight``); a second one soon after cuts further.
    """

    def __init__(self, first: int = FIRST, most: int = MOST) -> None:
        """Begin with ``first`` places; never more than ``most``."""
        self._most = float(most)
        self._target = float(min(first, most))
        self._places = 1.0
        self._filled_from: float | None = None
        self._filling = True
        self._judge = self._search
        self._patience = PATIENCE
        self._upwards = True
        self._before = 0.0
        self._rate = 0.0
        self._best = 0.0
        self._windows = 0
        self._rises = False
        self._settling = 0.0
        self._cut_at = -math.inf
        self._since_cut = MOST
        self._begin_window(0.0)

    def places(self, now: float) -> int:
        """See ``Limit``."""
        if self._filling:
            self._filled_from = now if self._filled_from is None else self._filled_from
            self._places = min(self._target, 1 + (now - self._filled_from) / FILL_S)
            self._filling = self._places < self._target
        return int(self._places)

    def grows_at(self, now: float) -> float | None:
        """See ``Limit``."""
        return now + FILL_S if self._filling else None

    def answered(self, now: float, started: float, work: float, in_flight: int) -> None:
        """See ``Limit``."""
        if started > self._cut_at:
            self._since_cut += 1
        if in_flight < 0.9 * int(self._places) or self._filling:
            self._begin_window(now)  # the endpoint waited for us: that says nothing about it
        elif self._places < self._target:
            self._places = min(self._target, self._places + (1.0 if self._judge == self._search else 0.25))
            self._settle(now)
        elif self._settling > 0:
            self._settling -= 1
            self._begin_window(now)
        else:
            self._work += work
            self._count += 1
            if self._count >= max(self._places, SAMPLE):
                rate = self._work / max(now - self._window_from, 1e-9)
                self._begin_window(now)
                self._judge(rate)

    def refused(self, now: float, started: float, in_flight: int) -> None:
        """See ``Limit``."""
        again = started > self._cut_at and self._since_cut < self._places / 4
        cut = int(CUT * self._places)
        self._places = self._target = max(1, min(self._places, cut if again else max(in_flight, cut)))
        self._filling = False
        self._cut_at, self._since_cut = now, 0
        self._patience = 4 * PATIENCE
        self._best = 0.0
        self._hold(0.0)
        self._settle(now)

    # --- what a window of answers, all of them under the same number of places, leads to; rate = work per second

    def _search(self, rate: float) -> None:
        if rate > self._rate * PAYS and self._places < self._most:
            self._before, self._rate = self._places, rate
            self._aim(2 * self._places)
            return
        if self._before and rate < self._rate * (1 + PAYS) / 2:
            self._aim(math.sqrt(self._before * self._places))
        self._hold(max(rate, self._rate))

    def _watch(self, rate: float) -> None:
        self._windows += 1
        rises, self._rises = self._rises, bool(self._rate) and rate > 1.25 * self._rate
        if self._rises:
            if not rises:
                return  # one window may be luck
            self._judge, self._before, self._rate, self._best = self._search, self._places, rate, 0.0
            self._aim(2 * self._places)
            return
        changed = not self._rate or rate < 0.7 * self._rate
        self._rate = rate if changed else 0.7 * self._rate + 0.3 * rate
        self._best = self._rate if changed else max(self._best, self._rate)
        if self._windows >= self._patience:
            self._judge, self._before = self._probe, self._places
            self._aim(self._places * (1.25 if self._upwards else 0.8))

    def _probe(self, rate: float) -> None:
        keep = rate > 1.03 * self._rate if self._upwards else rate > 0.985 * self._best
        if not keep:
            self._aim(self._before)
            self._upwards = not self._upwards
        self._hold(rate if keep else self._rate)

    def _hold(self, rate: float) -> None:
        self._judge, self._windows, self._rate = self._watch, 0, rate

    # ---

    def _aim(self, places: float) -> None:
        """Go for so many places: fewer at once, more one by one, so that a refusal ends it early."""
        self._target = min(max(places, 1.0), self._most)
        self._places = min(self._places, self._target)
        self._settling = self._places

    def _settle(self, now: float) -> None:
        self._settling = self._places / 2
        self._begin_window(now)

    def _begin_window(self, now: float) -> None:
        self._work, self._count, self._window_from = 0.0, 0, now
