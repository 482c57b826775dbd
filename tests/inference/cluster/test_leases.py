"""Permits, in virtual time: nothing starts without one, each comes back exactly once, and all work is done."""

import random
from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from aiquery.inference.cluster.leases import LeasedAdmission, Reserve
from aiquery.inference.cluster.messages import (
    PermitReleased,
    PermitRequest,
    PermitsGranted,
)
from aiquery.inference.scheduling.admission import Failure
from aiquery.inference.scheduling.budget_guard import Cost
from aiquery.inference.scheduling.scheduler import Scheduler


class InFlightRequest:
    def __init__(self, most):
        self.started = self.reserved = 0.0
        self.most = Cost(most, 0.0)


class Wire:
    """A coordinator of one limit, whose messages arrive when they are let through."""

    def __init__(self, slots):
        self.slots, self.asks, self.held, self.numbers = slots, deque(), {}, 0
        self.sent = deque()

    def send(self, message):
        self.sent.append(message)

    def deliver(self, permits):
        """Take in what was sent, and grant what there is room for."""
        while self.sent:
            message = self.sent.popleft()
            if isinstance(message, PermitRequest):
                self.asks.append(message)
            elif isinstance(message, PermitReleased) and message.next_tokens is None:
                del self.held[message.permit]
        while self.asks and len(self.held) < self.slots:
            ask = self.asks.popleft()
            self.numbers += 1
            self.held[self.numbers] = ask
            permits.add_permit(
                PermitsGranted(0, self.numbers, ask.tokens, ask.max_tokens, ask.max_usd)
            )


@given(
    slots=st.integers(1, 8), keep=st.integers(0, 8), work=st.lists(st.integers(1, 5), max_size=40),
    bounded=st.booleans(), seed=st.integers(0, 1000),
)  # fmt: skip
def test_every_permit_comes_back_and_all_work_is_done(slots, keep, work, bounded, seed):
    chance = random.Random(seed)
    wire = Wire(slots)
    permits = LeasedAdmission(
        0,
        wire.send,
        Reserve(lambda _: 1.0, (lambda entry: entry.most) if bounded else None),
    )
    permits.set_quota(min(keep, slots))
    scheduler = Scheduler(permits)
    for most in work:
        scheduler.add(InFlightRequest(most))
    flying, done, now = [], 0, 0.0
    for _ in range(2000):
        now += 1.0
        while (entry := scheduler.take(now)) is not None:
            flying.append(entry)
        scheduler.plan(now)
        assert len(flying) == permits.in_flight <= len(wire.held) <= slots
        if chance.random() < 0.7:
            wire.deliver(permits)
        if flying and chance.random() < 0.5:
            entry = flying.pop(chance.randrange(len(flying)))
            ending = chance.random()
            if ending < 0.6:
                scheduler.record_answer(entry, now, entry.started, 3.0)
                done += 1
            elif ending < 0.8:
                scheduler.record_failure(
                    entry,
                    Failure(
                        now, entry.started, throttled=True, wait_s=None, jitter=0.5
                    ),
                )
                scheduler.rest(entry, now + 2.0)
            else:
                scheduler.record_cancellation(entry)
                scheduler.rest(entry, now + 1.0)
        if done == len(work) and not wire.held and not wire.asks:
            break
    assert done == len(work)
    wire.deliver(permits)
    scheduler.plan(now)
    wire.deliver(permits)
    assert not wire.held


def test_nothing_starts_in_a_pause_even_with_permits():
    wire = Wire(4)
    permits = LeasedAdmission(0, wire.send, Reserve(lambda _: 1.0, None))
    scheduler = Scheduler(permits)
    scheduler.add(InFlightRequest(1))
    scheduler.plan(0.0)
    wire.deliver(permits)
    permits.start_cooldown(5.0)
    assert scheduler.take(4.9) is None
    assert scheduler.wake_at(4.9) == 5.0
    assert scheduler.take(5.0) is not None
