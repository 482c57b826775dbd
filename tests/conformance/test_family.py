"""What holds for every function of the family: NULL, empty text, errors that fail, are values or NULL, arguments."""

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
AGGREGATE = {
    "ai_agg": "ai_agg(s, 'what?'{})",
    "ai_summarize_agg": "ai_summarize_agg(s{})",
}
ALL = {**CHAT, **OTHER}
INSIDE = {"ai_classify 2", "ai_extract 2"}
"""Version 2 says in its own value what went wrong."""

FIRST = {
    "ai_classify": "a", "ai_extract": {"name": None}, "ai_analyze_sentiment": "negative", "ai_mask": "good",
    "ai_classify 2": {"response": ["a"], "error_message": None}, "ai_filter": False, "ai_count_tokens": 2,
    "ai_extract 2": {"response": {"n": 0}, "error_message": None},
}  # fmt: skip


def reply(question):
    """Refuse what is bad, and answer the rest with the smallest document of its schema, or an echo."""
    texts = question.texts or [question.prompt]
    return (
        Answer(status=400, text="I refuse this text")
        if any("bad" in text for text in texts)
        else Answer()
    )


@pytest.fixture
def family(engine, serve):
    """Give an engine whose default endpoints are one test server."""
    server = serve(reply)

    def start(named="chat"):
        endpoints = {
            "m": server.endpoint(),
            "e": server.endpoint(task="embedding"),
            "named": server.endpoint(task=named),
        }
        return engine(**endpoints, defaults={"chat": "m", "embedding": "e"}), server

    return start


@pytest.mark.parametrize("name", ALL)
def test_null_is_null_and_empty_is_asked(family, name):
    sql, server = family()
    sql.table(id=[1, 2, 3], s=["good", None, ""])
    rows = sql.rows(f"SELECT id, {ALL[name].format('')} FROM t ORDER BY id")
    assert [row[1] is None for row in rows][:2] == [False, True]
    assert rows[0][1] == FIRST.get(name, rows[0][1])
    expected = {"ai_embed": 1, "ai_similarity": 1}.get(name, 2)
    assert server.calls == expected
    assert sql.rows(f"SELECT {ALL[name].format('')} FROM t WHERE s IS NULL") == [
        (None,)
    ]
    assert server.calls == expected


@pytest.mark.parametrize("name", [*CHAT, "ai_embed"])
def test_a_failed_row_is_a_value_and_touches_no_other(family, name):
    sql, _ = family()
    sql.table(id=[1, 2, 3, 4], s=["good", "bad", None, "fine"])
    rows = sql.rows(
        f"SELECT {ALL[name].format(', failOnError => false')} FROM t ORDER BY id"
    )
    assert [row[0]["result"] is None for row in rows] == [False, True, True, False]
    assert re.search(
        "endpoint '[me]': .*I refuse this text", rows[1][0]["errorMessage"]
    )
    assert [row[0]["errorMessage"] is None for row in rows] == [True, False, True, True]


@pytest.mark.parametrize("name", [name for name in ALL if name not in INSIDE])
def test_a_failed_row_fails_the_query(family, name):
    sql, _ = family()
    sql.table(s=["good", "bad"])
    with pytest.raises(sql.errors, match="I refuse this text"):
        sql.rows(f"SELECT {ALL[name].format('')} FROM t")


@pytest.mark.parametrize("name", sorted(INSIDE))
def test_version_2_says_in_its_value_what_went_wrong(family, name):
    sql, _ = family()
    sql.table(id=[1, 2], s=["good", "bad"])
    good, bad = (
        row[0] for row in sql.rows(f"SELECT {ALL[name].format('')} FROM t ORDER BY id")
    )
    assert good == FIRST[name]
    assert bad["response"] is None
    assert bad["error_message"].startswith("[AI_FUNCTION_HTTP_REQUEST_ERROR]")
    with pytest.raises(sql.errors, match="I refuse this text"):
        sql.rows(f"SELECT {ALL[name].format(', failOnError => true')} FROM t")


@pytest.mark.parametrize("name", ALL)
def test_try_gives_null_for_the_failed_row_only(family, name):
    sql, _ = family()
    sql.table(id=[1, 2, 3], s=["good", "bad", "fine"])
    rows = sql.rows(f"SELECT TRY({ALL[name].format('')}) FROM t ORDER BY id")
    if name in INSIDE and sql.name == "duckdb-registered":
        rows[1] = (
            None,
        )  # without our rewriting nothing raises: the error stands in the value
    assert [row[0] is None for row in rows] == [False, True, False]


@pytest.mark.parametrize("name", [*CHAT, "ai_embed", "ai_similarity"])
def test_an_endpoint_can_be_named_and_must_exist(family, name):
    task = "embedding" if name in OTHER else "chat"
    sql, server = family(named=task)
    sql.table(s=["good"])
    unknown, known = (
        ALL[name].format(", ENDPOINT => 'nobody'"),
        ALL[name].format(", endpoint => 'named'"),
    )
    with pytest.raises(sql.errors, match="'nobody' is not configured"):
        sql.rows(f"SELECT {unknown} FROM t")
    sql.rows(f"SELECT {known} FROM t")
    assert server.calls == 1


@pytest.mark.parametrize("name", ["ai_gen", "ai_embed"])
def test_an_endpoint_of_another_task_is_refused_by_name(family, name):
    sql, server = family()
    sql.table(s=["good"])
    other = "m" if name == "ai_embed" else "e"
    call = ALL[name].format(f", endpoint => '{other}'")
    with pytest.raises(sql.errors, match=f"{name}: endpoint '{other}' has task"):
        sql.rows(f"SELECT {call} FROM t")
    assert server.calls == 0


@pytest.mark.parametrize("name", AGGREGATE)
def test_aggregates_leave_nulls_out_and_sort(family, name):
    sql, server = family()
    sql.table(g=[1, 1, 1, 2, 2], s=["b", None, "a", None, None])
    rows = sql.rows(
        f"SELECT g, {AGGREGATE[name].format('')} FROM t GROUP BY g ORDER BY g"
    )
    assert rows[0][1].endswith("- a\n- b")
    assert rows[1] == (2, None)
    assert server.calls == 1
    assert sql.rows(f"SELECT {AGGREGATE[name].format('')} FROM t WHERE false") == [
        (None,)
    ]
    sql.table(g=[1, 1], s=["bad", "a"])
    row = sql.rows(f"SELECT {AGGREGATE[name].format(', failOnError => false')} FROM t")[
        0
    ][0]
    assert row["result"] is None
    assert "I refuse this text" in row["errorMessage"]
    if sql.name != "duckdb-registered":  # DuckDB itself allows no aggregate in TRY
        assert sql.rows(f"SELECT TRY({AGGREGATE[name].format('')}) FROM t") == [(None,)]


def test_a_budget_leaves_rows_null(engine, serve):
    server = serve()
    sql = engine(
        m=server.endpoint(), defaults={"chat": "m"}, budget={"max_requests": 2}
    )
    sql.table(s=[f"text {i}" for i in range(5)])
    rows = sql.rows("SELECT ai_gen(s, on_budget => 'null') FROM t")
    assert sum(row[0] is not None for row in rows) == server.calls == 2
