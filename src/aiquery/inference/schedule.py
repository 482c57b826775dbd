"""Pure: which request of one endpoint starts next.

No clock, no asyncio: time comes in as an argument (seconds on any monotonic clock), decisions go out as values. What
waits is started in the order it came; what failed rests until its time and then goes before what has not started.
"""

from __future__ import annotations

import heapq
from collections import deque
from itertools import count
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiquery.inference.limit import Limit

Entry = TypeVar("Entry")


class Schedule(Generic[Entry]):
    """The one owner of an endpoint's limit."""

    def __init__(self, limit: Limit) -> None:
        """Start with nothing waiting and nothing in flight."""
        self.limit = limit
        self.in_flight = 0
        self._waiting: deque[Entry] = deque()
        self._resting: list[tuple[float, int, Entry]] = []
        self._order = count()

    def __len__(self) -> int:
        """Count what has not started or rests."""
        return len(self._waiting) + len(self._resting)

    def add(self, entry: Entry) -> None:
        """Queue a new entry."""
        self._waiting.append(entry)

    def take(self, now: float) -> Entry | None:
        """Return the entry that starts now and count it as in flight; None if nothing may start."""
        if not self.limit.has_room(self.in_flight):
            return None
        if self._resting and self._resting[0][0] <= now:
            entry = heapq.heappop(self._resting)[2]
        elif self._waiting:
            entry = self._waiting.popleft()
        else:
            return None
        self.in_flight += 1
        return entry

    def end(self) -> None:
        """One attempt is over, however it ended: its place is free."""
        self.in_flight -= 1

    def rest(self, entry: Entry, until: float) -> None:
        """Let an entry whose attempt is over start again at ``until``."""
        heapq.heappush(self._resting, (until, next(self._order), entry))

    def wake_at(self) -> float | None:
        """Return when the next resting entry may start, None if none rests."""
        return self._resting[0][0] if self._resting else None

    def drop(self, unwanted: Callable[[Entry], bool]) -> list[Entry]:
        """Remove and return every entry that nobody wants any more; what is in flight is not touched."""
        gone = [e for e in self._waiting if unwanted(e)] + [e for _, _, e in self._resting if unwanted(e)]
        if gone:
            self._waiting = deque(e for e in self._waiting if not unwanted(e))
            self._resting = [item for item in self._resting if not unwanted(item[2])]
            heapq.heapify(self._resting)
        return gone
