"""Which request of one endpoint starts next.

Requests start in the order they came. A request that failed rests until its time, and then starts before requests that
have not started. An ``Admits`` decides whether any may start: concurrency limit, cooldown and rate limits.
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
MAX_RETRY_SHARE = 0.2
MIN_RETRIES = 3
"""At most this share of the requests in flight are retries while others wait, but at least three requests.
Source: Envoy's retry budget (envoy.config.cluster.v3.CircuitBreakers)."""


def _allow_all(item: Startable, now: float) -> bool:
    del item, now
    return True


class Scheduler(Generic[Item]):
    """The requests of one endpoint: those that wait, rest, and are in flight. Seconds on any monotonic clock."""

    def __init__(
        self, admission: Admits, *, allows: Callable[[Item, float], bool] | None = None
    ) -> None:
        """Start empty; ``allows`` is asked last before an item starts (the budget)."""
        self.admission = admission
        self.hedge: Hedging | None = None
        self._allows = allows or _allow_all
        self._is_denied = False
        self._waiting: deque[Item] = deque()
        self._resting: list[tuple[float, int, Item]] = []
        self._retries: set[Item] = set()
        self._order = count()

    @property
    def in_flight(self) -> int:
        """Attempts in flight."""
        return self.admission.in_flight

    def __len__(self) -> int:
        """Count the items that wait or rest."""
        return len(self._waiting) + len(self._resting)

    def is_idle(self) -> bool:
        """Return True if no new item waits."""
        return not self._waiting

    def resting(self) -> Iterable[Item]:
        """Return the items that failed and wait for their next attempt."""
        return (item for _, _, item in self._resting)

    def add(self, item: Item) -> None:
        """Queue a new item."""
        self._waiting.append(item)

    def rest(self, item: Item, until: float) -> None:
        """Queue an item for its next attempt at ``until``."""
        heapq.heappush(self._resting, (until, next(self._order), item))

    def take(self, now: float) -> Item | None:
        """Return the item that starts now, and count it as in flight; None if none may start."""
        self._is_denied = False
        item = self._next(now)
        if item is None or not self._may_start(item, now):
            return None
        if self._resting and self._resting[0][2] is item:
            heapq.heappop(self._resting)
            self._retries.add(item)
        else:
            self._waiting.popleft()
        self._start(item, now)
        return item

    def take_hedge(self, now: float) -> Item | None:
        """Return an item in flight that is sent a second time now: it is late, and no other item waits."""
        if self.hedge is None or self._waiting or self._resting:
            return None
        item: Item | None = self.hedge.pick_late(now)
        if item is None or not self._may_start(item, now):
            return None
        self.hedge.record_hedge(item)
        self.admission.record_start(now, item)
        return item

    def wake_at(self, now: float) -> float | None:
        """Return when an item may start by itself; None if all wait for the end of an attempt."""
        if self._is_denied:
            return None
        item = self._next(now)
        if item is not None:
            return self.admission.admits_at(now, item)
        if self._resting:
            return max(self._resting[0][0], self.admission.closed_until)
        return self._hedge_at(now)

    def _hedge_at(self, now: float) -> float | None:
        late_at = None if self.hedge is None else self.hedge.late_at()
        if late_at is None:
            return None
        free_at = self.admission.admits_at(now, None)
        return None if free_at is None else max(late_at, free_at)

    def plan(self, now: float) -> None:
        """Announce the items that wait; call it once no more may start now."""
        self.admission.announce(self._next_ones(now))

    def drop(self, unwanted: Callable[[Item], bool]) -> list[Item]:
        """Remove and return the waiting items for which ``unwanted`` is true; attempts in flight go on."""
        dropped = [item for item in self._waiting if unwanted(item)]
        dropped += [item for _, _, item in self._resting if unwanted(item)]
        if dropped:
            self._waiting = deque(item for item in self._waiting if not unwanted(item))
            self._resting = [entry for entry in self._resting if not unwanted(entry[2])]
            heapq.heapify(self._resting)
        return dropped

    # --- how attempts end: each frees its slot

    def record_answer(
        self, item: Item, now: float, started: float, tokens: float
    ) -> None:
        """End an attempt with an answer that used ``tokens``; 0 if they are unknown."""
        self.admission.record_answer(item, now, started, tokens)
        if self._retries:
            self._retries.discard(item)
        if self.hedge is not None:
            self.hedge.record_answer(item, now - started)

    def record_failure(self, item: Item, failure: Failure) -> None:
        """End an attempt that failed, perhaps not by its own fault."""
        self.admission.record_failure(item, failure)
        self.forget(item)

    def record_rejection(self, item: Item, now: float) -> None:
        """End an attempt that the endpoint answered with an error that is the request's own."""
        self.admission.record_rejection(item, now)
        self.forget(item)

    def record_cancellation(self, item: Item) -> None:
        """End an attempt that carries no information about the endpoint."""
        self.admission.record_cancellation(item)
        self.forget(item)

    def forget(self, item: Item) -> None:
        """Never send this item a second time while it is in flight."""
        self._retries.discard(item)
        if self.hedge is not None:
            self.hedge.forget(item)

    # ---

    def _may_start(self, item: Item, now: float) -> bool:
        if not self.admission.admits(now, item):
            return False
        self._is_denied = not self._allows(item, now)
        return not self._is_denied

    def _next(self, now: float) -> Item | None:
        """Return the item that starts next: retries first, but only a share of them while others wait.

        In an outage new items go first, since they are not to blame, and resting items need not wait for their time:
        the cooldown holds all of them back.
        """
        if not self._resting:
            return self._waiting[0] if self._waiting else None
        is_down = self.admission.down_since is not None
        if self._waiting and (is_down or self._has_enough_retries()):
            return self._waiting[0]
        if is_down or self._resting[0][0] <= now:
            return self._resting[0][2]
        return self._waiting[0] if self._waiting else None

    def _has_enough_retries(self) -> bool:
        return len(self._retries) >= max(MIN_RETRIES, MAX_RETRY_SHARE * self.in_flight)

    def _next_ones(self, now: float) -> Iterator[Item]:
        """Yield the items that would start next; lazily, since it is called after every start."""
        if self._waiting or self._resting:
            is_down = self.admission.down_since is not None
            due = (item for at, _, item in self._resting if is_down or at <= now)
            yield from (
                chain(self._waiting, due) if is_down else chain(due, self._waiting)
            )
        elif self.hedge is not None:
            late = self.hedge.pick_late(now)
            if late is not None:
                yield late

    def _start(self, item: Item, now: float) -> None:
        self.admission.record_start(now, item)
        item.started = now
        if self.hedge is not None:
            self.hedge.record_start(item)
