"""The states of a request in flight: every allowed change, and no other."""

import pytest
from scripted import in_flight, make_endpoint, make_requests, make_template

from aiquery.inference.in_flight import State

DRAWN = """
NEW         LOOKING_UP QUEUED SETTLED
LOOKING_UP  QUEUED SETTLED
QUEUED      QUEUED SENT STORING SETTLED
SENT        SENT QUEUED RESTING STORING SETTLED
RESTING     SENT SETTLED
STORING     SETTLED
SETTLED
"""
"""Each state, and the states that may follow it: the drawing in ``in_flight.py``."""

ALLOWED = {
    State[first]: {State[name] for name in following}
    for first, *following in map(str.split, DRAWN.strip().splitlines())
}

PATHS = {
    State.NEW: [],
    State.LOOKING_UP: [State.LOOKING_UP],
    State.QUEUED: [State.QUEUED],
    State.SENT: [State.QUEUED, State.SENT],
    State.RESTING: [State.QUEUED, State.SENT, State.RESTING],
    State.STORING: [State.QUEUED, State.SENT, State.STORING],
    State.SETTLED: [State.SETTLED],
}


def request_in(state):
    template = make_template(make_endpoint())
    (request,) = make_requests(template, 1)
    found = in_flight(request)
    for step in PATHS[state]:
        found.move_to(step)
    return found


@pytest.mark.parametrize("after", State)
@pytest.mark.parametrize("before", State)
def test_a_state_changes_only_as_drawn(before, after):
    request = request_in(before)
    if after in ALLOWED[before]:
        request.move_to(after)
        assert request.state is after
        return
    with pytest.raises(AssertionError, match="cannot go from"):
        request.move_to(after)
    assert request.state is before


@pytest.mark.parametrize("state", State)
def test_a_request_is_done_from_the_moment_its_answer_is_stored(state):
    assert request_in(state).is_done == (state in {State.STORING, State.SETTLED})


@pytest.mark.parametrize("state", [state for state in State if state is not State.SETTLED])
def test_every_request_can_be_settled(state):
    request = request_in(state)
    request.move_to(State.SETTLED)
    assert request.is_done
