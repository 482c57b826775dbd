"""The gate: Retry-After exactly; else a pause only when nothing was answered, doubling up to the cap."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiquery.inference.gate import Gate


@given(st.floats(0, 1000), st.just(0.0) | st.floats(0.01, 600))
def test_retry_after_is_kept_to_the_end(now, wait_s):
    gate = Gate()
    gate.refused(now, now, wait_s, 0.5)
    assert gate.is_open(now + wait_s)
    assert wait_s == 0 or not gate.is_open(now + 0.99 * wait_s)


def test_a_shorter_pause_does_not_open_it_early():
    gate = Gate()
    gate.refused(0.0, 0.0, 10.0, 0.5)
    gate.refused(1.0, 0.5, 1.0, 0.5)
    assert not gate.is_open(9.9)


def test_one_refusal_among_answers_closes_nothing():
    gate = Gate()
    for now in range(1, 50):
        gate.refused(float(now), now - 0.5, None, 0.9)
        assert gate.is_open(float(now))
        gate.answered()


def test_refusals_without_answers_double_the_pause_up_to_the_cap():
    gate, now, pauses = Gate(base_s=1.0, cap_s=8.0), 1.0, []
    for _ in range(6):
        gate.refused(now, now, None, 1.0)
        pauses.append(gate.closed_until - now)
        now = gate.closed_until + 0.1
    assert pauses == pytest.approx([0.0, 1.0, 2.0, 4.0, 8.0, 8.0])


def test_many_on_their_way_count_once():
    gate = Gate(base_s=1.0)
    gate.refused(1.0, 0.5, None, 1.0)
    for i in range(100):
        gate.refused(1.0 + i / 1000, 0.5, None, 1.0)
    assert gate.is_open(1.2)
