"""A request is a value that knows its key: equal requests have equal keys, anything that changes the answer another."""

from hypothesis import given
from hypothesis import strategies as st

from aiquery.requests.parsing import TextReply
from aiquery.requests.request import Request, RequestTemplate


def target(**changes):
    return RequestTemplate(**{"endpoint": "e", "model": "m", "reply": TextReply(), **changes})


@given(st.text(st.characters()), st.text(st.characters()))
def test_keys_are_equal_exactly_when_texts_are(a, b):
    assert (Request(target(), a).key() == Request(target(), b).key()) == (a == b)


def test_everything_that_changes_an_answer_changes_the_key():
    requests = [
        Request(target(), "q"),
        Request(target(endpoint="f"), "q"),
        Request(target(model="n"), "q"),
        Request(target(parameters={"max_tokens": 3}), "q"),
        Request(target(response_format={"type": "json_object"}), "q"),
        Request(target(reply_type="INT"), "q"),
        Request(target(version="2"), "q"),
        Request(target(), "q", b"image"),
        Request(target(), "q", b"image2"),
        Request(target(), [{"role": "user", "content": "q"}]),
        Request(target(), {"q": "q"}),
    ]
    assert len({request.key() for request in requests}) == len(requests)


def test_order_of_parameters_does_not_matter():
    one = Request(target(parameters={"a": 1, "b": 2}), {"x": 1, "y": 2})
    other = Request(target(parameters={"b": 2, "a": 1}), {"y": 2, "x": 1})
    assert one.key() == other.key()
