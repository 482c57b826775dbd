"""Pure: which request of one endpoint starts next.

No clock, no asyncio, no chance: time (seconds on any monotonic clock) and events come in, decisions go out as values.
What waits is started in the order it came; what failed rests until its time and then goes before what has not started.
Nothing starts beyond the limit, while the gate is closed, or faster than the rates allow.
"""

from __future__ import annotations

import heapq
from collections import deque
from itertools import count
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from aiquery.inference.gate import Gate
from aiquery.inference.rate import Rates

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiquery.inference.hedge import Hedge
    from aiquery.inference.limit import Limit


class Startable(Protocol):
    """What the schedule notes on an entry: when its last attempt began, and the tokens that were reserved for it."""

    started: float
    reserved: float


Entry = TypeVar("Entry", bound=Startable)


class Schedule(Generic[Entry]):
    """The one owner of an endpoint's limits."""

    def __init__(
        self,
        limit: Limit,
        rates: Rates | None = None,
        *,
        cost: Callable[[Entry], float] | None = None,
        allows: Callable[[Entry, float], bool] | None = None,
    ) -> None:
        """``cost`` says how many tokens to reserve for an entry, ``allows`` has the last word before one starts."""
        self.limit = limit
        self.rates = rates or Rates()
        self.gate = Gate()
        self.hedge: Hedge | None = None
        self._cost = cost or (lambda _: 0.0)
        self._allows = allows or (lambda _, __: True)
        self.in_flight = 0
        self._denied = False
        self._waiting: deque[Entry] = deque()
        self._resting: list[tuple[float, int, Entry]] = []
        self._order = count()

    def __len__(self) -> int:
        """Count what has not started or rests."""
        return len(self._waiting) + len(self._resting)

    def is_idle(self) -> bool:
        """Say whether nothing new waits to start."""
        return not self._waiting

    def add(self, entry: Entry) -> None:
        """Queue a new entry."""
        self._waiting.append(entry)

    def rest(self, entry: Entry, until: float) -> None:
        """Let an entry whose attempt is over start again at ``until``."""
        heapq.heappush(self._resting, (until, next(self._order), entry))

    def take(self, now: float) -> Entry | None:
        """Return the entry that starts now and count it as in flight; None if nothing may start."""
        self._denied = False
        entry = self._next(now)
        if entry is None or not self._may_start(entry, now):
            return None
        if self._resting and self._resting[0][2] is entry:
            heapq.heappop(self._resting)
        else:
            self._waiting.popleft()
        self._start(entry, now)
        return entry

    def take_again(self, now: float) -> Entry | None:
        """Return an entry in flight that is asked a second time now, because nothing else waits and it is late."""
        if self.hedge is None or self._waiting or self._resting:
            return None
        entry: Entry | None = self.hedge.late(now)
        if entry is None or not self._may_start(entry, now):
            return None
        self.hedge.asked_again(entry)
        self.rates.take(now, entry.reserved)
        self.in_flight += 1
        return entry

    def wake_at(self, now: float) -> float | None:  # noqa: PLR0911  one return per reason to wait
        """Return when to look again although nothing has ended; None if only an ending can change anything."""
        if self._denied:
            return None
        if (entry := self._next(now)) is not None:
            if not self.gate.is_open(now):
                return self.gate.closed_until
            if self.in_flight >= self.limit.places(now):
                return self.limit.grows_at(now)
            return now + self.rates.wait_s(now, self._cost(entry))
        if self._resting:
            return max(self._resting[0][0], self.gate.closed_until)
        if self.hedge is not None and (late_at := self.hedge.late_at()) is not None:
            if self.in_flight >= self.limit.places(now):
                return self.limit.grows_at(now)
            return max(late_at, self.gate.closed_until, now + self.rates.wait_s(now, 0.0))
        return None

    def drop(self, unwanted: Callable[[Entry], bool]) -> list[Entry]:
        """Remove and return every entry that nobody wants any more; what is in flight is not touched."""
        gone = [e for e in self._waiting if unwanted(e)] + [e for _, _, e in self._resting if unwanted(e)]
        if gone:
            self._waiting = deque(e for e in self._waiting if not unwanted(e))
            self._resting = [item for item in self._resting if not unwanted(item[2])]
            heapq.heapify(self._resting)
        return gone

    # --- how attempts end: each frees its place

    def answered(self, entry: Entry, now: float, started: float, tokens: float) -> None:
        """End an attempt that began at ``started`` with an answer that used ``tokens`` (0: nobody counts them)."""
        self.gate.answered()
        self.limit.answered(now, started, tokens or 1.0, self.in_flight)
        self._end(entry, tokens or entry.reserved)
        if self.hedge is not None:
            self.hedge.ended(entry, now - started)

    def refused(self, entry: Entry, now: float, started: float, wait_s: float | None, jitter: float) -> None:
        """End an attempt that the endpoint had no room for: that concerns every request, not this one."""
        self._end(entry, 0.0)
        self.gate.refused(now, started, wait_s, jitter)
        if wait_s is not None and self.rates.known:
            self.rates.refused(self.gate.closed_until)  # it was too fast, not too much at once
        else:
            self.limit.refused(now, started, self.in_flight)
        self.forget(entry)

    def ended(self, entry: Entry) -> None:
        """End an attempt that failed or was cancelled."""
        self._end(entry, entry.reserved)
        self.forget(entry)

    def forget(self, entry: Entry) -> None:
        """Never ask this entry a second time."""
        if self.hedge is not None:
            self.hedge.forget(entry)

    # ---

    def _may_start(self, entry: Entry, now: float) -> bool:
        if not self.gate.is_open(now) or self.in_flight >= self.limit.places(now):
            return False
        tokens = self._cost(entry)
        if self.rates.wait_s(now, tokens) > 0:
            return False
        self._denied = not self._allows(entry, now)
        if self._denied:
            return False
        entry.reserved = tokens
        return True

    def _next(self, now: float) -> Entry | None:
        if self._resting and self._resting[0][0] <= now:
            return self._resting[0][2]
        return self._waiting[0] if self._waiting else None

    def _start(self, entry: Entry, now: float) -> None:
        self.rates.take(now, entry.reserved)
        entry.started = now
        self.in_flight += 1
        if self.hedge is not None:
            self.hedge.began(entry)

    def _end(self, entry: Entry, used: float) -> None:
        self.in_flight -= 1
        self.rates.settle(entry.reserved, used)
