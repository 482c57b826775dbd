"""Batching: every text is in exactly one batch, within the limits, of one template, longest texts first."""

from hypothesis import given
from hypothesis import strategies as st

from aiquery.errors import RequestFailed
from aiquery.inference.batching import CHARACTERS_PER_TOKEN, Batch, Batcher
from aiquery.inference.in_flight import InFlightRequest
from aiquery.inference.query_context import BatchFuture, QueryContext
from aiquery.requests.parsing import VectorParser
from aiquery.requests.request import Request, RequestTemplate, Response, Vector

TEMPLATES = [RequestTemplate(endpoint="e", model=model, parser=VectorParser()) for model in ("one", "two")]
TEXTS = st.lists(st.tuples(st.sampled_from(TEMPLATES), st.text(max_size=200)), max_size=60)


def make_request(template, text):
    request = Request(template, text)
    future = BatchFuture(1, QueryContext(), keep=True, strict=False)
    return InFlightRequest(request, request.key(), future, 0)


def fill(batcher, texts):
    """Add a request for each text; return the requests."""
    requests = [make_request(template, text) for template, text in texts]
    for request in requests:
        batcher.add(request)
    return requests


def count_tokens(batch):
    return sum(request.size // CHARACTERS_PER_TOKEN for request in batch.requests)


@given(TEXTS, st.integers(1, 10), st.integers(100, 2000))
def test_every_text_is_in_one_batch(texts, max_size, max_tokens):
    batcher = Batcher(max_size, max_tokens)
    requests = fill(batcher, texts)
    batches = []
    while (batch := batcher.take()) is not None:
        batches.append(batch)
    batched = [request for batch in batches for request in batch.requests]
    assert len(batcher) == 0
    assert {id(request) for request in batched} == {id(request) for request in requests}
    assert len(batched) == len(requests)
    for batch in batches:
        models = {request.request.template.model for request in batch.requests}
        assert len(batch.requests) <= max_size
        assert len(models) == 1
        assert count_tokens(batch) <= max_tokens or len(batch.requests) == 1
    for template in TEMPLATES:
        of_template = [r for r in batched if r.request.template is template]
        sizes = [request.size for request in of_template]
        assert sizes == sorted(sizes, reverse=True)


@given(TEXTS, st.integers(0, 3))
def test_drop_removes_the_matching_requests(texts, modulus):
    def is_unwanted(request):
        return len(request.request.content) % (modulus + 1) == 0

    batcher = Batcher(7)
    requests = fill(batcher, texts)
    dropped = batcher.drop(is_unwanted)
    assert len(dropped) + len(batcher) == len(requests)
    assert all(is_unwanted(request) for request in dropped)


def test_a_batch_is_split_in_halves_and_a_single_text_is_shortened():
    requests = [make_request(TEMPLATES[0], "x" * length) for length in (30, 40, 50)]
    batch = Batch(requests)
    bad_request = RequestFailed("HTTP 400: one text is bad", status=400)
    no_key = RequestFailed("HTTP 401: no key", status=401).mark_fatal()
    busy = RequestFailed("HTTP 503: busy", status=503, throttled=True)
    halves = [half.request.content for half in batch.split(bad_request)]
    lengths = [[len(text) for text in texts] for texts in halves]
    assert lengths == [[30], [40, 50]]
    assert batch.split(no_key) == []
    assert batch.split(busy) == []
    shorter = Batch(requests[2:]).shorten(0.5)
    assert shorter.request.content == ["x" * 25]
    assert shorter.count_cut(Response(vectors=[Vector([1.0])])) == 1
    assert shorter.shorten(0.5) is None
