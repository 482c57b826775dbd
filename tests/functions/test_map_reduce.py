"""Map-reduce as a state machine: any texts, any room, any model: every text is read whole, and it ends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiquery.errors import RequestFailed
from aiquery.functions.map_reduce import DEEPEST, Group, pack, tokens

TEXTS = st.lists(st.text(st.characters(codec="utf-8"), max_size=300), max_size=30)
TOO_LONG = RequestFailed("too long", too_long=0.5)


def run(group, model):
    """Ask ``model`` until the group is done; return every (step, texts) that was asked."""
    asked = []
    while not group.done:
        asks = group.asks()
        asked += asks
        group.hear([model(step, texts) for step, texts in asks])
    return asked


@given(TEXTS, st.integers(20, 400))
def test_every_text_is_read_in_order_and_bodies_fit(texts, room):
    bodies = pack(texts, room)
    assert "".join(piece for body in bodies for piece in body) == "".join(texts)
    assert all(sum(map(tokens, body)) <= room or len(body) == 1 for body in bodies)
    short = [text for text in texts if tokens(text) <= room]
    assert all(any(text in body for body in bodies) for text in short)


@given(TEXTS, st.integers(20, 400), st.integers(1, 60))
def test_a_model_that_condenses_ends_with_one_answer(texts, room, length):
    group = Group(texts, room)
    asked = run(group, lambda *_: "x" * min(length, room))
    assert group.error is None
    if texts:
        assert group.answer is not None
        read = [
            text for step, body in asked if step in {"map", "whole"} for text in body
        ]
        assert "".join(read) == "".join(texts)  # each once
        assert sum(step in {"whole", "combine"} for step, _ in asked) == 1
    else:
        assert asked == []


@given(
    st.lists(st.text("abc ", min_size=1, max_size=50), min_size=1, max_size=20),
    st.integers(1, 5),
)
def test_a_body_that_is_too_long_is_split_until_it_fits(texts, most):
    group = Group(texts, 10_000)
    asked = run(
        group,
        lambda step, body: (
            TOO_LONG if step in {"whole", "map"} and len(body) > most else "x"
        ),
    )
    answered = [
        text
        for step, body in asked
        if step in {"whole", "map"} and len(body) <= most
        for text in body
    ]
    assert sorted(answered) == sorted(texts)
    assert group.answer == "x"


def test_an_error_and_a_spent_budget_end_the_group():
    failed, spent = Group(["a"], 100), Group(["a", "b"], 100)
    run(failed, lambda *_: RequestFailed("no"))
    assert (failed.answer, failed.error.message) == (None, "no")
    run(spent, lambda *_: None)
    assert (spent.answer, spent.error) == (None, None)


@pytest.mark.parametrize("answer", ["x" * 5000, TOO_LONG])
def test_a_model_that_never_condenses_is_given_up(answer):
    group = Group(["word " * 40] * 50, 100)
    run(group, lambda *_: answer)
    assert isinstance(group.error, RequestFailed)
    assert group.rounds <= DEEPEST
