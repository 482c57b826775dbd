"""The pure core in virtual time: random scripts of ok, retry and fatal; every request ends once, limits hold."""

import heapq

from hypothesis import given
from hypothesis import strategies as st

from aiquery.errors import RequestFailed
from aiquery.inference.limit import Limit
from aiquery.inference.retry import Retry
from aiquery.inference.schedule import Schedule

attempt = st.tuples(st.floats(0.01, 5.0), st.sampled_from(["ok", "retry", "wait", "fatal"]), st.floats(0, 0.999))
scripts = st.lists(st.lists(attempt, min_size=1, max_size=4), max_size=30)


class World:
    """Drives a schedule in virtual time: attempts take as long as the script says."""

    def __init__(self, scripts, limit, retry):
        self.schedule, self.retry, self.now = Schedule(Limit(limit)), retry, 0.0
        self.scripts, self.tries = scripts, [0] * len(scripts)
        self.ended, self.peak, self.flying, self.earliest = {}, 0, [], {}
        for i in range(len(scripts)):
            self.schedule.add(i)

    def start_all(self):
        while (i := self.schedule.take(self.now)) is not None:
            assert self.now >= self.earliest.get(i, 0.0)
            script = self.scripts[i]
            latency, fate, jitter = script[min(self.tries[i], len(script) - 1)]
            self.tries[i] += 1
            heapq.heappush(self.flying, (self.now + latency, i, fate, jitter))
        self.peak = max(self.peak, self.schedule.in_flight)

    def land(self):
        self.now, i, fate, jitter = heapq.heappop(self.flying)
        self.schedule.end()
        if fate == "ok":
            self.end(i, "ok")
            return
        error = RequestFailed("x", retryable=fate != "fatal", wait_s=7.0 if fate == "wait" else None)
        wait_s = self.retry.wait_s(error, self.tries[i], jitter)
        if wait_s is None:
            self.end(i, "failed")
        else:
            self.earliest[i] = self.now + wait_s
            self.schedule.rest(i, self.now + wait_s)

    def end(self, i, how):
        assert i not in self.ended
        self.ended[i] = how

    def run(self):
        self.start_all()
        while self.flying or len(self.schedule):
            wake_at = self.schedule.wake_at()
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
    schedule = Schedule(Limit(limit))
    for i in range(count):
        schedule.add(i)
    started = []
    while (i := schedule.take(0.0)) is not None:
        started.append(i)
    assert started == list(range(min(limit, count)))


def test_what_rested_goes_before_what_has_not_started():
    schedule = Schedule(Limit(1))
    schedule.add("first")
    schedule.add("second")
    assert schedule.take(0.0) == "first"
    schedule.end()
    schedule.rest("first", until=2.0)
    assert schedule.take(1.0) == "second"
    schedule.end()
    schedule.add("third")
    assert schedule.take(2.0) == "first"


@given(st.lists(st.integers(0, 9)), st.lists(st.integers(0, 9)), st.integers(0, 9))
def test_drop_removes_exactly_what_is_unwanted(waiting, resting, unwanted):
    schedule = Schedule(Limit(100))
    for i in waiting:
        schedule.add(i)
    for i in resting:
        schedule.rest(i, float(i))
    gone = schedule.drop(lambda i: i == unwanted)
    left = []
    while (i := schedule.take(100.0)) is not None:
        left.append(i)
    assert sorted([*gone, *left]) == sorted([*waiting, *resting])
    assert unwanted not in left
