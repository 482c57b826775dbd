"""The coordinator: beside the driver, one schedule per endpoint whose entries are the permits that workers ask for.

It is the same code that schedules requests in one process, so that many processes have one limit, one pair of rates,
one gate and one budget. When a worker's connection ends, what it held is free, and what it did not answer for is paid.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import random
import secrets
import time
from collections import deque
from itertools import count
from typing import TYPE_CHECKING, Any

import msgspec

from aiquery.inference.admission import Admission
from aiquery.inference.cluster.messages import (
    FROM_MEMBER,
    Ask,
    Closed,
    Failed,
    Grant,
    Halt,
    Hello,
    Join,
    Keep,
    Learned,
    Over,
    Paid,
    Terms,
    frame,
    read,
)  # fmt: skip
from aiquery.inference.limit import Fixed, Limit, Seeking
from aiquery.inference.purse import Cost, Purse
from aiquery.inference.rate import Rates
from aiquery.inference.schedule import Schedule
from aiquery.request import RateLimits

if TYPE_CHECKING:
    from aiquery.budget import Budget

log = logging.getLogger("aiquery")
HELLO_S = 10.0
NO_LIMIT = 1 << 30
SMALL = 1.05
FAILURES = 10_000
"""Failed requests that a new member is told of."""


class Ticket:
    """One permit, from when it is asked for until it comes back."""

    __slots__ = ("branch", "most", "number", "reserved", "started", "tokens")

    def __init__(self, number: int, branch: Branch, tokens: float, most: Cost) -> None:
        """``tokens`` and ``most`` are what to reserve."""
        self.number = number
        self.branch = branch
        self.tokens = tokens
        self.most = most
        self.started = 0.0
        self.reserved = 0.0


class Branch:
    """One member's view of one endpoint: its number there, whose permits it holds, whose purse it pays from."""

    def __init__(self, member: Member, lane: int, place: Place, purse: Purse | None) -> None:
        """Hold nothing."""
        self.member = member
        self.lane = lane
        self.place = place
        self.purse = purse
        self.permits = 0
        self.keep = 0
        self.asks: deque[Ticket] = deque()
        place.branches.add(self)

    def share(self, keep: int) -> None:
        """Say how many permits it may go on with, if that is less than it thinks, or clearly more."""
        if keep < self.keep or keep > SMALL * self.keep:
            self.keep = keep
            self.member.send(Keep(self.lane, keep))


class Place:
    """One endpoint: its limits, and who waits for a permit."""

    def __init__(self, terms: Terms, loop: asyncio.AbstractEventLoop) -> None:
        """Start with nothing in flight."""
        rates = Rates(terms.requests_per_minute, terms.tokens_per_minute)
        self.admission = Admission(_limit(terms), rates, cost=lambda ticket: ticket.tokens)
        self.schedule: Schedule[Ticket] = Schedule(self.admission, allows=self._afford)
        self.branches: set[Branch] = set()
        self._loop = loop
        self._busy = 0
        self._shares = (0, 0)
        self._alarm: asyncio.TimerHandle | None = None

    def kick(self) -> None:
        """Grant what may be granted now, and look again when time alone allows more."""
        now = time.monotonic()
        while (ticket := self.schedule.take(now)) is not None:
            branch, most = ticket.branch, ticket.most
            branch.member.held[ticket.number] = ticket
            branch.member.send(Grant(branch.lane, ticket.number, ticket.reserved, most.tokens, most.usd))
            branch.asks.popleft()
            if branch.asks:
                self.schedule.add(branch.asks[0])
        self._divide(now)
        if self._alarm is not None:
            self._alarm.cancel()
        wake_at = self.schedule.wake_at(now)
        self._alarm = None
        if wake_at is not None and wake_at != float("inf"):
            self._alarm = self._loop.call_later(max(wake_at - now, 0.0005), self.kick)

    def ask(self, ticket: Ticket) -> None:
        """Queue a wish. One of each branch waits in the schedule: so the branches take turns."""
        branch = ticket.branch
        branch.asks.append(ticket)
        if len(branch.asks) == 1:
            self.schedule.add(ticket)
        self.wants(branch, 1)

    def wants(self, branch: Branch, change: int) -> None:
        """Note that a branch asks for, or holds, one permit more or less."""
        branch.permits += change
        if branch.permits == max(change, 0):
            self._busy += change

    def _divide(self, now: float) -> None:
        """Give each branch that has work an equal share to go on with: no request waits for us then.

        Where something is counted per minute, or paid for, each request must ask.
        """
        places = 0 if self.admission.rates.known else self.admission.limit.places(now)
        if (places, self._busy) != self._shares:
            self._shares = places, self._busy
            for branch in self.branches:
                branch.share(0 if branch.purse is not None else places // max(self._busy, 1))

    def _afford(self, ticket: Ticket, now: float) -> bool:
        purse = ticket.branch.purse
        if purse is None or purse.reserve(ticket.most, now):
            return True
        if purse.reached is not None:
            self._loop.call_soon(self._halt, purse)
        return False

    def _halt(self, purse: Purse) -> None:
        for branch in self.branches:
            if branch.purse is purse and purse.reached is not None:
                branch.member.send(
                    Halt(branch.lane, purse.reached, purse.requests, purse.spent.tokens, purse.spent.usd)
                )
        for ticket in self.schedule.drop(lambda ticket: ticket.branch.purse is purse):
            for _ in range(len(ticket.branch.asks)):
                self.wants(ticket.branch, -1)
            ticket.branch.asks.clear()
        self.kick()

    def leave(self, branch: Branch) -> None:
        """Forget a branch; what it held was taken back."""
        self.branches.discard(branch)
        self._busy -= bool(branch.permits)
        self.schedule.drop(lambda ticket: ticket.branch is branch)
        self.kick()

    def back(self, ticket: Ticket, over: Over) -> None:
        """Take a permit back."""
        now, admission = time.monotonic(), self.admission
        started = now - over.took_s
        if over.how == "answered":
            admission.answered(ticket, now, started, over.tokens)
            if over.next_tokens is not None:
                ticket.tokens = over.next_tokens
                admission.began(now, ticket)
                return
        elif over.how == "refused":
            closed_until = admission.closed_until
            admission.refused(ticket, now, started, over.wait_s, random.random())  # noqa: S311  jitter is no secret
            if admission.closed_until > max(closed_until, now):
                for branch in self.branches:
                    branch.member.send(Closed(branch.lane, admission.closed_until - now))
        elif over.how == "ended":
            admission.ended(ticket)
        else:
            admission.unused(ticket)
            if ticket.branch.purse is not None:
                ticket.branch.purse.unused(ticket.most)
        del ticket.branch.member.held[ticket.number]
        self.wants(ticket.branch, -1)


def _limit(terms: Terms) -> Limit:
    if terms.max_concurrency is not None:
        return Fixed(terms.max_concurrency)
    return Seeking(terms.slots) if terms.slots else Fixed(NO_LIMIT)


class Member:
    """One worker process."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        """Hold nothing."""
        self.branches: dict[int, Branch] = {}
        self.held: dict[int, Ticket] = {}
        self._writer = writer
        self._out: list[Any] = []

    def send(self, message: Any) -> None:  # noqa: ANN401  one of ``FromCoordinator``
        """Send soon, with what else there is."""
        if not self._out:
            asyncio.get_running_loop().call_soon(self._flush)
        self._out.append(message)

    def hang_up(self) -> None:
        """End the connection."""
        self._writer.close()

    def _flush(self) -> None:
        out, self._out = self._out, []
        if not self._writer.is_closing():
            self._writer.write(frame(out))


class Coordinator:
    """Serves members over TCP; all of it happens on one loop."""

    def __init__(self) -> None:
        """Serve nobody before ``start``."""
        self.token = secrets.token_hex(16)
        self.port = 0
        self._places: dict[str, Place] = {}
        self._purses: dict[str, Purse] = {}
        self._numbers = count(1)
        self._server: asyncio.Server | None = None
        self._members: set[Member] = set()
        self._failures: deque[Failed] = deque(maxlen=FAILURES)

    async def start(self, host: str = "", port: int = 0) -> None:
        """Listen; ``port`` 0 takes a free one."""
        self._server = await asyncio.start_server(self._serve, host or None, port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Hang up on everybody."""
        if self._server is not None:
            self._server.close()
        for member in list(self._members):
            member.hang_up()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        member = Member(writer)
        self._members.add(member)
        try:
            async with asyncio.timeout(HELLO_S):
                first, *others = await read(reader, FROM_MEMBER)
            if not isinstance(first, Hello) or not hmac.compare_digest(first.token, self.token):
                return
            for failed in self._failures:
                member.send(failed)
            self._take(member, others)
            while True:
                self._take(member, await read(reader, FROM_MEMBER))
        except (OSError, asyncio.IncompleteReadError, msgspec.MsgspecError) as error:
            log.debug("a worker left: %r", error)
        finally:
            self._members.discard(member)
            self._gone(member)
            member.hang_up()

    def _take(self, member: Member, messages: list[Any]) -> None:
        touched = set()
        for message in messages:
            if isinstance(message, Over):
                ticket = member.held[message.permit]
                ticket.branch.place.back(ticket, message)
                touched.add(ticket.branch.place)
            elif isinstance(message, Failed):
                self._tell(message, member)
            elif isinstance(message, Join):
                purse = self._purse(message.run, message.budget)
                member.branches[message.lane] = Branch(member, message.lane, self._place(message), purse)
            else:
                branch = member.branches[message.lane]
                self._hear(branch, message)
                touched.update([branch.place] if branch.purse is None else self._places.values())
        for place in touched:
            place.kick()

    def _tell(self, failed: Failed, teller: Member) -> None:
        self._failures.append(failed)
        for member in self._members:
            if member is not teller:
                member.send(failed)

    def _hear(self, branch: Branch, message: Any) -> None:  # noqa: ANN401
        if isinstance(message, Ask):
            most = Cost(message.most_tokens, message.most_usd)
            branch.place.ask(Ticket(next(self._numbers), branch, message.tokens, most))
        elif isinstance(message, Learned):
            branch.place.admission.learn(RateLimits(*message.limits))
        elif isinstance(message, Paid) and branch.purse is not None:
            branch.purse.settle(Cost(*message.most), None if message.fact is None else Cost(*message.fact))

    def _place(self, join: Join) -> Place:
        place = self._places.get(join.endpoint)
        if place is None:
            place = self._places[join.endpoint] = Place(join.terms, asyncio.get_running_loop())
        return place

    def _purse(self, run: str, budget: Budget | None) -> Purse | None:
        if budget is None or not budget.is_set:
            return None
        return self._purses.setdefault(run, Purse(budget))

    def _gone(self, member: Member) -> None:
        for ticket in member.held.values():
            ticket.branch.place.admission.ended(ticket)
            if ticket.branch.purse is not None:
                ticket.branch.purse.settle(ticket.most, None)
        for branch in member.branches.values():
            branch.place.leave(branch)
