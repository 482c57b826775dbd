"""The provider and the function, used as a statement uses them."""

import shlex
import sys
import time

import aiquery
import pyarrow as pa
import pytest
from aiquery import functions
from aiquery.testing import EndpointServer

from aiquery_example.keywords import AI_KEYWORDS

UPPER = "import sys; print(sys.stdin.read().upper())"
FAIL = "import sys; sys.exit('no model')"
WAIT = "import time; time.sleep(60)"


def endpoint(code, **settings):
    command = shlex.join([sys.executable, "-c", code])
    return {"provider": "command", "options": {"command": command}, **settings}


@pytest.fixture
def connect():
    opened = []

    def open_connection(row):
        config = {
            "endpoints": {"m": row},
            "defaults": {"chat": "m"},
            "cache": {"store": "memory:"},
        }
        opened.append(aiquery.connect(config=config))
        return opened[-1]

    yield open_connection
    for con in opened:
        con.close()


def test_a_command_answers_each_distinct_text_once(connect):
    con = connect(endpoint(UPPER))
    rows = con.sql(
        "SELECT ai_query('m', s) FROM (VALUES ('one'), (NULL), ('one')) t(s)"
    )
    assert rows.fetchall() == [("ONE",), (None,), ("ONE",)]
    assert aiquery.last_run().requests == 1


def test_a_command_that_fails_is_the_error_of_its_row(connect):
    con = connect(endpoint(FAIL))
    assert con.sql("SELECT TRY(ai_query('m', 'one'))").fetchall() == [(None,)]
    with pytest.raises(aiquery.RowError, match="status 1: no model"):
        con.sql("SELECT ai_query('m', 'one')")


def test_a_command_that_takes_too_long_is_killed(connect):
    con = connect(endpoint(WAIT, timeout={"attempt_s": 0.5}, max_attempts=1))
    started = time.monotonic()
    with pytest.raises(aiquery.RowError, match=r"no answer within 0\.5 s"):
        con.sql("SELECT ai_query('m', 'one')")
    assert time.monotonic() - started < 30


@pytest.mark.parametrize("options", [{}, {"command": "no-such-program --fast"}])
def test_an_unusable_command_is_an_error_before_the_first_request(connect, options):
    con = connect({"provider": "command", "options": options})
    with pytest.raises(aiquery.ConfigError, match=r"command|not found"):
        con.sql("SELECT ai_query('m', 'one')")


def test_keywords_are_a_list_of_distinct_texts():
    with EndpointServer(lambda _: '{"result": ["late", "late", "parcel"]}') as server:
        config = {"endpoints": {"m": server.endpoint()}, "cache": {"store": "memory:"}}
        with aiquery.connect(config=config) as con:
            rows = con.sql("SELECT ai_keywords('It is late', endpoint => 'm') AS k")
            assert rows.fetchall() == [(["late", "parcel"],)]
            rows = con.sql("SELECT ai_keywords('It is late', 1, endpoint => 'm') AS k")
            assert rows.fetchall() == [(["late"],)]
        (schema,) = {
            str(question.body["response_format"]) for question in server.requests
        }
        assert "array" in schema


def test_a_wrong_constant_is_an_error_before_the_first_request(connect):
    con = connect({"provider": "fake"})
    with pytest.raises(aiquery.ArgumentError, match="max_keywords must be an integer"):
        con.sql("SELECT ai_keywords('text', 0)")


def test_keywords_of_a_data_frame():
    row = {"provider": "fake", "options": {"reply": '["a", "b"]'}}
    config = {"endpoints": {"m": row}, "cache": {"store": "memory:"}}
    frame = pa.table({"message": ["some text", None]})
    column = functions.keywords(frame, "message", endpoint="m", config=config)
    assert column.to_pylist() == [["a", "b"], None]


@pytest.mark.parametrize("example", AI_KEYWORDS.examples)
def test_the_examples_show_what_they_say(connect, example):
    con = connect({"provider": "fake", "options": {"reply": example.reply}})
    ((value,),) = con.sql(example.sql, dialect="databricks").fetchall()
    assert str(value) == example.shows
