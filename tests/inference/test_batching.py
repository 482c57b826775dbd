"""Packing: every text in exactly one request, within the limits, longest with longest, one target only."""

from hypothesis import given
from hypothesis import strategies as st

from aiquery.errors import RequestFailed
from aiquery.inference.batching import CHARACTERS_PER_TOKEN, Batch, Batcher
from aiquery.inference.in_flight import InFlightRequest
from aiquery.inference.query_context import BatchFuture, QueryContext
from aiquery.requests.parsing import VectorParser
from aiquery.requests.request import Request, RequestTemplate, Response, Vector

TARGETS = [RequestTemplate("e", model, VectorParser()) for model in ("one", "two")]
TEXTS = st.lists(
    st.tuples(st.sampled_from(TARGETS), st.text(max_size=200)), max_size=60
)


def entry(template, text):
    request = Request(template, text)
    return InFlightRequest(
        request,
        request.key(),
        BatchFuture(1, QueryContext(), keep=True, strict=False),
        0,
    )


@given(TEXTS, st.integers(1, 10), st.integers(100, 2000))
def test_every_text_in_one_pack(texts, most, tokens):
    packer = Batcher(most, tokens)
    entries = [entry(template, text) for template, text in texts]
    for one in entries:
        packer.add(one)
    packs = []
    while (pack := packer.take()) is not None:
        packs.append(pack)
    assert len(packer) == 0
    assert {id(member) for pack in packs for member in pack.requests} == {
        id(one) for one in entries
    }
    assert sum(len(pack.requests) for pack in packs) == len(entries)
    for pack in packs:
        assert len(pack.requests) <= most
        assert len({member.request.template.model for member in pack.requests}) == 1
        assert (
            sum(m.size // CHARACTERS_PER_TOKEN for m in pack.requests) <= tokens
            or len(pack.requests) == 1
        )
    for template in TARGETS:
        sizes = [
            m.size
            for pack in packs
            for m in pack.requests
            if m.request.template is template
        ]
        assert sizes == sorted(sizes, reverse=True)


@given(TEXTS, st.integers(0, 3))
def test_what_nobody_wants_is_dropped(texts, modulus):
    packer = Batcher(7)
    entries = [entry(template, text) for template, text in texts]
    for one in entries:
        packer.add(one)
    gone = packer.drop(lambda one: len(one.request.content) % (modulus + 1) == 0)
    assert len(gone) + len(packer) == len(entries)
    assert all(len(one.request.content) % (modulus + 1) == 0 for one in gone)


def test_halves_and_shorter():
    entries = [entry(TARGETS[0], "x" * length) for length in (30, 40, 50)]
    pack = Batch(entries)
    refused = RequestFailed("HTTP 400: one text is bad", status=400)
    assert [
        [len(text) for text in half.request.content] for half in pack.split(refused)
    ] == [[30], [40, 50]]
    assert pack.split(RequestFailed("HTTP 401: no key", status=401).mark_fatal()) == []
    assert pack.split(RequestFailed("HTTP 503: busy", status=503, throttled=True)) == []
    shorter = Batch(entries[2:]).shorten(0.5)
    assert shorter.request.content == ["x" * 25]
    assert shorter.count_cut(Response(vectors=[Vector([1.0])])) == 1
    assert shorter.shorten(0.5) is None
