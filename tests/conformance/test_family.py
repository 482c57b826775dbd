"""Behaviour of all AI functions: NULL, empty text, arguments, and errors that fail the query, are values or NULL."""

import re

import pytest

from aiquery.testing import Answer

CHAT = {
    "ai_gen": "ai_gen(s{})",
    "ai_classify": "ai_classify(s, ['a', 'b']{})",
    "ai_classify 2": 'ai_classify(s, \'["a", "b"]\'{})',
    "ai_extract": "ai_extract(s, ['name']{})",
    "ai_extract 2": 'ai_extract(s, \'{{"n": {{"type": "integer"}}}}\'{})',
    "ai_analyze_sentiment": "ai_analyze_sentiment(s{})",
    "ai_summarize": "ai_summarize(s{})",
    "ai_translate": "ai_translate(s, 'es'{})",
    "ai_fix_grammar": "ai_fix_grammar(s{})",
    "ai_mask": "ai_mask(s, ['person']{})",
    "ai_filter": "ai_filter(s, 'is short'{})",
}
OTHER = {
    "ai_embed": "ai_embed(s{})",
    "ai_similarity": "ai_similarity(s, 'other'{})",
    "ai_count_tokens": "ai_count_tokens('m', s{})",
}
AGGREGATE = {"ai_agg": "ai_agg(s, 'what?'{})", "ai_summarize_agg": "ai_summarize_agg(s{})"}
ALL = {**CHAT, **OTHER}
VERSION_2 = {"ai_classify 2", "ai_extract 2"}
"""Version 2 returns the error within its value."""

FIRST = {
    "ai_classify": "a", "ai_extract": {"name": None}, "ai_analyze_sentiment": "negative", "ai_mask": "good",
    "ai_classify 2": {"response": ["a"], "error_message": None}, "ai_filter": False, "ai_count_tokens": 2,
    "ai_extract 2": {"response": {"n": 0}, "error_message": None},
}  # fmt: skip


def reply(question):
    """Reject a text with "bad"; answer the others with the smallest document of the schema, or an echo."""
    texts = question.texts or [question.prompt]
    if any("bad" in text for text in texts):
        return Answer(status=400, text="I reject this text")
    return Answer()


@pytest.fixture
def family(engine, serve):
    """Return a function that opens an engine with one test server as its default endpoints."""
    server = serve(reply)

    def start(task_of_named="chat"):
        endpoints = {
            "m": server.endpoint(),
            "e": server.endpoint(task="embedding"),
            "named": server.endpoint(task=task_of_named),
        }
        return engine(**endpoints, defaults={"chat": "m", "embedding": "e"}), server

    return start


@pytest.mark.parametrize("name", ALL)
def test_null_is_null_and_an_empty_text_sends_a_request(family, name):
    sql, server = family()
    sql.table(id=[1, 2, 3], s=["good", None, ""])
    rows = sql.rows(f"SELECT id, {ALL[name].format('')} FROM t ORDER BY id")
    first, second, _ = (value for _, value in rows)
    assert first is not None
    assert first == FIRST.get(name, first)
    assert second is None
    expected_calls = {"ai_embed": 1, "ai_similarity": 1}.get(name, 2)
    assert server.calls == expected_calls
    rows = sql.rows(f"SELECT {ALL[name].format('')} FROM t WHERE s IS NULL")
    assert rows == [(None,)]
    assert server.calls == expected_calls


@pytest.mark.parametrize("name", [*CHAT, "ai_embed"])
def test_a_failed_row_is_a_value_and_does_not_affect_the_others(family, name):
    sql, _ = family()
    sql.table(id=[1, 2, 3, 4], s=["good", "bad", None, "fine"])
    call = ALL[name].format(", failOnError => false")
    values = [value for (value,) in sql.rows(f"SELECT {call} FROM t ORDER BY id")]
    errors = [value["errorMessage"] for value in values]
    results = [value["result"] for value in values]
    assert [result is None for result in results] == [False, True, True, False]
    assert [error is None for error in errors] == [True, False, True, True]
    assert re.search("endpoint '[me]': .*I reject this text", errors[1])


@pytest.mark.parametrize("name", [name for name in ALL if name not in VERSION_2])
def test_a_failed_row_fails_the_query(family, name):
    sql, _ = family()
    sql.table(s=["good", "bad"])
    with pytest.raises(sql.errors, match="I reject this text"):
        sql.rows(f"SELECT {ALL[name].format('')} FROM t")


@pytest.mark.parametrize("name", sorted(VERSION_2))
def test_version_2_returns_the_error_within_its_value(family, name):
    sql, _ = family()
    sql.table(id=[1, 2], s=["good", "bad"])
    rows = sql.rows(f"SELECT {ALL[name].format('')} FROM t ORDER BY id")
    good, bad = (value for (value,) in rows)
    assert good == FIRST[name]
    assert bad["response"] is None
    assert bad["error_message"].startswith("[AI_FUNCTION_HTTP_REQUEST_ERROR]")
    with pytest.raises(sql.errors, match="I reject this text"):
        sql.rows(f"SELECT {ALL[name].format(', failOnError => true')} FROM t")


@pytest.mark.parametrize("name", ALL)
def test_try_returns_null_for_the_failed_row_only(family, name):
    sql, _ = family()
    sql.table(id=[1, 2, 3], s=["good", "bad", "fine"])
    rows = sql.rows(f"SELECT TRY({ALL[name].format('')}) FROM t ORDER BY id")
    if name in VERSION_2 and sql.name == "duckdb-registered":
        # DuckDB does not rewrite TRY: the call raises no error, and the error is in the value
        rows[1] = (None,)
    assert [row[0] is None for row in rows] == [False, True, False]


@pytest.mark.parametrize("name", [*CHAT, "ai_embed", "ai_similarity"])
def test_an_endpoint_can_be_named_and_must_exist(family, name):
    task = "embedding" if name in OTHER else "chat"
    sql, server = family(task_of_named=task)
    sql.table(s=["good"])
    unknown = ALL[name].format(", ENDPOINT => 'absent'")
    known = ALL[name].format(", endpoint => 'named'")
    with pytest.raises(sql.errors, match="'absent' is not configured"):
        sql.rows(f"SELECT {unknown} FROM t")
    sql.rows(f"SELECT {known} FROM t")
    assert server.calls == 1


@pytest.mark.parametrize("name", ["ai_gen", "ai_embed"])
def test_an_endpoint_of_another_task_is_rejected_by_name(family, name):
    sql, server = family()
    sql.table(s=["good"])
    other = "m" if name == "ai_embed" else "e"
    call = ALL[name].format(f", endpoint => '{other}'")
    with pytest.raises(sql.errors, match=f"{name}: endpoint '{other}' has task"):
        sql.rows(f"SELECT {call} FROM t")
    assert server.calls == 0


@pytest.mark.parametrize("name", AGGREGATE)
def test_aggregates_omit_nulls_and_sort(family, name):
    sql, server = family()
    sql.table(g=[1, 1, 1, 2, 2], s=["b", None, "a", None, None])
    call = AGGREGATE[name].format("")
    tolerant_call = AGGREGATE[name].format(", failOnError => false")
    rows = sql.rows(f"SELECT g, {call} FROM t GROUP BY g ORDER BY g")
    assert rows[0][1].endswith('- "a"\n- "b"')
    assert rows[1] == (2, None)
    assert server.calls == 1
    assert sql.rows(f"SELECT {call} FROM t WHERE false") == [(None,)]
    sql.table(g=[1, 1], s=["bad", "a"])
    ((value,),) = sql.rows(f"SELECT {tolerant_call} FROM t")
    assert value["result"] is None
    assert "I reject this text" in value["errorMessage"]
    if sql.name != "duckdb-registered":  # DuckDB allows no aggregate in TRY
        assert sql.rows(f"SELECT TRY({call}) FROM t") == [(None,)]


def test_a_budget_leaves_rows_null(engine, serve):
    server = serve()
    sql = engine(m=server.endpoint(), defaults={"chat": "m"}, budget={"max_requests": 2})
    sql.table(s=[f"text {i}" for i in range(5)])
    rows = sql.rows("SELECT ai_gen(s, on_budget => 'null') FROM t")
    assert sum(row[0] is not None for row in rows) == server.calls == 2
