"""The search for the best number of requests in flight, in virtual time against a replica with continuous batching."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiquery.inference.scheduling.admission import Admission
from aiquery.inference.scheduling.concurrency import (
    FILL_S,
    INITIAL_SLOTS,
    MAX_SLOTS,
    AdaptiveLimit,
    CappedLimit,
    FixedLimit,
)
from aiquery.inference.scheduling.rate_limit import RateLimiter
from aiquery.testing.replica import Replica
from aiquery.testing.simulator import Endpoint, Simulation, workload

LEVELS = (32, 64, 96, 160, 192, 256)


def make_works(shared_tokens=240, count=6000):
    return workload(count, shared_tokens=shared_tokens, draw=lambda source: source.expovariate(1 / 30))


def simulate(limit, endpoint, works):
    rates = RateLimiter()

    def cost(work):
        if not rates.counts_tokens:
            return 0.0
        return 16 * len(work.blocks) + rates.output.expected(256)

    return Simulation(Admission(limit, rates, cost=cost), endpoint).run(works)


def simulate_adaptive(endpoint, **settings):
    return simulate(AdaptiveLimit(), endpoint, make_works(**settings))


SCENARIOS = {
    "35 % prefix hits": (96, Endpoint),
    "86 % prefix hits": (240, Endpoint),
    "429 above 160": (240, lambda: Endpoint(capacity=lambda _: 160)),
    "capacity falls": (240, lambda: Endpoint(replica=Replica(slowdown=lambda t: 1 if t < 15 else 4))),
    "capacity rises": (240, lambda: Endpoint(replica=Replica(slowdown=lambda t: 4 if t < 40 else 1))),
    "tokens per minute": (240, lambda: Endpoint(tokens_per_minute=900_000)),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_adaptive_limit_reaches_95_percent_of_the_best_fixed_limit(name):
    shared_tokens, make_endpoint = SCENARIOS[name]
    works = make_works(shared_tokens)
    best = max(simulate(FixedLimit(slots), make_endpoint(), works).rows_per_s for slots in LEVELS)
    result = simulate(AdaptiveLimit(), make_endpoint(), works)
    assert result.rows_per_s >= 0.95 * best
    assert result.resent <= 0.005


def test_requests_per_minute_are_used_and_hardly_ever_exceeded():
    result = simulate_adaptive(Endpoint(requests_per_minute=2400))
    # 47.3 rows/s with the best fixed limit: benchmarks/scheduling.py
    assert result.rows_per_s >= 0.95 * 47.3
    assert result.resent <= 0.005


def test_the_adaptive_limit_is_fifty_times_as_fast_as_one_request_at_a_time():
    serial = simulate(FixedLimit(1), Endpoint(), make_works(count=300))
    assert simulate_adaptive(Endpoint()).rows_per_s >= 50 * serial.rows_per_s


def test_a_small_endpoint_is_not_overloaded():
    result = simulate_adaptive(Endpoint(capacity=lambda _: 8), count=3000)
    assert result.resent <= 0.005
    assert result.peak <= 12


def test_a_configured_limit_is_used_in_full_without_throttling():
    result = simulate(CappedLimit(96), Endpoint(), make_works())
    fixed = simulate(FixedLimit(96), Endpoint(), make_works())
    assert (result.peak, result.resent) == (96, 0)
    assert result.rows_per_s == fixed.rows_per_s


def test_a_configured_limit_above_the_capacity_is_throttled_only_a_few_times():
    works = make_works(count=3000)
    fixed = simulate(FixedLimit(8), Endpoint(), works)
    result = simulate(CappedLimit(64), Endpoint(capacity=lambda _: 8), works)
    assert result.resent <= 0.04
    assert result.rows_per_s >= 0.95 * fixed.rows_per_s


def test_a_configured_limit_recovers_after_throttling_and_at_once_after_an_outage():
    limit = CappedLimit(64)
    for in_flight in range(63, -1, -1):
        limit.record_throttle(1.0, 0.5, in_flight)
    assert limit.slots(1.0) == 1
    answers = 0
    while limit.slots(2.0) < 64:
        limit.record_answer(2.0, 1.5, 1.0, limit.slots(2.0))
        answers += 1
    assert answers < 150
    limit.record_throttle(3.0, 2.5, 8)
    assert limit.slots(3.0) == 8
    limit.restore(4.0)
    assert limit.slots(4.0) == 64


@given(st.lists(st.tuples(st.sampled_from(["ok", "throttled"]), st.floats(0.001, 1.0)), max_size=300))
@settings(max_examples=50)
def test_there_is_always_a_slot_and_never_more_than_the_maximum(events):
    limit = AdaptiveLimit()
    now = 0.0
    for outcome, pause in events:
        now += pause
        slots = limit.slots(now)
        assert 1 <= slots <= MAX_SLOTS
        if outcome == "ok":
            limit.record_answer(now, now - pause, 100.0, slots)
        else:
            limit.record_throttle(now, now - pause, slots - 1)
            assert limit.slots(now) <= max(slots, 1)


def test_the_first_slots_are_filled_one_by_one():
    limit = AdaptiveLimit()
    assert limit.slots(5.0) == 1
    assert limit.grows_at(5.0) == 5.0 + FILL_S
    assert limit.slots(5.0 + 10.5 * FILL_S) == 11
    assert limit.slots(9.0) == INITIAL_SLOTS
    assert limit.grows_at(9.0) is None
