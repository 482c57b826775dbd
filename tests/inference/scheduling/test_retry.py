"""Retries: full jitter within bounds, Retry-After before jitter, and a maximum number of attempts."""

from hypothesis import given
from hypothesis import strategies as st

from aiquery.errors import RequestFailed
from aiquery.inference.scheduling.retry import Retry


@given(st.integers(1, 20), st.floats(0, 0.999))
def test_the_wait_is_within_the_doubling_cap(attempt, jitter):
    wait_s = Retry(max_attempts=99).wait_s(RequestFailed("x", retryable=True), attempt, jitter)
    assert 0 <= wait_s <= min(30, 0.5 * 2 ** (attempt - 1))


def test_retry_after_goes_before_the_doubling_wait():
    error = RequestFailed("x", retryable=True, wait_s=120.0)
    assert Retry().wait_s(error, 1, 0.0) == 120.0


def test_the_last_attempt_and_a_final_error_are_not_retried():
    retryable = RequestFailed("x", retryable=True)
    assert Retry(max_attempts=3).wait_s(retryable, 3, 0.5) is None
    assert Retry().wait_s(RequestFailed("x"), 1, 0.5) is None


class Request:
    charged = times = seen = 0
    suspect = False


THROTTLED = RequestFailed("x", retryable=True, throttled=True)
BUSY = RequestFailed("x", retryable=True, status=429)


def test_failures_in_an_outage_are_not_charged():
    retry = Retry()
    request = Request()
    for _ in range(100):
        retry.charge(request, THROTTLED, answer_count=7, was_down=True)
    assert request.charged == 0


def test_a_request_that_failed_twice_while_others_were_served_is_charged_in_an_outage_too():
    retry = Retry()
    request = Request()
    for answer_count in (1, 2, 2, 2):
        was_down = answer_count == 2
        retry.charge(request, THROTTLED, answer_count=answer_count, was_down=was_down)
    assert (request.times, request.charged, request.suspect) == (2, 4, True)


def test_throttling_is_not_charged_while_the_endpoint_serves_others():
    retry = Retry()
    request = Request()
    for answer_count in range(1, 100):
        retry.charge(request, BUSY, answer_count=answer_count, was_down=False)
    assert request.charged == 0


def count_first_attempt(retry, *, failed):
    if failed:
        retry.count_first_failure()
    else:
        retry.first += 1


def test_an_endpoint_that_often_fails_has_more_attempts_within_a_bound():
    retry = Retry(max_attempts=5)
    for i in range(1000):
        count_first_attempt(retry, failed=i % 10 < 3)
    assert retry.attempts() == 12  # 0.3 ** 12 < 1e-6
    for _ in range(10_000):
        count_first_attempt(retry, failed=True)
    assert retry.attempts() == 20
    assert Retry(max_attempts=1, first=100, first_failed=90).attempts() == 1


def test_an_endpoint_that_fails_once_has_the_configured_attempts():
    retry = Retry(max_attempts=5)
    for i in range(3):
        count_first_attempt(retry, failed=i == 0)
    assert retry.attempts() == 5
