"""The scheduler in virtual time, with random scripts of outcomes: every request ends once, and limits hold."""

import heapq

from hypothesis import given
from hypothesis import strategies as st

from aiquery.errors import RequestFailed
from aiquery.inference.scheduling.admission import Admission, Failure
from aiquery.inference.scheduling.concurrency import FixedLimit
from aiquery.inference.scheduling.hedging import Hedging
from aiquery.inference.scheduling.retry import Retry
from aiquery.inference.scheduling.scheduler import Scheduler

attempt = st.tuples(st.floats(0.01, 5.0), st.sampled_from(["ok", "retry", "wait", "fatal"]), st.floats(0, 0.999))
scripts = st.lists(st.lists(attempt, min_size=1, max_size=4), max_size=30)


class Item:
    """A request as the scheduler sees it."""

    def __init__(self, name):
        self.name = name
        self.started = 0.0
        self.reserved = 0.0

    def __repr__(self):
        return f"Item({self.name!r})"


class World:
    """Drives a scheduler in virtual time: the script gives the duration and the outcome of each attempt."""

    def __init__(self, scripts, limit, retry):
        self.scheduler = Scheduler(Admission(FixedLimit(limit)))
        self.retry = retry
        self.now = 0.0
        self.scripts = scripts
        self.attempts = [0] * len(scripts)
        self.outcomes = {}
        self.peak = 0
        self.in_flight = []
        self.earliest = {}
        for i in range(len(scripts)):
            self.scheduler.add(Item(i))

    def start_all(self):
        while True:
            was_down = self.scheduler.admission.down_since is not None
            if (item := self.scheduler.take(self.now)) is None:
                break
            i = item.name
            if not was_down:  # the probe of an outage may start early
                assert self.now >= self.earliest.get(i, 0.0)
            script = self.scripts[i]
            latency, outcome, jitter = script[min(self.attempts[i], len(script) - 1)]
            self.attempts[i] += 1
            ends_at = self.now + latency
            heapq.heappush(self.in_flight, (ends_at, i, outcome, jitter, item))
        self.peak = max(self.peak, self.scheduler.in_flight)

    def end_attempt(self):
        self.now, i, outcome, jitter, item = heapq.heappop(self.in_flight)
        retry_after = 7.0 if outcome == "wait" else None
        if outcome == "ok":
            self.scheduler.record_answer(item, self.now, item.started, 10)
            self.end(i, "ok")
            return
        if outcome == "fatal":
            self.scheduler.record_rejection(item, self.now)
        else:
            failure = Failure(self.now, item.started, throttled=outcome == "wait", wait_s=retry_after, jitter=jitter)
            self.scheduler.record_failure(item, failure)
        error = RequestFailed("x", retryable=outcome != "fatal", wait_s=retry_after)
        wait_s = self.retry.wait_s(error, self.attempts[i], jitter)
        if wait_s is None:
            self.end(i, "failed")
        else:
            self.earliest[i] = self.now + wait_s
            self.scheduler.rest(item, self.now + wait_s)

    def end(self, i, outcome):
        assert i not in self.outcomes
        self.outcomes[i] = outcome

    def ends_before(self, wake_at):
        """Return True if an attempt ends before the scheduler wakes by itself."""
        if not self.in_flight:
            return False
        if wake_at is None or wake_at <= self.now:
            return True
        return self.in_flight[0][0] <= wake_at

    def run(self):
        self.start_all()
        while self.in_flight or len(self.scheduler):
            wake_at = self.scheduler.wake_at(self.now)
            if self.ends_before(wake_at):
                self.end_attempt()
            else:
                self.now = max(self.now, wake_at)
            self.start_all()


@given(scripts, st.integers(1, 8), st.integers(1, 5))
def test_every_request_ends_once_and_the_limit_holds(scripts, limit, max_attempts):
    world = World(scripts, limit, Retry(max_attempts=max_attempts))
    world.run()
    assert set(world.outcomes) == set(range(len(scripts)))
    assert world.peak <= limit
    assert world.scheduler.in_flight == 0
    assert all(attempts <= max_attempts for attempts in world.attempts)


@given(st.integers(1, 10), st.integers(0, 30))
def test_the_limit_is_used_while_work_remains(limit, count):
    scheduler = Scheduler(Admission(FixedLimit(limit)))
    items = [Item(i) for i in range(count)]
    for item in items:
        scheduler.add(item)
    assert take_all(scheduler, 0.0) == items[:limit]


def take_all(scheduler, now):
    taken = []
    while (item := scheduler.take(now)) is not None:
        taken.append(item)
    return taken


def test_a_request_that_rested_starts_before_new_requests():
    scheduler = Scheduler(Admission(FixedLimit(1)))
    first, second, third = (Item(name) for name in ("first", "second", "third"))
    scheduler.add(first)
    scheduler.add(second)
    assert scheduler.take(0.0) is first
    scheduler.record_cancellation(first)
    scheduler.rest(first, until=2.0)
    assert scheduler.take(1.0) is second
    scheduler.record_cancellation(second)
    scheduler.add(third)
    assert scheduler.take(2.0) is first


@given(st.lists(st.integers(0, 9)), st.lists(st.integers(0, 9)), st.integers(0, 9))
def test_drop_removes_exactly_the_matching_items(waiting, resting, unwanted):
    scheduler = Scheduler(Admission(FixedLimit(100)))
    for i in waiting:
        scheduler.add(Item(i))
    for i in resting:
        scheduler.rest(Item(i), float(i))
    dropped = scheduler.drop(lambda item: item.name == unwanted)
    dropped_names = [item.name for item in dropped]
    left = [item.name for item in take_all(scheduler, 100.0)]
    assert sorted([*dropped_names, *left]) == sorted([*waiting, *resting])
    assert unwanted not in left


def test_nothing_starts_while_the_endpoint_asks_for_a_pause():
    scheduler = Scheduler(Admission(FixedLimit(8)))
    for i in range(9):
        scheduler.add(Item(i))
    started = take_all(scheduler, 0.0)
    throttled = Failure(1.0, 0.0, throttled=True, wait_s=10.0, jitter=0.5)
    scheduler.record_failure(started[0], throttled)
    scheduler.record_answer(started[1], 2.0, 0.0, 10)
    assert scheduler.take(10.99) is None
    assert scheduler.wake_at(10.99) == 11.0
    assert scheduler.take(11.0) is not None


def test_the_allows_callback_may_stop_the_queue():
    scheduler = Scheduler(Admission(FixedLimit(8)), allows=lambda item, _: item.name != 2)
    for i in range(4):
        scheduler.add(Item(i))
    assert [item.name for item in take_all(scheduler, 0.0)] == [0, 1]
    assert scheduler.wake_at(0.0) is None  # time alone changes nothing


def drain(count, slow):
    """Return a scheduler with an empty queue in which only ``slow`` items are still in flight."""
    scheduler = Scheduler(Admission(FixedLimit(count)))
    scheduler.hedge = Hedging()
    for i in range(count):
        scheduler.add(Item(i))
    started = take_all(scheduler, 0.0)
    for item in started[slow:]:
        scheduler.record_answer(item, 1.0, 0.0, 10)
    return scheduler


def test_a_few_late_requests_are_hedged_once_nothing_else_waits():
    scheduler = drain(200, slow=10)
    assert scheduler.take_hedge(1.4) is None
    assert scheduler.wake_at(1.4) == 1.5
    hedges = [scheduler.take_hedge(1.5) for _ in range(10)]
    assert [item.name for item in hedges if item is not None] == [0, 1, 2, 3]
    assert scheduler.in_flight == 14


def test_nothing_is_hedged_while_other_requests_wait():
    scheduler = drain(200, slow=10)
    scheduler.admission.limit = FixedLimit(10)
    assert scheduler.take_hedge(9.0) is None  # no slot is free
    assert scheduler.wake_at(9.0) is None
    scheduler.add(Item("new"))
    assert scheduler.take_hedge(9.0) is None
