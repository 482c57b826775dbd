"""Full jitter within bounds, Retry-After first, a bound on the number of attempts."""

from hypothesis import given
from hypothesis import strategies as st

from aiquery.errors import RequestFailed
from aiquery.inference.retry import Retry


@given(st.integers(1, 20), st.floats(0, 0.999))
def test_the_wait_is_within_the_doubling_cap(attempt, jitter):
    wait_s = Retry(max_attempts=99, base_s=0.5, cap_s=30).wait_s(RequestFailed("x", retryable=True), attempt, jitter)
    assert 0 <= wait_s <= min(30, 0.5 * 2 ** (attempt - 1))


def test_what_the_endpoint_asks_for_comes_first():
    error = RequestFailed("x", retryable=True, wait_s=120.0)
    assert Retry().wait_s(error, 1, 0.0) == 120.0


def test_giving_up():
    assert Retry(max_attempts=3).wait_s(RequestFailed("x", retryable=True), 3, 0.5) is None
    assert Retry().wait_s(RequestFailed("x"), 1, 0.5) is None


def test_an_endpoint_that_only_fails_is_not_asked_twice_as_often():
    retry, error = Retry(), RequestFailed("x", retryable=True)
    waits = [retry.wait_s(error, 1, 0.5) for _ in range(150)]
    assert None not in waits[:99]
    assert set(waits[100:]) == {None}
    for _ in range(20):
        retry.answered()
    assert retry.wait_s(error, 1, 0.5) is None  # 2 earned, 51 spent
    refused = RequestFailed("x", retryable=True, refused=True)
    assert retry.wait_s(refused, 1, 0.5) is not None
