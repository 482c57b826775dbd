"""Map-reduce as a state machine: it ends for any texts, room and model, and sends every text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiquery.errors import RequestFailed
from aiquery.functions.map_reduce import MAX_ROUNDS, Group, estimate_tokens, pack

TEXTS = st.lists(st.text(st.characters(codec="utf-8"), max_size=300), max_size=30)
TOO_LONG = RequestFailed("too long", too_long=0.5)


def run(group, model):
    """Run ``model`` until the group is done; return the (step, texts) of every request."""
    sent = []
    while not group.is_done:
        requests = group.next_requests()
        sent += requests
        group.record([model(step, texts) for step, texts in requests])
    return sent


@given(TEXTS, st.integers(20, 400))
def test_every_text_is_in_a_body_in_order_and_bodies_fit(texts, room):
    bodies = pack(texts, room)
    assert "".join(piece for body in bodies for piece in body) == "".join(texts)
    sizes = [sum(map(estimate_tokens, body)) for body in bodies]
    assert all(size <= room or len(body) == 1 for size, body in zip(sizes, bodies, strict=True))
    short = [text for text in texts if estimate_tokens(text) <= room]
    assert all(any(text in body for body in bodies) for text in short)


@given(TEXTS, st.integers(20, 400), st.integers(1, 60))
def test_a_model_that_condenses_ends_with_one_answer(texts, room, length):
    group = Group(texts=texts, room=room)
    sent = run(group, lambda *_: "x" * min(length, room))
    assert group.error is None
    if texts:
        assert group.answer is not None
        first_bodies = [body for step, body in sent if step in {"map", "whole"}]
        final_steps = [step for step, _ in sent if step in {"whole", "combine"}]
        assert "".join(map("".join, first_bodies)) == "".join(texts)  # each text once
        assert len(final_steps) == 1
    else:
        assert sent == []


@given(st.lists(st.text("abc ", min_size=1, max_size=50), min_size=1, max_size=20), st.integers(1, 5))
def test_a_body_that_is_too_long_is_split_until_it_fits(texts, max_texts):
    def model(step, body):
        is_too_long = step in {"whole", "map"} and len(body) > max_texts
        return TOO_LONG if is_too_long else "x"

    group = Group(texts=texts, room=10_000)
    sent = run(group, model)
    first_bodies = [body for step, body in sent if step in {"whole", "map"}]
    answered = [body for body in first_bodies if len(body) <= max_texts]
    assert sorted(text for body in answered for text in body) == sorted(texts)
    assert group.answer == "x"


def test_an_error_and_a_rejection_by_the_budget_end_the_group():
    failed = Group(texts=["a"], room=100)
    run(failed, lambda *_: RequestFailed("no"))
    assert (failed.answer, failed.error.message) == (None, "no")
    rejected = Group(texts=["a", "b"], room=100)
    run(rejected, lambda *_: None)
    assert (rejected.answer, rejected.error) == (None, None)


@pytest.mark.parametrize("answer", ["x" * 5000, TOO_LONG])
def test_a_model_that_never_condenses_is_given_up(answer):
    group = Group(texts=["word " * 40] * 50, room=100)
    run(group, lambda *_: answer)
    assert isinstance(group.error, RequestFailed)
    assert group.rounds <= MAX_ROUNDS
