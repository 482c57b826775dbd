"""Occurrences of many texts at once: as a search one by one finds them, also in texts that repeat themselves."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiquery.functions.occurrences import find_occurrences

pieces = st.lists(st.sampled_from(["a", "A", "b", "ß", "é", "_", "1", " ", "\n ", "-", "ö", "👩🏽‍🚀"]), max_size=30)


def search(content, entity):
    """Return the spans of an entity by regular expressions."""
    pattern = r"\s+".join(re.escape(word) for word in entity.split())
    spans = [found.span(1) for found in re.finditer(f"(?=({pattern}))", content, re.IGNORECASE)]
    whole = [span for span in spans if not cuts(content, span[0]) and not cuts(content, span[1])]
    return whole or spans


def cuts(content, position):
    """Return True if a word goes on across a position."""
    around = content[position - 1 : position + 1] if position else ""
    return len(around) == 2 and all(character.isalnum() or character == "_" for character in around)


@given(
    pieces, st.lists(st.lists(st.sampled_from(["a", "b", "é", "_", "1", " ", "-"]), min_size=1, max_size=4), max_size=5)
)
def test_the_search_finds_what_regular_expressions_find(content, entities):
    content = "".join(content)
    entities = ["".join(entity).strip() for entity in entities]
    entities = list(dict.fromkeys(filter(None, entities)))
    expected = {}
    for entity in entities:
        for start, end in search(content, entity):
            expected[start] = max(end, expected.get(start, 0))
    found = find_occurrences(content, entities)
    missing = [entity for entity in entities if not search(content, entity)]
    if missing:
        assert found.missing in missing
    else:
        assert found == (sorted(expected.items()), None)


WORST = {
    "one long text": ("a " * 20_000, ["a " * 10_000 + "b"]),
    "many lengths": ("a" * 40_000, ["a" * length for length in range(1, 400)]),
    "white space": ("a" + " " * 1_000_000 + "b", ["a b"]),
    "many texts": (" ".join(f"n{i}" for i in range(20_000)), [f"n{i}" for i in range(20_000)]),
}


@pytest.mark.parametrize("name", WORST)
def test_the_worst_texts_take_little_time(name):
    content, entities = WORST[name]
    began = time.process_time()
    find_occurrences(content, entities)
    assert time.process_time() - began < 10
