"""Requests and tokens per minute: no window of 60 seconds exceeds the limit, and the limit is nearly used."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiquery.inference.scheduling.rate_limit import Bucket, RateLimiter
from aiquery.requests.request import RateLimits


def start_all(bucket, costs, gaps=None):
    """Start each request as early as the bucket allows, and not before its gap. Return pairs of time and cost."""
    now = 0.0
    starts = []
    for i, cost in enumerate(costs):
        now += gaps[i] if gaps else 0.0
        now += bucket.wait_s(now, cost)
        bucket.take(now, cost)
        starts.append((now, cost))
    return starts


@given(st.integers(1, 300), st.lists(st.floats(0, 5), min_size=1, max_size=400))
def test_no_window_exceeds_the_requests(per_minute, gaps):
    costs = [1] * len(gaps)
    times = [at for at, _ in start_all(Bucket(per_minute), costs, gaps)]
    for i, begin in enumerate(times):
        assert sum(begin <= at < begin + 60.0 for at in times[i:]) <= per_minute


@given(st.integers(10_000, 100_000), st.lists(st.integers(1, 900), min_size=1, max_size=300))
def test_no_window_exceeds_the_tokens_by_more_than_one_request(per_minute, costs):
    starts = start_all(Bucket(per_minute), costs)
    for i, (begin, _) in enumerate(starts):
        tokens = sum(cost for at, cost in starts[i:] if at < begin + 60.0)
        assert tokens <= per_minute + 900


def test_the_limit_is_nearly_used():
    times = [at for at, _ in start_all(Bucket(600), [1] * 3000)]
    assert times[-1] == pytest.approx(300, rel=0.03)


def test_a_request_larger_than_the_bucket_starts_when_the_bucket_is_full():
    times = [at for at, _ in start_all(Bucket(60), [100, 1])]
    assert times == [0.0, pytest.approx(100 / (0.985 * 60 / 60), rel=0.02)]


def test_reserved_tokens_that_were_not_used_are_given_back():
    rates = RateLimiter(tokens_per_minute=60_000)
    rates.take(0.0, 900)
    assert rates.wait_s(0.0, 100) > 0
    rates.settle(900, 100)
    assert rates.wait_s(0.0, 100) == 0


def test_limits_in_headers_are_used_unless_a_limit_is_configured():
    in_headers = RateLimits(requests_per_minute=600, requests_left=5)
    adaptive = RateLimiter()
    configured = RateLimiter(requests_per_minute=6)
    adaptive.observe(in_headers, in_flight=0)
    configured.observe(in_headers, in_flight=0)
    for rates, allowed_now in ((adaptive, 5), (configured, 1)):
        for _ in range(allowed_now):
            assert rates.wait_s(0.0, 0) == 0
            rates.take(0.0, 0)
        assert rates.wait_s(0.0, 0) > 0


def test_the_bucket_does_not_fill_while_the_endpoint_throttles():
    rates = RateLimiter(requests_per_minute=600)
    rates.record_throttle(until=50.0)
    assert rates.wait_s(49.0, 0) > 0
    assert rates.wait_s(50.2, 0) == 0
