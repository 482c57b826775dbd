"""Keys of requests: equal requests have equal keys; everything that changes the answer changes the key."""

from hypothesis import given
from hypothesis import strategies as st

from aiquery.requests.parsing import TextParser
from aiquery.requests.request import Request, RequestTemplate


def make_template(**changes):
    return RequestTemplate(**{"endpoint": "e", "model": "m", "parser": TextParser(), **changes})


@given(st.text(st.characters()), st.text(st.characters()))
def test_keys_are_equal_if_and_only_if_the_texts_are_equal(a, b):
    key_a = Request(make_template(), a).key()
    key_b = Request(make_template(), b).key()
    assert (key_a == key_b) == (a == b)


def test_everything_that_changes_an_answer_changes_the_key():
    requests = [
        Request(make_template(), "q"),
        Request(make_template(endpoint="f"), "q"),
        Request(make_template(model="n"), "q"),
        Request(make_template(parameters={"max_tokens": 3}), "q"),
        Request(make_template(response_format={"type": "json_object"}), "q"),
        Request(make_template(reply_type="INT"), "q"),
        Request(make_template(version="2"), "q"),
        Request(make_template(), "q", b"image"),
        Request(make_template(), "q", b"image2"),
        Request(make_template(), [{"role": "user", "content": "q"}]),
        Request(make_template(), {"q": "q"}),
    ]
    assert len({request.key() for request in requests}) == len(requests)


def test_the_order_of_parameters_does_not_change_the_key():
    one = Request(make_template(parameters={"a": 1, "b": 2}), {"x": 1, "y": 2})
    other = Request(make_template(parameters={"b": 2, "a": 1}), {"y": 2, "x": 1})
    assert one.key() == other.key()
