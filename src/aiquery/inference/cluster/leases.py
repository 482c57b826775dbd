"""A worker's side of a limit that the coordinator decides about: it requests permits in advance and starts on them."""

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

NO_COST = Cost()
MIN_REQUESTED = 64
"""Permits that a worker may have requested; as many as it has in flight, if that is more."""


class Reserve(NamedTuple):
    """The reservation for an item: its tokens, and its highest cost where there is a budget."""

    tokens: Callable[[Any], float]
    max_cost: Callable[[Any], Cost] | None


class LeasedAdmission:
    """An ``Admits`` of a cluster's worker. A permit is for one attempt, and returns when that ends."""

    counts_tokens = True

    def __init__(
        self,
        channel: int,
        send: Callable[[Any], None],
        reserve: Reserve,
        slots: int | None = None,
        since: float = -math.inf,
    ) -> None:
        """Hold no permit.

        slots   the highest number of attempts in this process, for an endpoint whose slots belong to a process
        since   an older outage counts from this time on
        """
        self.in_flight = 0
        self.closed_until = -math.inf
        self.answer_count = 0
        self._down_since: float | None = None
        self._since = since
        self.channel = channel
        self._send = send
        self._reserve = reserve
        self._slots = slots
        self._requested = 0
        self._quota = 0
        self._free: deque[PermitsGranted] = deque()
        self._reusable: deque[tuple[PermitsGranted, PermitReleased]] = deque()
        self._in_use: dict[Any, list[PermitsGranted]] = {}

    # --- from the coordinator

    def add_permit(self, grant: PermitsGranted) -> None:
        """Add a permit."""
        self._requested -= 1
        self._free.append(grant)

    def set_quota(self, permits: int) -> None:
        """Set how many permits may be reused without a request."""
        self._quota = permits

    def start_cooldown(self, until: float, down_since: float | None = None) -> None:
        """Start nothing before ``until``; in an outage all permits return, and the coordinator grants the probe's."""
        self.closed_until = until
        self._down_since = down_since
        if down_since is not None:
            self._give_back(len(self._free))

    # --- from the scheduler

    @property
    def down_since(self) -> float | None:
        """Since when the endpoint answers no request; after an outage was given up, from that time on."""
        if self._down_since is None:
            return None
        return max(self._down_since, self._since)

    def reset_outage(self, now: float) -> None:
        """Count the outage from now on."""
        self._since = now

    def may_have_room(self, now: float) -> bool:
        """Return True if there is a permit."""
        del now
        return bool(self._free or self._reusable)

    def admits(self, now: float, item: Any) -> bool:
        """Return True if there is a permit for ``item``.

        If none is large enough, all return and one of the right size is requested.
        """
        if now < self.closed_until or not (self._free or self._reusable):
            return False
        if self._reserve.max_cost is None:
            return True
        needed = self._reserve.max_cost(item)
        for i, grant in enumerate(self._free):
            if grant.max_tokens >= needed.tokens and grant.max_usd >= needed.usd:
                self._free.rotate(-i)
                return True
        self._give_back(len(self._free))
        self._request(item)
        return False

    def admits_at(self, now: float, item: Any | None) -> float | None:
        """Return the end of the cooldown if there is a permit; None: a grant wakes the scheduler."""
        del item
        if self._free and now < self.closed_until:
            return self.closed_until
        return None

    def record_start(self, now: float, item: Any) -> None:
        """Use the permit that ``admits`` found."""
        del now
        if self._reusable:
            grant, release = self._reusable.popleft()
            grant.tokens = self._reserve.tokens(item)
            release.next_tokens = grant.tokens
            self._send(release)
        else:
            grant = self._free.popleft()
        self._in_use.setdefault(item, []).append(grant)
        item.reserved = grant.tokens
        if self._reserve.max_cost is not None:
            item.max_cost = Cost(grant.max_tokens, grant.max_usd)
        self.in_flight += 1

    def announce(self, items: Iterable[Any]) -> None:
        """Request permits for the next items, and return those that no item needs."""
        while self._reusable:
            _, release = self._reusable.popleft()
            self._send(release)
        most = max(MIN_REQUESTED, self.in_flight)
        if self._slots is not None:
            most = self._slots - self.in_flight
        next_items = list(islice(items, max(most, len(self._free))))
        self._give_back(len(self._free) - len(next_items))
        covered = len(self._free) + self._requested
        for item in next_items[covered:most]:
            self._request(item)

    def record_answer(
        self, item: Any, now: float, started: float, tokens: float
    ) -> None:
        """Return the permit; within the quota the next item may reuse it."""
        self.answer_count += 1
        grant = self._release(item)
        release = PermitReleased(grant.permit, "answered", now - started, tokens)
        if self.in_flight < self._quota:
            self._reusable.append((grant, release))
        else:
            self._send(release)

    def record_failure(self, item: Any, failure: Failure) -> None:
        """Return the permit; the coordinator sets the cooldown of the cluster."""
        wait_s = failure.wait_s
        if wait_s is not None:
            self.closed_until = max(self.closed_until, failure.now + wait_s)
        how: Literal["throttled", "failed"] = (
            "throttled" if failure.throttled else "failed"
        )
        took_s = failure.now - failure.started
        permit = self._release(item).permit
        self._send(PermitReleased(permit, how, took_s, wait_s=wait_s))

    def record_rejection(self, item: Any, now: float) -> None:
        """Return the permit."""
        del now
        self.answer_count += 1
        self._send(PermitReleased(self._release(item).permit, "rejected"))

    def record_cancellation(self, item: Any) -> None:
        """Return the permit."""
        self._send(PermitReleased(self._release(item).permit, "cancelled"))

    def observe(self, limits: RateLimits) -> None:
        """Report the limits in the endpoint's headers."""
        self._send(LimitsObserved(self.channel, limits))

    # ---

    def _request(self, item: Any) -> None:
        cost = NO_COST
        if self._reserve.max_cost is not None:
            cost = self._reserve.max_cost(item)
        self._requested += 1
        tokens = self._reserve.tokens(item)
        self._send(PermitRequest(self.channel, tokens, cost.tokens, cost.usd))

    def _give_back(self, count: int) -> None:
        for _ in range(count):
            self._send(PermitReleased(self._free.pop().permit, "unused"))

    def _release(self, item: Any) -> PermitsGranted:
        grants = self._in_use[item]
        grant = grants.pop()
        if not grants:
            del self._in_use[item]
        self.in_flight -= 1
        return grant
