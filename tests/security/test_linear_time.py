"""Texts from outside are read in proportion to their length: a megabyte of the worst text takes no time that matters.

The limit is generous: what is not linear takes minutes.
"""

import time
from datetime import UTC, datetime

import pytest

from aiquery.engines.duckdb import statements
from aiquery.providers.http.retry_after import read_wait_s
from aiquery.providers.http.too_long import find_fitting_share

MEGABYTE = 2**20
LIMIT_S = 5


def repeat(piece):
    return piece * (MEGABYTE // len(piece))


@pytest.fixture(autouse=True)
def _in_time():
    started = time.process_time()
    yield
    assert time.process_time() - started < LIMIT_S


@pytest.mark.parametrize("piece", ["1,", "12 ", "exceeds ", "max_", "a_", "' ' ", "tokens "])
def test_the_message_of_a_server(piece):
    for start in ("context ", "max_", "max_tokens ", "exceeds "):
        find_fitting_share(400, start + repeat(piece))


def test_a_number_without_end_is_no_count():
    assert find_fitting_share(400, "the context has " + repeat("9") + " tokens") == 0.5


@pytest.mark.parametrize("piece", ["1", "1s", "1.1", " ", "Thu, "])
def test_the_time_to_wait(piece):
    for end in ("", "x"):
        value = (repeat(piece) + end).encode()
        for name in (b"retry-after", b"x-ratelimit-reset"):
            read_wait_s({name: value, b"x-ratelimit-remaining": b"0"}, datetime.now(UTC))


@pytest.mark.parametrize("start", ["", "EXPLAIN", "EXPLAIN (", "create", "create or", "create temp", "explain analyze"])
@pytest.mark.parametrize("piece", [" ", "a", "("])
def test_the_beginning_of_a_statement(start, piece):
    text = start + repeat(piece) + "x"
    statements._ANALYZE.search(text)
    statements._TRY.search(text)
    statements._EXPLAIN.match(text)
    statements._STORED.match(text)


@pytest.mark.parametrize(
    "text", ["explain analyze select 1", "EXPLAIN(ANALYZE) x", "explain ( analyze ) y", "explain\nanalyze"]
)
def test_explain_analyze_is_recognized(text):
    assert statements._ANALYZE.search(text)
    assert not statements._ANALYZE.search(text.replace("analyze", "analyzed").replace("ANALYZE", "x"))
