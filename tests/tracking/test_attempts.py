"""The ledger returns every attempt once and unchanged; totals are the sums of the attempts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiquery.requests.request import Usage
from aiquery.tracking.attempts import Attempt, Ledger

attempts = st.lists(
    st.builds(
        Attempt,
        endpoint=st.sampled_from(["a", "b"]),
        key=st.binary(min_size=16, max_size=16),
        ending=st.sampled_from(["answered", "truncated", "unreadable", "retried", "failed", "cancelled"]),
        started_at=st.floats(1e9, 2e9),
        latency_s=st.floats(0, 600),
        queued_s=st.floats(0, 600),
        status=st.sampled_from([0, 200, 429, 503]),
        usage=st.builds(Usage, *[st.integers(0, 10**6)] * 3),
        cost_usd=st.none() | st.floats(0, 10),
    ),
    max_size=20,
)


@given(attempts, st.integers(1, 7))
def test_recorded_attempts_are_read_back(recorded, in_memory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("aiquery.tracking.attempts.IN_MEMORY", in_memory)
        check_ledger(recorded, Ledger())


def check_ledger(recorded, ledger):
    for attempt in recorded:
        ledger.record(attempt)
    assert list(ledger.attempts()) == recorded
    assert len(ledger) == len(recorded)
    for endpoint, totals in ledger.totals.items():
        of_endpoint = [a for a in recorded if a.endpoint == endpoint]
        assert totals.attempts == len(of_endpoint)
        assert totals.tokens_in == sum(a.usage.tokens_in for a in of_endpoint)
        assert totals.endings.total() == len(of_endpoint)
