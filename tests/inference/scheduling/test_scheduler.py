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

attempt = st.tuples(st.floats(0.01, 5.0), st.sampled_from(["ok", "retry", "wait", "fatal"]), st.floats(0, 0.999))
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
        self.schedule, self.retry, self.now = Scheduler(Admission(FixedLimit(limit))), retry, 0.0
        self.scripts, self.tries = scripts, [0] * len(scripts)
        self.ended, self.peak, self.flying, self.earliest = {}, 0, [], {}
        for i in range(len(scripts)):
            self.schedule.add(InFlightRequest(i))

    def start_all(self):
        while True:
            was_down = self.schedule.admission.down_since is not None
            if (entry := self.schedule.take(self.now)) is None:
                break
            i = entry.name
            if not was_down:  # in an outage the gate keeps everybody back, but for the probe
                assert self.now >= self.earliest.get(i, 0.0)
            script = self.scripts[i]
            latency, fate, jitter = script[min(self.tries[i], len(script) - 1)]
            self.tries[i] += 1
            heapq.heappush(self.flying, (self.now + latency, i, fate, jitter, entry))
        self.peak = max(self.peak, self.schedule.in_flight)

    def land(self):
        self.now, i, fate, jitter, entry = heapq.heappop(self.flying)
        if fate == "ok":
            self.schedule.answered(entry, self.now, entry.started, 10)
        elif fate == "fatal":
            self.schedule.rejected(entry, self.now)
        else:
            wait_s = 7.0 if fate == "wait" else None
            failure = Failure(self.now, entry.started, refused=fate == "wait", wait_s=wait_s, jitter=jitter)
            self.schedule.failed(entry, failure)
        if fate == "ok":
            self.end(i, "ok")
            return
        error = RequestFailed("x", retryable=fate != "fatal", wait_s=7.0 if fate == "wait" else None)
        wait_s = self.retry.wait_s(error, self.tries[i], jitter)
        if wait_s is None:
            self.end(i, "failed")
        else:
            self.earliest[i] = self.now + wait_s
            self.schedule.rest(entry, self.now + wait_s)

    def end(self, i, how):
        assert i not in self.ended
        self.ended[i] = how

    def run(self):
        self.start_all()
        while self.flying or len(self.schedule):
            wake_at = self.schedule.wake_at(self.now)
            if self.flying and (wake_at is None or wake_at <= self.now or self.flying[0][0] <= wake_at):
                self.land()
            else:
                self.now = max(self.now, wake_at)
            self.start_all()


@given(scripts, st.integers(1, 8), st.integers(1, 5))
def test_every_request_ends_once_and_the_limit_holds(scripts, limit, max_attempts):
    world = World(scripts, limit, Retry(max_attempts=max_attempts))
    world.run()
    assert set(world.ended) == set(range(len(scripts)))
    assert world.peak <= limit
    assert world.schedule.in_flight == 0
    assert all(tries <= max_attempts for tries in world.tries)


@given(st.integers(1, 10), st.integers(0, 30))
def test_the_limit_is_used_while_work_remains(limit, count):
    schedule = Scheduler(Admission(FixedLimit(limit)))
    entries = [InFlightRequest(i) for i in range(count)]
    for entry in entries:
        schedule.add(entry)
    assert take_all(schedule, 0.0) == entries[:limit]


def take_all(schedule, now):
    taken = []
    while (entry := schedule.take(now)) is not None:
        taken.append(entry)
    return taken


def test_what_rested_goes_before_what_has_not_started():
    schedule = Scheduler(Admission(FixedLimit(1)))
    first, second, third = InFlightRequest("first"), InFlightRequest("second"), InFlightRequest("third")
    schedule.add(first)
    schedule.add(second)
    assert schedule.take(0.0) is first
    schedule.ended(first)
    schedule.rest(first, until=2.0)
    assert schedule.take(1.0) is second
    schedule.ended(second)
    schedule.add(third)
    assert schedule.take(2.0) is first


@given(st.lists(st.integers(0, 9)), st.lists(st.integers(0, 9)), st.integers(0, 9))
def test_drop_removes_exactly_what_is_unwanted(waiting, resting, unwanted):
    schedule = Scheduler(Admission(FixedLimit(100)))
    for i in waiting:
        schedule.add(InFlightRequest(i))
    for i in resting:
        schedule.rest(InFlightRequest(i), float(i))
    gone = [entry.name for entry in schedule.drop(lambda entry: entry.name == unwanted)]
    left = [entry.name for entry in take_all(schedule, 100.0)]
    assert sorted([*gone, *left]) == sorted([*waiting, *resting])
    assert unwanted not in left


def test_nothing_starts_while_the_endpoint_asks_for_a_pause():
    schedule = Scheduler(Admission(FixedLimit(8)))
    for i in range(9):
        schedule.add(InFlightRequest(i))
    flying = take_all(schedule, 0.0)
    schedule.failed(flying[0], Failure(1.0, 0.0, refused=True, wait_s=10.0, jitter=0.5))
    schedule.answered(flying[1], 2.0, 0.0, 10)
    assert schedule.take(10.99) is None
    assert schedule.wake_at(10.99) == 11.0
    assert schedule.take(11.0) is not None


def test_who_has_the_last_word_may_say_no():
    schedule = Scheduler(Admission(FixedLimit(8)), allows=lambda entry, _: entry.name != 2)
    for i in range(4):
        schedule.add(InFlightRequest(i))
    assert [entry.name for entry in take_all(schedule, 0.0)] == [0, 1]
    assert schedule.wake_at(0.0) is None  # time alone changes nothing


def drained(count, slow):
    """Return a schedule whose queue is empty and in which only the slow ones are still in flight."""
    schedule = Scheduler(Admission(FixedLimit(count)))
    schedule.hedge = Hedging()
    for i in range(count):
        schedule.add(InFlightRequest(i))
    flying = take_all(schedule, 0.0)
    for entry in flying[slow:]:
        schedule.answered(entry, 1.0, 0.0, 10)
    return schedule


def test_late_ones_are_asked_again_once_nothing_else_waits_but_few_of_them():
    schedule = drained(200, slow=10)
    assert schedule.take_again(1.4) is None
    assert schedule.wake_at(1.4) == 1.5
    again = [schedule.take_again(1.5) for _ in range(10)]
    assert [entry.name for entry in again if entry is not None] == [0, 1, 2, 3]
    assert schedule.in_flight == 14


def test_nothing_is_asked_again_while_others_wait():
    schedule = drained(200, slow=10)
    schedule.admission.limit = FixedLimit(10)
    assert schedule.take_again(9.0) is None  # no place is free
    assert schedule.wake_at(9.0) is None
    schedule.add(InFlightRequest("new"))
    assert schedule.take_again(9.0) is None
