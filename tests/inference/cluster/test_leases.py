"""Permits in virtual time: no request starts without one, each is released exactly once, and all requests end."""

import random
from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from aiquery.inference.cluster.leases import LeasedAdmission, Reserve
from aiquery.inference.cluster.messages import PermitReleased, PermitRequest, PermitsGranted
from aiquery.inference.scheduling.admission import Failure
from aiquery.inference.scheduling.budget_guard import Cost
from aiquery.inference.scheduling.scheduler import Scheduler


class Item:
    """A request as the scheduler sees it."""

    def __init__(self, max_tokens):
        self.started = self.reserved = 0.0
        self.max_cost = Cost(max_tokens, 0.0)


def read_max_cost(item):
    return item.max_cost


class Coordinator:
    """A coordinator with one limit. Messages arrive when ``deliver`` is called."""

    def __init__(self, slots):
        self.slots = slots
        self.waiting = deque()
        self.permits = {}
        self.last_permit = 0
        self.sent = deque()

    def send(self, message):
        self.sent.append(message)

    def deliver(self, admission):
        """Receive the messages sent so far, and grant a permit for each free slot."""
        while self.sent:
            message = self.sent.popleft()
            if isinstance(message, PermitRequest):
                self.waiting.append(message)
            elif isinstance(message, PermitReleased) and message.next_tokens is None:
                del self.permits[message.permit]
        while self.waiting and len(self.permits) < self.slots:
            request = self.waiting.popleft()
            self.last_permit += 1
            self.permits[self.last_permit] = request
            granted = PermitsGranted(0, self.last_permit, request.tokens, request.max_tokens, request.max_usd)
            admission.add_permit(granted)


@given(
    slots=st.integers(1, 8), quota=st.integers(0, 8), work=st.lists(st.integers(1, 5), max_size=40),
    bounded=st.booleans(), seed=st.integers(0, 1000),
)  # fmt: skip
def test_every_permit_is_released_and_all_work_is_done(slots, quota, work, bounded, seed):
    chance = random.Random(seed)
    coordinator = Coordinator(slots)
    reserve = Reserve(lambda _: 1.0, read_max_cost if bounded else None)
    admission = LeasedAdmission(0, coordinator.send, reserve)
    admission.set_quota(min(quota, slots))
    scheduler = Scheduler(admission)
    for max_tokens in work:
        scheduler.add(Item(max_tokens))
    in_flight = []
    done = 0
    now = 0.0
    for _ in range(2000):
        now += 1.0
        while (item := scheduler.take(now)) is not None:
            in_flight.append(item)
        scheduler.plan(now)
        assert len(in_flight) == admission.in_flight <= len(coordinator.permits)
        assert len(coordinator.permits) <= slots
        if chance.random() < 0.7:
            coordinator.deliver(admission)
        if in_flight and chance.random() < 0.5:
            item = in_flight.pop(chance.randrange(len(in_flight)))
            outcome = chance.random()
            if outcome < 0.6:
                scheduler.record_answer(item, now, item.started, 3.0)
                done += 1
            elif outcome < 0.8:
                throttled = Failure(now, item.started, throttled=True, wait_s=None, jitter=0.5)
                scheduler.record_failure(item, throttled)
                scheduler.rest(item, now + 2.0)
            else:
                scheduler.record_cancellation(item)
                scheduler.rest(item, now + 1.0)
        if done == len(work) and not coordinator.permits and not coordinator.waiting:
            break
    assert done == len(work)
    coordinator.deliver(admission)
    scheduler.plan(now)
    coordinator.deliver(admission)
    assert not coordinator.permits


def test_nothing_starts_in_a_pause_even_with_permits():
    coordinator = Coordinator(4)
    permits = LeasedAdmission(0, coordinator.send, Reserve(lambda _: 1.0, None))
    scheduler = Scheduler(permits)
    scheduler.add(Item(1))
    scheduler.plan(0.0)
    coordinator.deliver(permits)
    permits.start_cooldown(5.0)
    assert scheduler.take(4.9) is None
    assert scheduler.wake_at(4.9) == 5.0
    assert scheduler.take(5.0) is not None
