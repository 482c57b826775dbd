"""Full jitter within bounds, Retry-After first, a bound on the number of attempts."""

from hypothesis import given
from hypothesis import strategies as st

from aiquery.errors import RequestFailed
from aiquery.inference.scheduling.retry import Retry


@given(st.integers(1, 20), st.floats(0, 0.999))
def test_the_wait_is_within_the_doubling_cap(attempt, jitter):
    wait_s = Retry(max_attempts=99, base_s=0.5, cap_s=30).wait_s(
        RequestFailed("x", retryable=True), attempt, jitter
    )
    assert 0 <= wait_s <= min(30, 0.5 * 2 ** (attempt - 1))


def test_what_the_endpoint_asks_for_comes_first():
    error = RequestFailed("x", retryable=True, wait_s=120.0)
    assert Retry().wait_s(error, 1, 0.0) == 120.0


def test_giving_up():
    assert (
        Retry(max_attempts=3).wait_s(RequestFailed("x", retryable=True), 3, 0.5) is None
    )
    assert Retry().wait_s(RequestFailed("x"), 1, 0.5) is None


class Tried:
    charged = times = seen = 0
    suspect = False


REFUSED = RequestFailed("x", retryable=True, throttled=True)


def test_what_an_outage_fails_is_not_charged():
    retry, tried = Retry(), Tried()
    for _ in range(100):
        retry.charge(tried, REFUSED, answer_count=7, was_down=True)
    assert tried.charged == 0


def test_who_failed_twice_while_others_were_served_is_to_blame_in_an_outage_too():
    retry, tried = Retry(), Tried()
    for answer_count in (1, 2, 2, 2):
        retry.charge(
            tried, REFUSED, answer_count=answer_count, was_down=answer_count == 2
        )
    assert (tried.times, tried.charged, tried.suspect) == (2, 4, True)


def test_a_busy_endpoint_that_serves_others_is_not_charged():
    retry, tried = Retry(), Tried()
    for answer_count in range(1, 100):
        retry.charge(
            tried,
            RequestFailed("x", retryable=True, status=429),
            answer_count=answer_count,
            was_down=False,
        )
    assert tried.charged == 0


def first(retry, *, record_failure):
    if record_failure:
        retry.count_first_failure()
    else:
        retry.first += 1


def test_an_endpoint_that_fails_much_is_given_more_attempts_within_a_bound():
    retry = Retry(max_attempts=5)
    for i in range(1000):
        first(retry, record_failure=i % 10 < 3)
    assert retry.attempts() == 12  # 0.3 ** 12 < 1e-6
    for _ in range(10_000):
        first(retry, record_failure=True)
    assert retry.attempts() == 20
    assert Retry(max_attempts=1, first=100, first_failed=90).attempts() == 1


def test_one_that_fails_alone_has_the_configured_attempts():
    retry = Retry(max_attempts=5)
    for i in range(3):
        first(retry, record_failure=i == 0)
    assert retry.attempts() == 5
