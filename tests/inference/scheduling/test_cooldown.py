"""Cooldown: Retry-After is obeyed exactly; three failures in a row are an outage, with probes and a slow start."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiquery.inference.scheduling.cooldown import DOUBLING_S, Cooldown


def fail(cooldown, now, item="x", in_flight=0, wait_s=None, jitter=0.5):
    cooldown.record_failure(item, now, in_flight, wait_s, jitter)


def begin_outage(cooldown, now=0.0):
    for item in "abc":
        fail(cooldown, now, item)


@given(st.floats(0, 1000), st.just(0.0) | st.floats(0.01, 600))
def test_retry_after_lasts_exactly_as_long_as_the_endpoint_says(now, wait_s):
    cooldown = Cooldown()
    fail(cooldown, now, wait_s=wait_s)
    assert wait_s == 0 or not cooldown.admits(now + 0.99 * wait_s, 0)
    assert cooldown.admits(now + wait_s, 0)


def test_a_later_shorter_pause_does_not_end_the_cooldown_early():
    cooldown = Cooldown()
    fail(cooldown, 0.0, wait_s=10.0)
    fail(cooldown, 1.0, wait_s=1.0)
    assert not cooldown.admits(9.9, 0)


def test_failures_with_answers_between_them_are_not_an_outage():
    cooldown = Cooldown()
    for now in range(1, 50):
        fail(cooldown, float(now))
        fail(cooldown, float(now))
        assert cooldown.admits(float(now), 0)
        cooldown.record_answer("x", float(now), 64, 1)


def test_an_outage_has_one_probe_at_a_time_after_an_eighth_of_its_duration():
    cooldown = Cooldown()
    now = began_at = 100.0
    pauses = []
    begin_outage(cooldown, now)
    for i in range(60):
        pause = cooldown.closed_until - now
        if i > 9:
            pause /= now - began_at
        pauses.append(pause)
        now = cooldown.closed_until
        assert cooldown.admits(now, 0)
        cooldown.record_start(i)
        assert not cooldown.admits(now + 60, 0)
        now += 0.1
        fail(cooldown, now, i)
    assert pauses[:3] == pytest.approx([0.25] * 3)
    assert pauses[20] == pytest.approx(0.125, abs=0.01)
    assert cooldown.closed_until - now == pytest.approx(5.0)


def test_failures_of_requests_sent_before_the_outage_do_not_prolong_the_pause():
    cooldown = Cooldown()
    begin_outage(cooldown)
    for i in range(100):
        fail(cooldown, i / 1000, i)
    assert cooldown.admits(0.26, 0)


def test_after_an_answered_probe_the_slots_double_with_answers_and_with_time():
    cooldown = Cooldown()
    begin_outage(cooldown)
    cooldown.record_start("probe")
    cooldown.record_answer("probe", 1.0, 512, 1)
    assert cooldown.down_since is None
    assert (cooldown.admits(1.0, 15), cooldown.admits(1.0, 16)) == (True, False)
    assert cooldown.admits(1.0 + DOUBLING_S, 31)
    for _ in range(16):
        cooldown.record_answer("x", 1.0, 512, 1)
    assert (cooldown.admits(1.0, 31), cooldown.admits(1.0, 32)) == (True, False)
    cooldown.record_answer("x", 1.0 + 6 * DOUBLING_S, 512, 1)
    assert cooldown.is_steady


def test_a_failure_in_the_slow_start_sets_the_slots_to_the_number_in_flight():
    cooldown = Cooldown()
    begin_outage(cooldown)
    cooldown.record_start("probe")
    cooldown.record_answer("probe", 1.0, 512, 1)
    fail(cooldown, 1.0 + 2 * DOUBLING_S, in_flight=7)
    assert not cooldown.admits(1.0 + 2 * DOUBLING_S, 7)


def test_an_answer_to_a_request_sent_before_the_outage_lets_two_more_start():
    cooldown = Cooldown()
    begin_outage(cooldown)
    cooldown.record_answer("before", 0.1, 64, 40)
    assert (cooldown.admits(0.1, 40), cooldown.admits(0.1, 41)) == (True, False)


def test_another_probe_may_start_after_a_cancelled_one():
    cooldown = Cooldown()
    begin_outage(cooldown)
    cooldown.record_start("probe")
    cooldown.record_cancellation("probe")
    assert cooldown.admits(1.0, 0)
