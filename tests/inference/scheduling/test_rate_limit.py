"""Requests and tokens per minute: in no window of 60 seconds more than the limit, and little less."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiquery.inference.scheduling.rate_limit import Bucket, RateLimiter
from aiquery.requests.request import RateLimits


def starts(bucket, costs, gaps=None):
    """Start each cost as early as the bucket allows (and not before its gap); return (time, cost)."""
    now, started = 0.0, []
    for i, cost in enumerate(costs):
        now += gaps[i] if gaps else 0.0
        now += bucket.wait_s(now, cost)
        bucket.take(now, cost)
        started.append((now, cost))
    return started


@given(st.integers(1, 300), st.lists(st.floats(0, 5), min_size=1, max_size=400))
def test_no_window_exceeds_the_requests(per_minute, gaps):
    times = [at for at, _ in starts(Bucket(per_minute), [1] * len(gaps), gaps)]
    for i, begin in enumerate(times):
        assert sum(begin <= at < begin + 60.0 for at in times[i:]) <= per_minute


@given(
    st.integers(10_000, 100_000),
    st.lists(st.integers(1, 900), min_size=1, max_size=300),
)
def test_no_window_exceeds_the_tokens_by_more_than_one_request(per_minute, costs):
    started = starts(Bucket(per_minute), costs)
    for i, (begin, _) in enumerate(started):
        assert (
            sum(cost for at, cost in started[i:] if at < begin + 60.0)
            <= per_minute + 900
        )


def test_the_limit_is_nearly_used():
    times = [at for at, _ in starts(Bucket(600), [1] * 3000)]
    assert times[-1] == pytest.approx(300, rel=0.03)


def test_a_request_larger_than_the_bucket_goes_when_it_is_full():
    assert [at for at, _ in starts(Bucket(60), [100, 1])] == [
        0.0,
        pytest.approx(100 / (0.985 * 60 / 60), rel=0.02),
    ]


def test_what_was_reserved_too_much_is_given_back():
    rates = RateLimiter(tokens_per_minute=60_000)
    rates.take(0.0, 900)
    assert rates.wait_s(0.0, 100) > 0
    rates.settle(900, 100)
    assert rates.wait_s(0.0, 100) == 0


def test_the_headers_are_believed_but_a_configured_limit_stands():
    told = RateLimits(requests_per_minute=600, requests_left=5)
    learned, configured = RateLimiter(), RateLimiter(requests_per_minute=6)
    learned.observe(told, in_flight=0)
    configured.observe(told, in_flight=0)
    for rates, now_possible in ((learned, 5), (configured, 1)):
        for _ in range(now_possible):
            assert rates.wait_s(0.0, 0) == 0
            rates.take(0.0, 0)
        assert rates.wait_s(0.0, 0) > 0


def test_nothing_is_earned_while_the_endpoint_says_stop():
    rates = RateLimiter(requests_per_minute=600)
    rates.record_throttle(until=50.0)
    assert rates.wait_s(49.0, 0) > 0
    assert rates.wait_s(50.2, 0) == 0
