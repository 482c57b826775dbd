"""The search for the right number in flight, in virtual time against a replica that batches continuously."""

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


def works(shared_tokens=240, count=6000):
    return workload(
        count,
        shared_tokens=shared_tokens,
        draw=lambda source: source.expovariate(1 / 30),
    )


def ask(limit, endpoint, requests):
    rates = RateLimiter()
    cost = lambda work: (  # noqa: E731
        16 * len(work.blocks) + rates.output.expected(256)
        if rates.counts_tokens
        else 0.0
    )
    return Simulation(Admission(limit, rates, cost=cost), endpoint).run(requests)


SCENARIOS = {
    "35 % prefix hits": (96, Endpoint),
    "86 % prefix hits": (240, Endpoint),
    "429 above 160": (240, lambda: Endpoint(capacity=lambda _: 160)),
    "capacity falls": (
        240,
        lambda: Endpoint(Replica(slowdown=lambda t: 1 if t < 15 else 4)),
    ),
    "capacity rises": (
        240,
        lambda: Endpoint(Replica(slowdown=lambda t: 4 if t < 40 else 1)),
    ),
    "tokens per minute": (240, lambda: Endpoint(tokens_per_minute=900_000)),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_without_configuration_at_least_95_percent_of_the_best_fixed_number(name):
    shared, endpoint = SCENARIOS[name]
    best = max(ask(FixedLimit(n), endpoint(), works(shared)).rows_per_s for n in LEVELS)
    found = ask(AdaptiveLimit(), endpoint(), works(shared))
    assert found.rows_per_s >= 0.95 * best
    assert found.resent <= 0.005


def test_requests_per_minute_are_used_and_hardly_ever_exceeded():
    found = ask(AdaptiveLimit(), Endpoint(requests_per_minute=2400), works())
    assert (
        found.rows_per_s >= 0.95 * 47.3
    )  # the best fixed number: benchmarks/scheduling.py
    assert found.resent <= 0.005


def test_fifty_times_as_fast_as_one_at_a_time():
    one = ask(FixedLimit(1), Endpoint(), works(count=300))
    assert ask(AdaptiveLimit(), Endpoint(), works()).rows_per_s >= 50 * one.rows_per_s


def test_a_small_endpoint_is_not_overrun():
    found = ask(AdaptiveLimit(), Endpoint(capacity=lambda _: 8), works(count=3000))
    assert found.resent <= 0.005
    assert found.peak <= 12


def test_a_configured_number_is_used_in_full_where_nothing_is_refused():
    found = ask(CappedLimit(96), Endpoint(), works())
    assert (found.peak, found.resent) == (96, 0)
    assert found.rows_per_s == ask(FixedLimit(96), Endpoint(), works()).rows_per_s


def test_more_configured_than_the_endpoint_takes_is_no_storm_of_refusals():
    few = ask(FixedLimit(8), Endpoint(), works(count=3000))
    found = ask(CappedLimit(64), Endpoint(capacity=lambda _: 8), works(count=3000))
    assert found.resent <= 0.04
    assert found.rows_per_s >= 0.95 * few.rows_per_s


def test_a_configured_number_comes_back_after_refusals_and_at_once_after_an_outage():
    limit = CappedLimit(64)
    for place in range(63, -1, -1):
        limit.record_throttle(1.0, 0.5, place)
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


@given(
    st.lists(
        st.tuples(st.sampled_from(["ok", "refused"]), st.floats(0.001, 1.0)),
        max_size=300,
    )
)
@settings(max_examples=50)
def test_there_is_always_a_place_and_never_too_many(events):
    limit, now = AdaptiveLimit(), 0.0
    for fate, pause in events:
        now += pause
        slots = limit.slots(now)
        assert 1 <= slots <= MAX_SLOTS
        if fate == "ok":
            limit.record_answer(now, now - pause, 100.0, slots)
        else:
            limit.record_throttle(now, now - pause, slots - 1)
            assert limit.slots(now) <= max(slots, 1)


def test_the_first_places_are_filled_one_by_one():
    limit = AdaptiveLimit()
    assert limit.slots(5.0) == 1
    assert limit.grows_at(5.0) == 5.0 + FILL_S
    assert limit.slots(5.0 + 10.5 * FILL_S) == 11
    assert limit.slots(9.0) == INITIAL_SLOTS
    assert limit.grows_at(9.0) is None
