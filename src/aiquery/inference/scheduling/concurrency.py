"""Pure: how many requests may be in flight at one endpoint.

An endpoint that batches gives more the more it has in flight, up to a point that nobody knows beforehand.
``AdaptiveLimit``
finds it by throughput alone: latency rises long before throughput stops to rise, so limits that go by latency
(Vegas, Gradient2) stay at 8 to 83 % of what the endpoint can give, and those that go by losses alone (AIMD) have
thousands in flight where nothing is ever throttled. Figures: benchmarks/scheduling.py.
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
FIRST_PATIENCE, MOST_ANSWERS = 3, 400
"""Windows between two probes; rounds of answers before a trial after a refusal, more if trials are throttled."""

SAMPLE = 64
"""A window of fewer answers than this is not judged."""

FEW = 32
"""With fewer places than this a window has many rounds, so that fewer windows pass between two probes."""


class Limit(Protocol):
    """How many places there are, and what is learned from attempts that ended. Seconds on any monotonic clock."""

    def slots(self, now: float) -> int:
        """Return how many requests may be in flight now; at least 1."""

    def grows_at(self, now: float) -> float | None:
        """Return when ``slots`` rises by itself, None if it does not."""

    def record_answer(
        self, now: float, started: float, work: float, in_flight: int
    ) -> None:
        """Learn from an answer; ``work`` is what it cost the endpoint, ``in_flight`` counts it too."""

    def record_throttle(self, now: float, started: float, in_flight: int) -> None:
        """Learn that there was no room for an attempt begun at ``started``; ``in_flight`` no longer counts it."""

    def restore(self, now: float) -> None:
        """Take back what the last refusals taught: nobody was served, so they said nothing of the places."""


class FixedLimit:
    """Exactly as many places as somebody said, while there is work, never more."""

    def __init__(self, slots: int) -> None:
        """``slots`` at least 1."""
        self._slots = slots

    def slots(self, now: float) -> int:
        """See ``Limit``."""
        del now
        return self._slots

    def grows_at(self, now: float) -> float | None:
        """Never."""
        del now
        return None

    def record_answer(
        self, now: float, started: float, work: float, in_flight: int
    ) -> None:
        """Learn nothing."""

    def record_throttle(self, now: float, started: float, in_flight: int) -> None:
        """Learn nothing: the gate holds requests back."""

    def restore(self, now: float) -> None:
        """There is nothing to take back."""


class SlotRecovery:
    """How places come back after refusals, up to ``most``.

    After ``FIRST_PATIENCE`` rounds of answers there is one place more, after each further round twice as many more as
    before: once the endpoint has more room again, that is soon used. Where it has not, the first more is refused;
    then the next trial comes after twice as many, up to ``MOST_ANSWERS``: one request of hundreds is throttled.
    """

    def __init__(self, slots: int, most: float, before: SlotRecovery | None) -> None:
        """``before``: what a refusal ends; had it tried more places, that was in vain."""
        in_vain = before is not None and before.grew
        rounds = FIRST_PATIENCE if before is None else before.rounds * (1 + in_vain)
        self.slots = slots
        self.most = most
        self.rounds: int = rounds
        self.grew: bool = False
        self._step = 1
        self._answers_left = min(rounds * slots, MOST_ANSWERS)

    def record_answer(self) -> None:
        """Count an answer while all places are used."""
        self._answers_left -= 1
        if self._answers_left <= 0:
            self.slots = int(min(self.most, self.slots + self._step))
            self.grew = True
            self._step, self._answers_left = 2 * self._step, self.slots

    def is_over(self) -> bool:
        """Say whether all places are back."""
        return self.slots >= self.most


class CappedLimit(FixedLimit):
    """As many places as somebody said, fewer while the endpoint refuses some: what was said may be more than it has.

    A refusal leaves the places that the endpoint did take; see ``SlotRecovery``.
    """

    def __init__(self, most: int) -> None:
        """``most`` at least 1."""
        super().__init__(most)
        self._most = most
        self._recovery: SlotRecovery | None = None
        self._cut_at = -math.inf

    def record_answer(
        self, now: float, started: float, work: float, in_flight: int
    ) -> None:
        """See ``Limit``."""
        del now, work
        if (
            self._recovery is not None
            and started > self._cut_at
            and in_flight >= self._slots
        ):
            self._recovery.record_answer()
            self._slots = self._recovery.slots
            if self._recovery.is_over():
                self._recovery = None

    def record_throttle(self, now: float, started: float, in_flight: int) -> None:
        """See ``Limit``."""
        del started
        self._slots = max(1, min(self._slots, in_flight))
        self._recovery, self._cut_at = (
            SlotRecovery(self._slots, self._most, self._recovery),
            now,
        )

    def restore(self, now: float) -> None:
        """See ``Limit``."""
        del now
        self._slots, self._recovery = self._most, None


class AdaptiveLimit:
    """As many places as make the endpoint do most work per second, and not many more.

    The search doubles the places while that pays (``PAYS``): each time it waits until what was sent under the old
    number is through, then measures the work per second of one window. After that the limit holds, and tries a quarter
    more and a fifth less in turn, so that it ends near the smallest number that does all the work. When the work per
    second rises by itself the endpoint has grown, and the search begins again from there.

    A refusal sets the places to what the endpoint did take (``in_flight``); a second one soon after cuts further. The
    places that worked before come back as ``SlotRecovery`` says; then the search goes on where it was.
    """

    def __init__(self, first: int = FIRST, most: int = MOST) -> None:
        """Begin with ``first`` places; never more than ``most``."""
        self._most = float(most)
        self._template = float(min(first, most))
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
        self._since_cut = MOST
        self._recovery: SlotRecovery | None = None
        self._state = self._judge, self._before, self._rate
        self._begin_window(0.0)

    def slots(self, now: float) -> int:
        """See ``Limit``."""
        if self._filling:
            self._filled_from = now if self._filled_from is None else self._filled_from
            self._slots = min(self._template, 1 + (now - self._filled_from) / FILL_S)
            self._filling = self._slots < self._template
        return int(self._slots)

    def grows_at(self, now: float) -> float | None:
        """See ``Limit``."""
        return now + FILL_S if self._filling else None

    def record_answer(
        self, now: float, started: float, work: float, in_flight: int
    ) -> None:
        """See ``Limit``."""
        if started > self._cut_at:
            self._since_cut += 1
        if self._recovery is not None:
            self._recover(self._recovery, now, started, in_flight)
        elif in_flight < 0.9 * int(self._slots) or self._filling:
            self._begin_window(
                now
            )  # the endpoint waited for us: that says nothing about it
        elif self._slots < self._template:
            self._slots = min(
                self._template,
                self._slots + (1.0 if self._judge == self._search else 0.25),
            )
            self._settle(now)
        elif self._settling > 0:
            self._settling -= 1
            self._begin_window(now)
        else:
            self._work += work
            self._count += 1
            if self._count >= max(self._slots, SAMPLE):
                rate = self._work / max(now - self._window_from, 1e-9)
                self._begin_window(now)
                self._judge(rate)

    def record_throttle(self, now: float, started: float, in_flight: int) -> None:
        """See ``Limit``."""
        worked = self._template if self._filling else self._slots
        if self._recovery is None:
            self._state = self._judge, self._before, self._rate
        else:
            worked = self._recovery.most
        again = started > self._cut_at and self._since_cut < self._slots / 4
        cut = int(CUT * self._slots)
        self._slots = self._template = max(
            1, min(self._slots, cut if again else max(in_flight, cut))
        )
        self._filling = False
        self._cut_at, self._since_cut = now, 0
        self._recovery = SlotRecovery(int(self._slots), worked, self._recovery)

    def _recover(
        self, recovery: SlotRecovery, now: float, started: float, in_flight: int
    ) -> None:
        if started > self._cut_at and in_flight >= int(self._slots):
            recovery.record_answer()
            self._slots = self._template = recovery.slots
            if recovery.is_over():
                self.restore(now)

    def restore(self, now: float) -> None:
        """See ``Limit``."""
        if self._recovery is not None:
            self._slots = self._template = self._recovery.most
            self._judge, self._before, self._rate = self._state
            self._recovery = None
            self._best, self._windows = 0.0, 0
            self._settle(now)

    # --- what a window of answers, all of them under the same number of places, leads to; rate = work per second

    def _search(self, rate: float) -> None:
        if rate > self._rate * PAYS and self._slots < self._most:
            self._before, self._rate = self._slots, rate
            self._aim(2 * self._slots)
            return
        if self._before and rate < self._rate * (1 + PAYS) / 2:
            self._aim(math.sqrt(self._before * self._slots))
        self._hold(max(rate, self._rate))

    def _watch(self, rate: float) -> None:
        self._windows += 1
        rises, self._rises = self._rises, bool(self._rate) and rate > 1.25 * self._rate
        if self._rises:
            if not rises:
                return  # one window may be luck
            self._judge, self._before, self._rate, self._best = (
                self._search,
                self._slots,
                rate,
                0.0,
            )
            self._aim(2 * self._slots)
            return
        changed = not self._rate or rate < 0.7 * self._rate
        self._rate = rate if changed else 0.7 * self._rate + 0.3 * rate
        self._best = self._rate if changed else max(self._best, self._rate)
        if self._windows >= PATIENCE * min(1.0, self._slots / FEW):
            self._judge, self._before = self._probe, self._slots
            self._aim(
                max(self._slots * 1.25, self._slots + 1)
                if self._upwards
                else self._slots * 0.8
            )

    def _probe(self, rate: float) -> None:
        keep = rate > 1.03 * self._rate if self._upwards else rate > 0.985 * self._best
        if not keep:
            self._aim(self._before)
            self._upwards = not self._upwards
        self._hold(rate if keep else self._rate)

    def _hold(self, rate: float) -> None:
        self._judge, self._windows, self._rate = self._watch, 0, rate

    # ---

    def _aim(self, slots: float) -> None:
        """Go for so many places: fewer at once, more one by one, so that a refusal ends it early."""
        self._template = min(max(slots, 1.0), self._most)
        self._slots = min(self._slots, self._template)
        self._settling = self._slots

    def _settle(self, now: float) -> None:
        self._settling = self._slots / 2
        self._begin_window(now)

    def _begin_window(self, now: float) -> None:
        self._work, self._count, self._window_from = 0.0, 0, now


def make_limit(max_concurrency: int | None, first: int) -> Limit:
    """Return the limit of an endpoint: what was configured, or a search that begins with ``first`` places."""
    return (
        AdaptiveLimit(first)
        if max_concurrency is None
        else CappedLimit(max_concurrency)
    )
