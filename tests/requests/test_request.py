"""Keys of requests: equal requests have equal keys; everything that changes the answer changes it."""

from hypothesis import given
from hypothesis import strategies as st

from aiquery.requests.parsing import TextParser
from aiquery.requests.request import Request, RequestTemplate


def template(**changes):
    return RequestTemplate(
        **{"endpoint": "e", "model": "m", "parser": TextParser(), **changes}
    )


@given(st.text(st.characters()), st.text(st.characters()))
def test_keys_are_equal_exactly_when_texts_are(a, b):
    assert (Request(template(), a).key() == Request(template(), b).key()) == (a == b)


def test_everything_that_changes_an_answer_changes_the_key():
    requests = [
        Request(template(), "q"),
        Request(template(endpoint="f"), "q"),
        Request(template(model="n"), "q"),
        Request(template(parameters={"max_tokens": 3}), "q"),
        Request(template(response_format={"type": "json_object"}), "q"),
        Request(template(reply_type="INT"), "q"),
        Request(template(version="2"), "q"),
        Request(template(), "q", b"image"),
        Request(template(), "q", b"image2"),
        Request(template(), [{"role": "user", "content": "q"}]),
        Request(template(), {"q": "q"}),
    ]
    assert len({request.key() for request in requests}) == len(requests)


def test_order_of_parameters_does_not_matter():
    one = Request(template(parameters={"a": 1, "b": 2}), {"x": 1, "y": 2})
    other = Request(template(parameters={"b": 2, "a": 1}), {"y": 2, "x": 1})
    assert one.key() == other.key()
