"""Random statements return the result of plain DuckDB, and send no request that plain DuckDB does not reach.

A statement must fail on aiquery if and only if it fails on plain DuckDB for every placement of the calls. A statement
that differs is shrunk and printed. ``AIQUERY_STATEMENTS`` sets the number of statements, ``AIQUERY_SEED`` the seed.
"""

import os
from collections import Counter

import hypothesis
import pytest
from duckdb_statements import statements
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from worlds import Aiquery, Plain, Provider

from aiquery.engines.duckdb.answer_flow import AnswerFlow
from aiquery.engines.duckdb.query_parts import find_parts

STATEMENTS = int(os.environ.get("AIQUERY_STATEMENTS", "500"))
SEED = int(os.environ.get("AIQUERY_SEED", "1"))
ROWS = st.sampled_from([12] * 40 + [1, 1, 2047, 2048, 2049, 50_000])


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        from aiquery import registry

        provider = registry.provider
        patch.setattr(registry, "provider", lambda name: Provider if name == "fake" else provider(name))
        patch.chdir(tmp_path_factory.mktemp("worlds"))
        actual = Aiquery()
        yield actual, Plain(volatile=False), Plain(volatile=True)
        actual.con.close()


@hypothesis.seed(SEED)
@settings(
    max_examples=STATEMENTS,
    database=None,
    suppress_health_check=list(HealthCheck),
    report_multiple_bugs=False,
    deadline=None,
)
@given(statements(), ROWS)
def check(worlds, drawn, rows):
    texts, ordered = drawn
    actual, plain, volatile = worlds
    for world in worlds:
        world.reset(rows)
        if isinstance(world, Plain):
            world.requests.clear()
    result, error = actual.run(texts, ordered)
    requests = Counter(actual.requests)
    expected, expected_error = plain.run(texts, ordered)
    of_volatile, error_of_volatile = volatile.run(texts, ordered)
    if expected_error is not None and error is None:
        expected, expected_error = of_volatile, error_of_volatile
    note = f"statements: {texts}, {rows} rows\nplain: {expected_error or expected}"
    hypothesis.note(f"{note}\naiquery: {error or result}")
    if expected_error is not None:
        hypothesis.note("plain DuckDB rejects it")
        assert error is not None or depends_on_placement(expected_error)
        return
    assert error is None, f"plain DuckDB answers {texts}"
    assert result == expected, f"another result of {texts}"
    repeated = {text for text, number in requests.items() if number > 1}
    assert not repeated, f"sent twice by {texts}: {repeated}"
    if any(map(has_several_deciding_calls, texts)):
        return  # the order of two AI conditions, and so the rows of the second, is not defined
    extra = set(requests) - plain.requests - volatile.requests
    assert not extra, f"sent by {texts}, but not reached by plain DuckDB: {sorted(extra)[:5]}"


def has_several_deciding_calls(text):
    """Return True if several calls, or values made from them, decide which rows a statement continues with."""
    parts = find_parts(text)
    if parts is None:
        return "ai_query" in text
    answers = AnswerFlow(parts.query)
    conditions = [condition for part in answers.deciding() for condition in split(part)]
    return sum(answers.uses(condition) for condition in conditions) > 1


def split(part):
    """Return the conditions that AND combines."""
    is_and = isinstance(part, dict) and part.get("type") == "CONJUNCTION_AND"
    return [one for child in part["children"] for one in split(child)] if is_and else [part]


def depends_on_placement(error):
    """Return True if plain DuckDB failed at a call that aiquery may skip, or at a volatile call that it rejects."""
    message = str(error)
    return "bad text" in message or "side effects" in message or "volatile" in message.lower()


@pytest.mark.timeout(3600)
def test_random_statements_return_the_result_of_plain_duckdb(worlds):
    check(worlds)
