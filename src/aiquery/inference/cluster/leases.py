"""Pure: a member's side of a limit that is decided elsewhere: it asks for permits ahead, and starts on those."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable  # noqa: TC003  read by NamedTuple
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from aiquery.inference.cluster.messages import (
    LimitsObserved,
    PermitReleased,
    PermitRequest,
    PermitsGranted,
)
from aiquery.inference.scheduling.budget_guard import Cost

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiquery.inference.scheduling.admission import Failure
    from aiquery.requests.request import RateLimits

NOTHING = Cost()
AHEAD = 64
"""Permits that a member may be waiting for; as many as it has in flight, if that is more."""


class Reserve(NamedTuple):
    """What to reserve for an entry: its tokens, and its cost at most where there is a budget."""

    tokens: Callable[[Any], float]
    max_cost: Callable[[Any], Cost] | None


class LeasedAdmission:
    """An ``Admits`` whose coordinator is far away. A permit is for one attempt, and goes back when that ends."""

    counts_tokens = True

    def __init__(
        self, channel: int, send: Callable[[Any], None], reserve: Reserve, slots: int | None = None, since: float =
        -math.inf
    ) -> None:  # fmt: skip
        """``slots``: the most attempts that this process may have in flight, where that is a limit of its own.

        ``since``: an outage that is older concerns it from then on.
        """
        self.in_flight = 0
        self.closed_until = -math.inf
        self.answer_count = 0
        self._down_since: float | None = None
        self._since = since
        self._lane = channel
        self._send = send
        self._reserve = reserve
        self._slots = slots
        self._asked = 0
        self._keep = 0
        self._free: deque[PermitsGranted] = deque()
        self._answered: deque[tuple[PermitsGranted, PermitReleased]] = deque()
        self._held: dict[Any, list[PermitsGranted]] = {}

    # --- from the coordinator

    def add_permit(self, grant: PermitsGranted) -> None:
        """Hold one more permit."""
        self._asked -= 1
        self._free.append(grant)

    def set_quota(self, keep: int) -> None:
        """Go on with so many permits, without asking."""
        self._keep = keep

    def start_cooldown(self, until: float, down_since: float | None = None) -> None:
        """Start nothing before ``until``, with permits or without; in an outage the coordinator gives the probe's."""
        self.closed_until, self._down_since = until, down_since
        if down_since is not None:
            self._give_back(len(self._free))

    # --- from the schedule

    @property
    def down_since(self) -> float | None:
        """See ``Admits``; who gave up an outage, or came later, waits from then on."""
        return None if self._down_since is None else max(self._down_since, self._since)

    def reset_outage(self, now: float) -> None:
        """See ``Admits``."""
        self._since = now

    def may_have_room(self, now: float) -> bool:
        """See ``Admits``."""
        del now
        return bool(self._free or self._answered)

    def admits(self, now: float, entry: Any) -> bool:
        """See ``Admits``. If no permit is large enough, all go back and one of the right size is asked for."""
        if now < self.closed_until or not (self._free or self._answered):
            return False
        if self._reserve.max_cost is None:
            return True
        most = self._reserve.max_cost(entry)
        for i, grant in enumerate(self._free):
            if grant.most_tokens >= most.tokens and grant.most_usd >= most.usd:
                self._free.rotate(-i)
                return True
        self._give_back(len(self._free))
        self._ask(entry)
        return False

    def admits_at(self, now: float, entry: Any | None) -> float | None:
        """See ``Admits``: a grant wakes the schedule, time only where it holds some."""
        del entry
        return self.closed_until if self._free and now < self.closed_until else None

    def record_start(self, now: float, entry: Any) -> None:
        """See ``Admits``; the permit is the one that ``admits`` found."""
        del now
        if self._answered:
            grant, over = self._answered.popleft()
            over.next_tokens = grant.tokens = self._reserve.tokens(entry)
            self._send(over)
        else:
            grant = self._free.popleft()
        self._held.setdefault(entry, []).append(grant)
        entry.reserved = grant.tokens
        if self._reserve.max_cost is not None:
            entry.max_cost = Cost(grant.most_tokens, grant.most_usd)
        self.in_flight += 1

    def announce(self, entries: Iterable[Any]) -> None:
        """Ask ahead for those that come next; give back what nobody wants."""
        while self._answered:
            self._send(self._answered.popleft()[1])
        most = (
            max(AHEAD, self.in_flight)
            if self._slots is None
            else self._slots - self.in_flight
        )
        next_ones = list(islice(entries, max(most, len(self._free))))
        self._give_back(len(self._free) - len(next_ones))
        for entry in next_ones[len(self._free) + self._asked : most]:
            self._ask(entry)

    def record_answer(
        self, entry: Any, now: float, started: float, tokens: float
    ) -> None:
        """See ``Admits``."""
        self.answer_count += 1
        grant = self._end(entry)
        over = PermitReleased(grant.permit, "answered", now - started, tokens)
        if self.in_flight < self._keep:
            self._answered.append((grant, over))  # what starts next may have it
        else:
            self._send(over)

    def record_failure(self, entry: Any, failure: Failure) -> None:
        """See ``Admits``; the chance in the pause is the coordinator's."""
        wait_s = failure.wait_s
        how: Literal["throttled", "failed"] = (
            "throttled" if failure.throttled else "failed"
        )
        if wait_s is not None:
            self.closed_until = max(self.closed_until, failure.now + wait_s)
        self._send(
            PermitReleased(
                self._end(entry).permit,
                how,
                failure.now - failure.started,
                wait_s=wait_s,
            )
        )

    def record_rejection(self, entry: Any, now: float) -> None:
        """See ``Admits``."""
        del now
        self.answer_count += 1
        self._send(PermitReleased(self._end(entry).permit, "rejected"))

    def record_cancellation(self, entry: Any) -> None:
        """See ``Admits``."""
        self._send(PermitReleased(self._end(entry).permit, "ended"))

    def observe(self, limits: RateLimits) -> None:
        """See ``Admits``."""
        per_minute = (
            limits.requests_per_minute,
            limits.requests_left,
            limits.tokens_per_minute,
            limits.tokens_left,
        )
        self._send(LimitsObserved(self._lane, per_minute))

    # ---

    def _ask(self, entry: Any) -> None:
        most = (
            NOTHING if self._reserve.max_cost is None else self._reserve.max_cost(entry)
        )
        self._asked += 1
        self._send(
            PermitRequest(
                self._lane, self._reserve.tokens(entry), most.tokens, most.usd
            )
        )

    def _give_back(self, count: int) -> None:
        for _ in range(count):
            self._send(PermitReleased(self._free.pop().permit, "unused"))

    def _end(self, entry: Any) -> PermitsGranted:
        grants = self._held[entry]
        grant = grants.pop()
        if not grants:
            del self._held[entry]
        self.in_flight -= 1
        return grant
