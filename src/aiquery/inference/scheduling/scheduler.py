"""Pure: which request of one endpoint starts next.

No clock, no asyncio, no chance: time (seconds on any monotonic clock) and events come in, decisions go out as values.
What waits is started in the order it came; what failed rests until its time and then goes before what has not started.
Whether any may start at all is said by an ``Admits``: the limit, the gate and the rates of the endpoint.
"""

from __future__ import annotations

import heapq
from collections import deque
from itertools import chain, count
from typing import TYPE_CHECKING, Generic, TypeVar

from aiquery.inference.scheduling.admission import Startable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from aiquery.inference.scheduling.admission import Admits, Failure
    from aiquery.inference.scheduling.hedging import Hedging

Item = TypeVar("Item", bound=Startable)
SHARE_AGAIN = 0.2
LEAST_AGAIN = 3
"""Of what is in flight, at most this share may have failed before while others wait, but at least three requests."""


class Scheduler(Generic[Item]):
    """What waits for one endpoint, what rests, what is in flight and late."""

    def __init__(
        self, admission: Admits, *, allows: Callable[[Item, float], bool] | None = None
    ) -> None:
        """Hold nothing; ``allows`` has the last word before an entry starts."""
        self.admission = admission
        self.hedge: Hedging | None = None
        self._allows = allows or (lambda _, __: True)
        self._denied = False
        self._waiting: deque[Item] = deque()
        self._resting: list[tuple[float, int, Item]] = []
        self._again: set[Item] = set()  # in flight, and failed before
        self._order = count()

    @property
    def in_flight(self) -> int:
        """The attempts that began and did not end."""
        return self.admission.in_flight

    def __len__(self) -> int:
        """Count what has not started or rests."""
        return len(self._waiting) + len(self._resting)

    def is_idle(self) -> bool:
        """Say whether nothing new waits to start."""
        return not self._waiting

    def resting(self) -> Iterable[Item]:
        """Return what failed, and waits to be asked again."""
        return (entry for _, _, entry in self._resting)

    def add(self, entry: Item) -> None:
        """Queue a new entry."""
        self._waiting.append(entry)

    def rest(self, entry: Item, until: float) -> None:
        """Let an entry whose attempt is over start again at ``until``."""
        heapq.heappush(self._resting, (until, next(self._order), entry))

    def take(self, now: float) -> Item | None:
        """Return the entry that starts now and count it as in flight; None if nothing may start."""
        self._denied = False
        entry = self._next(now)
        if entry is None or not self._may_start(entry, now):
            return None
        if self._resting and self._resting[0][2] is entry:
            heapq.heappop(self._resting)
            self._again.add(entry)
        else:
            self._waiting.popleft()
        self._start(entry, now)
        return entry

    def take_hedge(self, now: float) -> Item | None:
        """Return an entry in flight that is asked a second time now, because nothing else waits and it is late."""
        if self.hedge is None or self._waiting or self._resting:
            return None
        entry: Item | None = self.hedge.pick_late(now)
        if entry is None or not self._may_start(entry, now):
            return None
        self.hedge.record_hedge(entry)
        self.admission.record_start(now, entry)
        return entry

    def wake_at(self, now: float) -> float | None:
        """Return when to look again although nothing has ended; None if only an ending can change anything."""
        if self._denied:
            return None
        if (entry := self._next(now)) is not None:
            return self.admission.admits_at(now, entry)
        if self._resting:
            return max(self._resting[0][0], self.admission.closed_until)
        if self.hedge is not None and (late_at := self.hedge.late_at()) is not None:
            free_at = self.admission.admits_at(now, None)
            return free_at if free_at is None else max(late_at, free_at)
        return None

    def plan(self, now: float) -> None:
        """Tell the admission what would start if it could; call it once nothing more may start now."""
        self.admission.announce(self._next_ones(now))

    def drop(self, unwanted: Callable[[Item], bool]) -> list[Item]:
        """Remove and return every entry that nobody wants any more; what is in flight is not touched."""
        gone = [e for e in self._waiting if unwanted(e)] + [
            e for _, _, e in self._resting if unwanted(e)
        ]
        if gone:
            self._waiting = deque(e for e in self._waiting if not unwanted(e))
            self._resting = [item for item in self._resting if not unwanted(item[2])]
            heapq.heapify(self._resting)
        return gone

    # --- how attempts end: each frees its place

    def record_answer(
        self, entry: Item, now: float, started: float, tokens: float
    ) -> None:
        """End an attempt that began at ``started`` with an answer that used ``tokens`` (0: nobody counts them)."""
        self.admission.record_answer(entry, now, started, tokens)
        if self._again:
            self._again.discard(entry)
        if self.hedge is not None:
            self.hedge.record_cancellation(entry, now - started)

    def record_failure(self, entry: Item, failure: Failure) -> None:
        """End an attempt that failed, maybe not by its own fault."""
        self.admission.record_failure(entry, failure)
        self.forget(entry)

    def record_rejection(self, entry: Item, now: float) -> None:
        """End an attempt that the endpoint answered with an error that is the request's own."""
        self.admission.record_rejection(entry, now)
        self.forget(entry)

    def record_cancellation(self, entry: Item) -> None:
        """End an attempt that says nothing about the endpoint: it was cancelled."""
        self.admission.record_cancellation(entry)
        self.forget(entry)

    def forget(self, entry: Item) -> None:
        """Never ask this entry a second time."""
        self._again.discard(entry)
        if self.hedge is not None:
            self.hedge.forget(entry)

    # ---

    def _may_start(self, entry: Item, now: float) -> bool:
        if not self.admission.admits(now, entry):
            return False
        self._denied = not self._allows(entry, now)
        return not self._denied

    def _next(self, now: float) -> Item | None:
        """Return what starts next: what failed before goes first, but only so many at once while others wait.

        The share is that of Envoy's retry budget (envoy.config.cluster.v3.CircuitBreakers). In an outage what never
        failed goes first, since it is not to blame, and what rests need not rest: the gate keeps everybody back.
        """
        if not self._resting:
            return self._waiting[0] if self._waiting else None
        is_down = self.admission.down_since is not None
        if self._waiting and (
            is_down
            or len(self._again) >= max(LEAST_AGAIN, SHARE_AGAIN * self.in_flight)
        ):
            return self._waiting[0]
        if is_down or self._resting[0][0] <= now:
            return self._resting[0][2]
        return self._waiting[0] if self._waiting else None

    def _next_ones(self, now: float) -> Iterator[Item]:
        """Yield what would start: found out only if somebody looks, since that is asked after every kick."""
        if self._waiting or self._resting:
            is_down = self.admission.down_since is not None
            due = (entry for at, _, entry in self._resting if is_down or at <= now)
            yield from (
                chain(self._waiting, due) if is_down else chain(due, self._waiting)
            )
        elif (
            self.hedge is not None
            and (pick_late := self.hedge.pick_late(now)) is not None
        ):
            yield pick_late

    def _start(self, entry: Item, now: float) -> None:
        self.admission.record_start(now, entry)
        entry.started = now
        if self.hedge is not None:
            self.hedge.record_start(entry)
