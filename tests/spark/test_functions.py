"""Spark's analyzer resolves the functions: their names, types from constants, and errors before any call."""

import json

import pytest

pytestmark = pytest.mark.spark
ROWS = [(1, "a"), (2, None), (3, "bb")]
SCHEMA = "id INT, s STRING"

TYPES = {
    "ai_query('m', s)": "string",
    "ai_query('m', s, 'INT')": "int",
    "AI_QUERY(RETURNTYPE => 'ARRAY<STRUCT<a: INT, b: DECIMAL(10,2)>>', request => s, endPoint => 'm')":
        "array<struct<a:int,b:decimal(10,2)>>",
    "ai_query('m', s, failOnError => false)": "struct<result:string,errorMessage:string>",
    "ai_query('e', s)": "array<float>",
    "ai_classify(s, ARRAY('a', 'b'))": "string",
    "ai_classify(s, '[\"a\", \"b\"]')": "variant",
    "ai_extract(s, ARRAY('name', 'home city'))": "struct<name:string,home city:string>",
    "ai_filter(s, 'is short')": "boolean",
    "ai_embed(s)": "array<float>",
    "ai_similarity(s, 'other')": "float",
    "ai_count_tokens('m', s)": "int",
    "TRY(ai_query('m', s, returnType => 'MAP<STRING, DOUBLE>'))": "map<string,double>",
}  # fmt: skip

REJECTED = {
    "REMOTE_FUNCTION_HTTP_FAILED_ERROR.*'absent' is not configured": "ai_query('absent', s)",
    "argument 'retrunType' is not known; it takes endpoint, request": "ai_query('m', s, retrunType => 'INT')",
    "argument 'request' is missing": "ai_query('m')",
    "argument 'request' is given twice": "ai_query('m', s, request => s)",
    "returnType must be a constant": "ai_query('m', s, returnType => s)",
    "AI_FUNCTION_UNSUPPORTED_RETURN_TYPE": "ai_query('m', s, returnType => 'GEOMETRY')",
    "'temperature'|temperature must be": "ai_query('m', s, modelParameters => named_struct('temperature', 'hot'))",
    "AI_FUNCTION_INVALID_MAX_WORDS.*22032": "ai_summarize(s, -1)",
    "labels must have 2 to 20 items, not 1": "ai_classify(s, ARRAY('a'))",
}


@pytest.mark.parametrize("call", TYPES)
def test_the_type_is_resolved_at_analysis(spark, call):
    sql = spark()
    sql.table("t", SCHEMA, ROWS)
    assert sql.type_of(f"SELECT {call} FROM t") == TYPES[call]
    assert sql.server.calls == 0


@pytest.mark.parametrize("problem", REJECTED)
def test_wrong_arguments_are_rejected_at_analysis_with_their_position(spark, problem):
    sql = spark()
    sql.table("t", SCHEMA, ROWS)
    with pytest.raises(Exception, match=f"(?s){problem}.*line 1 pos 7"):
        sql.session.sql(f"SELECT {REJECTED[problem]} FROM t")
    assert sql.server.calls == 0


def test_values_of_every_type(spark):
    answer = {
        "i": 7,
        "d": "1.25",
        "day": "2026-01-02",
        "at": "2026-01-02T03:04:05",
        "on": True,
        "xs": [1.5],
        "m": {"k": "v"},
    }
    sql = spark(lambda _: json.dumps(answer))
    sql.table("t", SCHEMA, ROWS[:2])
    ddl = "i INT, d DECIMAL(4,2), day DATE, at TIMESTAMP_NTZ, on BOOLEAN, xs ARRAY<DOUBLE>, m MAP<STRING, STRING>"
    rows = sql.collect(
        f"SELECT a.*, a IS NULL FROM (SELECT id, ai_query('m', s, returnType => '{ddl}') a FROM t) ORDER BY id"
    )
    assert [str(value) for value in rows[0]] == [
        "7", "1.25", "2026-01-02", "2026-01-02 03:04:05", "True", "[1.5]", "{'k': 'v'}", "False",
    ]  # fmt: skip
    assert rows[1][-1] is True


def test_null_sends_no_request_and_equal_rows_are_one_call(spark):
    sql = spark()
    sql.table("t", SCHEMA, [*ROWS, (4, "a")])
    assert sql.collect("SELECT id, ai_query('m', s) FROM t ORDER BY id") == [
        (1, "echo: a"), (2, None), (3, "echo: bb"), (4, "echo: a"),
    ]  # fmt: skip
    assert sql.server.calls_by_prompt["bb"] == 1


def test_every_ai_function(spark):
    sql = spark()
    sql.table("t", SCHEMA, ROWS)
    classes = sql.collect("SELECT ai_classify(s, ARRAY('x', 'y')) FROM t ORDER BY id")
    assert classes == [("x",), (None,), ("x",)]
    labels = "ai_classify(s, '[\"x\", \"y\"]', map('multilabel', 'false'))"
    first_label = f"variant_get({labels}, '$.response[0]', 'string')"
    classes = sql.collect(f"SELECT {first_label} FROM t ORDER BY id")
    assert classes == [("x",), (None,), ("x",)]
    rows = sql.collect("SELECT ai_embed(s) FROM t ORDER BY id")
    sizes = [vector and len(vector) for (vector,) in rows]
    assert sizes == [8, None, 8]
    assert sql.collect("SELECT ai_similarity(s, 'bb') FROM t WHERE id = 3") == [(1.0,)]
    translated = sql.collect("SELECT ai_translate(s, 'es') FROM t WHERE id = 1")
    assert translated == [("echo: Into Spanish: a",)]
    aggregated = sql.collect("SELECT ai_agg(s, 'What?') FROM t")
    assert aggregated == [('echo: Texts, one JSON string per line:\n- "a"\n- "bb"',)]
    grouped = sql.collect("SELECT id % 2, ai_summarize_agg(s) FROM t GROUP BY 1 ORDER BY 1")
    assert grouped == [(0, None), (1, 'echo: Texts, one JSON string per line:\n- "a"\n- "bb"')]


def test_errors_fail_the_query_or_are_values_or_null(spark):
    from aiquery.testing import Answer

    def reply(question):
        if "bad" in question.prompt:
            return Answer(status=400, text="cannot read it")
        return f"ok {question.prompt}"

    sql = spark(reply)
    sql.table("t", SCHEMA, [(1, "good"), (2, "bad"), (3, None)])
    with pytest.raises(Exception, match="endpoint 'm': HTTP 400: cannot read it"):
        sql.collect("SELECT ai_query('m', s) FROM t")
    rows = sql.collect("SELECT ai_query('m', s, failOnError => false) FROM t ORDER BY id")
    values = [value for (value,) in rows]
    assert [value["result"] for value in values] == ["ok good", None, None]
    assert [value["errorMessage"] is None for value in values] == [True, False, True]
    rows = sql.collect("SELECT TRY(ai_query('m', s)) FROM t ORDER BY id")
    assert rows == [("ok good",), (None,), (None,)]
    rows = sql.collect("SELECT TRY(1 / 0), TRY(upper(ai_query('m', 'x')))")
    assert rows == [(None, "OK X")]


def test_executors_read_the_key_and_name_a_missing_one(spark):
    sql = spark(api_key_env="NO_SUCH_KEY")
    sql.table("t", SCHEMA, ROWS)
    frame = sql.session.sql("SELECT ai_query('m', s) FROM t")
    assert "NO_SUCH_KEY" not in frame._jdf.queryExecution().toString()
    with pytest.raises(Exception, match="NO_SUCH_KEY, which is not set"):
        frame.collect()
    assert sql.server.calls == 0
