"""Replies that are errors, repair, failOnError and TRY: a failed row does not affect the others."""

import re

import pytest

from aiquery.testing import Answer

BAD = {
    "empty choices": Answer(body=b'{"choices": []}'),
    "no choices": Answer(body=b"{}"),
    "error object": Answer(body=b'{"error": {"message": "overloaded inside"}}'),
    "content filter": Answer(finish_reason="content_filter"),
    "refusal": Answer(body=b'{"choices": [{"message": {"refusal": "I will not"}}]}'),
    "no text": Answer(body=b'{"choices": [{"message": {"content": null}}]}'),
    "bad request": Answer(status=400, text="too long for me"),
    "unauthorised": Answer(status=401),
    "not found": Answer(status=404),
}


def fail_bad(answer):
    return lambda q: answer if "bad" in q.prompt else f"ok {q.prompt}"


@pytest.mark.parametrize("name", BAD)
def test_a_row_error_is_a_value(engine, serve, name):
    server = serve(fail_bad(BAD[name]))
    sql = engine(m=server.endpoint())
    sql.table(id=[1, 2, 3], s=["a", "bad", "c"])
    rows = sql.rows("SELECT ai_query('m', s, failOnError => false) FROM t ORDER BY id")
    assert rows[0] == ({"result": "ok a", "errorMessage": None},)
    assert rows[2] == ({"result": "ok c", "errorMessage": None},)
    assert rows[1][0]["result"] is None
    assert re.search(r"SQLSTATE: 08000", rows[1][0]["errorMessage"])
    assert server.calls == 3  # never retried


@pytest.mark.parametrize("name", ["bad request", "empty choices"])
def test_a_row_error_fails_the_query(engine, serve, name):
    server = serve(fail_bad(BAD[name]))
    sql = engine(m=server.endpoint())
    sql.table(s=["a", "bad", "c"])
    with pytest.raises(sql.errors, match="endpoint 'm'"):
        sql.rows("SELECT ai_query('m', s) FROM t")
    sql.rows("SELECT ai_query('m', s) FROM t WHERE s <> 'bad'")
    # the answers of the failed query are in the cache
    assert server.calls_by_prompt == {"a": 1, "bad": 1, "c": 1}


def test_try_returns_null_for_failed_rows_only(engine, serve):
    server = serve(fail_bad(BAD["bad request"]))
    sql = engine(m=server.endpoint())
    texts = [f"bad {i}" if i % 10 == 0 else f"{i}" for i in range(100)]
    sql.table(id=list(range(100)), s=texts)
    rows = sql.rows("SELECT id, TRY(ai_query('m', s)) FROM t ORDER BY id")
    assert rows == [(i, None if i % 10 == 0 else f"ok {i}") for i in range(100)]
    assert max(server.calls_by_prompt.values()) == 1
    assert server.calls == 100


def test_a_failed_row_is_requested_again_by_the_next_statement(engine, serve):
    server = serve(lambda _: Answer(status=400))
    sql = engine(m=server.endpoint())
    sql.table(s=["a"])
    query = "SELECT TRY(ai_query('m', s)) FROM t"
    assert sql.rows(query) == [(None,)]
    server.reply = lambda _: "fine"
    assert sql.rows(query) == [("fine",)]


def test_an_unreadable_reply_is_repaired_once(engine, serve):
    def reply(question):
        return '{"result": 5}' if len(question.body["messages"]) > 1 else "about five"

    server = serve(reply)
    sql = engine(m=server.endpoint())
    sql.table(s=["how many?"])
    assert sql.rows("SELECT ai_query('m', s, returnType => 'INT') FROM t") == [(5,)]
    assert server.calls == 2
    messages = server.requests[1].body["messages"]
    assert messages[1] == {"role": "assistant", "content": "about five"}
    assert "not JSON" in messages[2]["content"]


def test_a_reply_that_is_unreadable_twice_is_a_row_error(engine, serve):
    server = serve(lambda _: '{"result": "many"}')
    sql = engine(m=server.endpoint())
    sql.table(s=["how many?"])
    ((value,),) = sql.rows("SELECT ai_query('m', s, returnType => 'INT', failOnError => false) FROM t")
    assert value["result"] is None
    assert value["errorMessage"].startswith("[AI_FUNCTION_HTTP_PARSE_CAST_ERROR]")
    assert value["errorMessage"].endswith("SQLSTATE: 2203G")
    assert server.calls == 2


def test_truncated_json_is_never_parsed(engine, serve):
    server = serve(lambda _: Answer(text='{"result": [1, 2]}', finish_reason="length"))
    sql = engine(m=server.endpoint())
    sql.table(s=["q"])
    ((value,),) = sql.rows("SELECT ai_query('m', s, returnType => 'ARRAY<INT>', failOnError => false) FROM t")
    assert "max_tokens" in value["errorMessage"]
    assert server.calls == 1
    # a truncated plain text is an answer
    assert sql.rows("SELECT ai_query('m', s) FROM t") == [('{"result": [1, 2]}',)]


def test_a_schema_violation_is_a_row_error(engine, serve):
    server = serve(lambda _: '{"mood": "angry"}')
    sql = engine(m=server.endpoint())
    sql.table(s=["q"])
    schema = (
        '{"type":"json_schema","json_schema":{"name":"m","schema":{"type":"object","properties":'
        '{"mood":{"enum":["good","bad"]}},"required":["mood"]}}}'
    )
    ((value,),) = sql.rows(f"SELECT ai_query('m', s, responseFormat => '{schema}', failOnError => false) FROM t")
    assert "violates the schema" in value["errorMessage"]
    assert server.calls == 2
