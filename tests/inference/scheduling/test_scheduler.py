"""The pure core in virtual time: random scripts of ok, retry and fatal; every request ends once, limits hold."""

import heapq

from hypothesis import given
from hypothesis import strategies as st

from aiquery.errors import RequestFailed
from aiquery.inference.scheduling.admission import Admission, Failure
from aiquery.inference.scheduling.concurrency import FixedLimit
from aiquery.inference.scheduling.hedging import Hedging
from aiquery.inference.scheduling.retry import Retry
from aiquery.inference.scheduling.scheduler import Scheduler

attempt = st.tuples(
    st.floats(0.01, 5.0),
    st.sampled_from(["ok", "retry", "wait", "fatal"]),
    st.floats(0, 0.999),
)
scripts = st.lists(st.lists(attempt, min_size=1, max_size=4), max_size=30)


class InFlightRequest:
    """What a schedule asks of an entry."""

    def __init__(self, name):
        self.name, self.started, self.reserved = name, 0.0, 0.0

    def __repr__(self):
        return f"InFlightRequest({self.name!r})"


class World:
    """Drives a schedule in virtual time: attempts take as long as the script says."""

    def __init__(self, scripts, limit, retry):
        self.scheduler, self.retry, self.now = (
            Scheduler(Admission(FixedLimit(limit))),
            retry,
            0.0,
        )
        self.scripts, self.tries = scripts, [0] * len(scripts)
        self.record_cancellation, self.peak, self.flying, self.earliest = {}, 0, [], {}
        for i in range(len(scripts)):
            self.scheduler.add(InFlightRequest(i))

    def start_all(self):
        while True:
            was_down = self.scheduler.admission.down_since is not None
            if (entry := self.scheduler.take(self.now)) is None:
                break
            i = entry.name
            if (
                not was_down
            ):  # in an outage the gate keeps everybody back, but for the probe
                assert self.now >= self.earliest.get(i, 0.0)
            script = self.scripts[i]
            latency, fate, jitter = script[min(self.tries[i], len(script) - 1)]
            self.tries[i] += 1
            heapq.heappush(self.flying, (self.now + latency, i, fate, jitter, entry))
        self.peak = max(self.peak, self.scheduler.in_flight)

    def land(self):
        self.now, i, fate, jitter, entry = heapq.heappop(self.flying)
        if fate == "ok":
            self.scheduler.record_answer(entry, self.now, entry.started, 10)
        elif fate == "fatal":
            self.scheduler.record_rejection(entry, self.now)
        else:
            wait_s = 7.0 if fate == "wait" else None
            failure = Failure(
                self.now,
                entry.started,
                throttled=fate == "wait",
                wait_s=wait_s,
                jitter=jitter,
            )
            self.scheduler.record_failure(entry, failure)
        if fate == "ok":
            self.end(i, "ok")
            return
        error = RequestFailed(
            "x", retryable=fate != "fatal", wait_s=7.0 if fate == "wait" else None
        )
        wait_s = self.retry.wait_s(error, self.tries[i], jitter)
        if wait_s is None:
            self.end(i, "failed")
        else:
            self.earliest[i] = self.now + wait_s
            self.scheduler.rest(entry, self.now + wait_s)

    def end(self, i, how):
        assert i not in self.record_cancellation
        self.record_cancellation[i] = how

    def run(self):
        self.start_all()
        while self.flying or len(self.scheduler):
            wake_at = self.scheduler.wake_at(self.now)
            if self.flying and (
                wake_at is None or wake_at <= self.now or self.flying[0][0] <= wake_at
            ):
                self.land()
            else:
                self.now = max(self.now, wake_at)
            self.start_all()


@given(scripts, st.integers(1, 8), st.integers(1, 5))
def test_every_request_ends_once_and_the_limit_holds(scripts, limit, max_attempts):
    world = World(scripts, limit, Retry(max_attempts=max_attempts))
    world.run()
    assert set(world.record_cancellation) == set(range(len(scripts)))
    assert world.peak <= limit
    assert world.scheduler.in_flight == 0
    assert all(tries <= max_attempts for tries in world.tries)


@given(st.integers(1, 10), st.integers(0, 30))
def test_the_limit_is_used_while_work_remains(limit, count):
    scheduler = Scheduler(Admission(FixedLimit(limit)))
    entries = [InFlightRequest(i) for i in range(count)]
    for entry in entries:
        scheduler.add(entry)
    assert take_all(scheduler, 0.0) == entries[:limit]


def take_all(scheduler, now):
    taken = []
    while (entry := scheduler.take(now)) is not None:
        taken.append(entry)
    return taken


def test_what_rested_goes_before_what_has_not_started():
    scheduler = Scheduler(Admission(FixedLimit(1)))
    first, second, third = (
        InFlightRequest("first"),
        InFlightRequest("second"),
        InFlightRequest("third"),
    )
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
def test_drop_removes_exactly_what_is_unwanted(waiting, resting, unwanted):
    scheduler = Scheduler(Admission(FixedLimit(100)))
    for i in waiting:
        scheduler.add(InFlightRequest(i))
    for i in resting:
        scheduler.rest(InFlightRequest(i), float(i))
    gone = [
        entry.name for entry in scheduler.drop(lambda entry: entry.name == unwanted)
    ]
    left = [entry.name for entry in take_all(scheduler, 100.0)]
    assert sorted([*gone, *left]) == sorted([*waiting, *resting])
    assert unwanted not in left


def test_nothing_starts_while_the_endpoint_asks_for_a_pause():
    scheduler = Scheduler(Admission(FixedLimit(8)))
    for i in range(9):
        scheduler.add(InFlightRequest(i))
    flying = take_all(scheduler, 0.0)
    scheduler.record_failure(
        flying[0], Failure(1.0, 0.0, throttled=True, wait_s=10.0, jitter=0.5)
    )
    scheduler.record_answer(flying[1], 2.0, 0.0, 10)
    assert scheduler.take(10.99) is None
    assert scheduler.wake_at(10.99) == 11.0
    assert scheduler.take(11.0) is not None


def test_who_has_the_last_word_may_say_no():
    scheduler = Scheduler(
        Admission(FixedLimit(8)), allows=lambda entry, _: entry.name != 2
    )
    for i in range(4):
        scheduler.add(InFlightRequest(i))
    assert [entry.name for entry in take_all(scheduler, 0.0)] == [0, 1]
    assert scheduler.wake_at(0.0) is None  # time alone changes nothing


def drained(count, slow):
    """Return a schedule whose queue is empty and in which only the slow ones are still in flight."""
    scheduler = Scheduler(Admission(FixedLimit(count)))
    scheduler.hedge = Hedging()
    for i in range(count):
        scheduler.add(InFlightRequest(i))
    flying = take_all(scheduler, 0.0)
    for entry in flying[slow:]:
        scheduler.record_answer(entry, 1.0, 0.0, 10)
    return scheduler


def test_late_ones_are_asked_again_once_nothing_else_waits_but_few_of_them():
    scheduler = drained(200, slow=10)
    assert scheduler.take_hedge(1.4) is None
    assert scheduler.wake_at(1.4) == 1.5
    again = [scheduler.take_hedge(1.5) for _ in range(10)]
    assert [entry.name for entry in again if entry is not None] == [0, 1, 2, 3]
    assert scheduler.in_flight == 14


def test_nothing_is_asked_again_while_others_wait():
    scheduler = drained(200, slow=10)
    scheduler.admission.limit = FixedLimit(10)
    assert scheduler.take_hedge(9.0) is None  # no place is free
    assert scheduler.wake_at(9.0) is None
    scheduler.add(InFlightRequest("new"))
    assert scheduler.take_hedge(9.0) is None
