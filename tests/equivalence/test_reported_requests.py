"""Statements that once sent other requests than they need, or other texts; one of each kind."""

import duckdb
import msgspec
import pyarrow as pa
import pytest

import aiquery
from aiquery import registry
from aiquery.requests.request import Response
from aiquery.testing import Answer
from in_process import InProcess

METHODS = ("execute", "sql")


DEPENDENT = {
    "coalesce": "SELECT ai_query('m', coalesce(r, 'none')) FROM (SELECT ai_query('m', s) AS r FROM t)",
    "concat": "SELECT ai_query('m', concat('second ', r)) FROM (SELECT ai_query('m', s) AS r FROM t)",
    "case": "SELECT ai_query('m', CASE WHEN r = 'yes' THEN 'a' WHEN r = 'no' THEN 'b' ELSE 'none' END) FROM (SELECT ai_query('m', s) AS r FROM t)",
    "key of a group": "SELECT r, ai_query('m', string_agg(s, ',' ORDER BY s)) FROM (SELECT s, ai_query('m', s) AS r FROM t) GROUP BY r",
    "count": "SELECT ai_query('m', 'n' || c) FROM (SELECT count(r) AS c FROM (SELECT ai_query('m', s) AS r FROM t))",
    "window": "SELECT ai_query('m', s || rn) FROM (SELECT s, row_number() OVER (PARTITION BY r ORDER BY s) AS rn FROM (SELECT s, ai_query('m', s) AS r FROM t))",
    "except": "SELECT ai_query('m', x) FROM (SELECT 'yes' AS x EXCEPT SELECT ai_query('m', s) FROM t)",
    "anti join": "SELECT ai_query('m', x) FROM (SELECT 'yes' AS x) a ANTI JOIN (SELECT ai_query('m', s) AS r FROM t) b ON a.x = b.r",
    "renamed": "WITH c(id, answer) AS (SELECT id, ai_query('m', s) FROM t) SELECT ai_query('m', coalesce(answer, 'none')) FROM c",
    "using": "SELECT ai_query('m', 'k' || k) FROM (SELECT ai_query('m', s) AS r, id AS k FROM t) JOIN (SELECT 'yes' AS r) USING (r)",
    "nested": "SELECT ai_query('m', coalesce(ai_query('m', s), 'none')) FROM t",
    "whole row": "SELECT ai_query('m', coalesce((q).r, 'none')) FROM (SELECT ai_query('m', s) AS r FROM t) AS q",
}


@pytest.mark.parametrize("name", DEPENDENT)
def test_only_the_requests_of_the_statement_are_sent(connect, serve, name):
    def reply(question):
        if "none" in question.prompt:
            return Answer(status=400)
        return "yes" if question.prompt[-1:] in "02468" else "no"

    results = []
    sent = []
    for method in METHODS:
        server = serve(reply)
        con = connect(m=server.endpoint(hedge=False))
        con.execute("CREATE TABLE t AS SELECT i AS id, 'text ' || i AS s FROM range(5) r(i)")
        results.append(sorted(getattr(con, method)(DEPENDENT[name]).fetchall()))
        sent.append(set(server.calls_by_prompt))
        assert max(server.calls_by_prompt.values(), default=1) == 1
    assert results[0] == results[1]
    assert sent[1] <= sent[0]


def test_the_requests_of_inner_and_outer_calls_use_all_slots(connect, serve):
    server = serve(latency=0.2)
    con = connect(m=server.endpoint(hedge=False, max_concurrency=512))
    con.execute("CREATE TABLE t AS SELECT 'text ' || i AS s FROM range(5000) r(i)")
    con.sql("SELECT ai_query('m', 'again ' || r) FROM (SELECT ai_query('m', s) AS r FROM t)")
    assert server.calls == 10_000
    assert server.peak_in_flight == 512


UNREPEATABLE = {
    "now()": "SELECT ai_query('m', 'At ' || now() || ' row ' || i) FROM range(5000) r(i)",
    "a macro over random()": "SELECT ai_query('m', i || ' row ' || dice()) FROM range(5000) r(i)",
    "a macro over nextval()": "SELECT ai_query('m', 'n' || nx()) FROM range(5000) r(i)",
    "a view over nextval()": "SELECT n, ai_query('m', 'n' || n) FROM v",
    "a view over a sample": "SELECT ai_query('m', 'n' || i) FROM w",
    "a group's texts": "SELECT g, ai_query('m', string_agg(s, ',')) FROM (SELECT i % 5000 AS g, i::VARCHAR AS s FROM range(200000) r(i)) GROUP BY g",
    "first": "SELECT g, ai_query('m', first(s)) FROM (SELECT i % 5000 AS g, i::VARCHAR AS s FROM range(200000) r(i)) GROUP BY g",
    "an average": "SELECT g, ai_query('m', g || ' ' || avg(x)) FROM (SELECT i % 5000 AS g, i / 7 AS x FROM range(200000) r(i)) GROUP BY g",
}


@pytest.mark.parametrize("name", UNREPEATABLE)
def test_a_source_with_other_rows_at_each_read_is_read_once(con, server, name):
    con.execute("SET threads = 4")
    con.execute("CREATE SEQUENCE sq; CREATE SEQUENCE sq2")
    con.execute("CREATE MACRO dice() AS random(); CREATE MACRO nx() AS nextval('sq')")
    con.execute("CREATE VIEW v AS SELECT nextval('sq2') AS n FROM range(5000)")
    con.execute("CREATE VIEW w AS SELECT * FROM range(100000) r(i) USING SAMPLE 5000 ROWS")
    assert len(con.sql(UNREPEATABLE[name]).fetchall()) == 5000
    assert server.calls == 5000
    next_of_macro = 5001 if name == "a macro over nextval()" else 1
    next_of_view = 5001 if name == "a view over nextval()" else 1
    assert con.execute("SELECT nextval('sq')").fetchall() == [(next_of_macro,)]
    assert con.execute("SELECT nextval('sq2')").fetchall() == [(next_of_view,)]


def test_a_python_function_with_side_effects_is_called_once_for_each_row(con, server):
    texts = []

    def record(text):
        texts.append(text)
        return text

    con.create_function("record", record, ["VARCHAR"], "VARCHAR", side_effects=True)
    con.sql("SELECT ai_query('m', record(i::VARCHAR)) FROM range(3000) r(i)")
    assert len(texts) == server.calls == 3000


@pytest.mark.parametrize("method", METHODS)
def test_a_source_that_can_be_read_only_once(con, method):
    run = getattr(con, method)
    reader = pa.table({"s": ["a", "b"]}).to_reader()  # noqa: F841  DuckDB finds it by name
    rows = run("SELECT ai_query('m', s) FROM reader").fetchall()
    assert rows == [("no",), ("no",)]
    con.register("stream", pa.table({"s": ["a", "b"]}).to_reader())
    rows = run("SELECT ai_query('m', s) FROM stream").fetchall()
    assert rows == [("no",), ("no",)]


WITHOUT_REQUESTS = {
    "a table that exists": "CREATE TABLE IF NOT EXISTS t AS SELECT ai_query('m', s) AS r FROM t",
    "no data": "CREATE TABLE made AS SELECT ai_query('m', s) AS r FROM t WITH NO DATA",
    "a branch that is never taken": "SELECT CASE WHEN false THEN ai_query('m', 'never') END",
    "a condition that is never true": "SELECT ai_query('m', 'never') FROM t WHERE 1 = 0",
    "a default": "CREATE TABLE made (a INTEGER, r VARCHAR DEFAULT ai_query('m', 'x'))",
}


@pytest.mark.parametrize("name", WITHOUT_REQUESTS)
def test_a_statement_that_needs_no_answer_sends_no_request(con, server, name):
    con.sql(WITHOUT_REQUESTS[name])
    assert server.calls == 0


def test_create_table_of_an_existing_table_sends_no_request(con, server):
    with pytest.raises(duckdb.CatalogException):
        con.sql("CREATE TABLE t AS SELECT ai_query('m', s) AS r FROM t")
    assert server.calls == 0


def test_a_default_sends_its_request_when_a_row_is_written(con, server):
    con.sql("CREATE TABLE made (a INTEGER, r VARCHAR DEFAULT ai_query('m', 'x'))")
    rows = con.sql("INSERT INTO made (a) VALUES (1) RETURNING r").fetchall()
    assert rows == [("no",)]
    assert server.calls == 1


VALUES = {
    "sum(id)": "66",
    "bool_and(id >= 0)": "true",
    "max('00000000-0000-0000-0000-00000000000a'::UUID)": "00000000-0000-0000-0000-00000000000a",
    "max(id)::UHUGEINT": "11",
    "max(0.1::FLOAT)": "0.1",
    "max(1.50::DECIMAL(38, 10))": "1.5000000000",
    "max(0.0000000001::DECIMAL(38, 10))": "0.0000000001",
    "max(TIMESTAMP '2020-01-02 03:04:05.600')": "2020-01-02 03:04:05.6",
    "max(TIMESTAMP_NS '2020-01-02 03:04:05')": "2020-01-02 03:04:05",
    "max(DATE '12345-01-02')": "12345-01-02",
    "max(INTERVAL '14 months 49 hours 1.5 seconds')": "P1Y2M2DT1H1.5S",
    "max('x'::ENUM('x', 'y'))": "x",
    "max('{\"a\": 1}'::JSON)": '{"a": 1}',
    "{'b': [1, NULL], 'a': 'x'}::VARIANT": '{"a":"x","b":[1,null]}',
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("value", VALUES)
def test_a_value_makes_the_same_text_with_execute_and_sql(con, server, value, method):
    source = "FROM t" if "max(" in value or "(" in value[:9] else ""
    statement = f"SELECT ai_gen({value}), sum(1::HUGEINT) {source}"
    getattr(con, method)(statement).fetchall()
    assert server.prompts == [VALUES[value]]


class Custom(InProcess):
    """A custom endpoint in the process, which records what it receives."""

    slots = 4
    received = []

    async def complete(self, request):
        self.received.append(msgspec.json.encode(request.content).decode())
        return Response(value="ok")


def test_a_record_makes_the_same_json_with_execute_and_sql(monkeypatch):
    provider = registry.provider
    monkeypatch.setattr(registry, "provider", lambda name: Custom if name == "fake" else provider(name))
    record = (
        "{'whole': sum(id), 'exact': 12345678901234.50::DECIMAL(20, 2), 'short': 0.1::FLOAT, 'flag': bool_and(true), "
        "'day': DATE '20000-01-02', 'at': TIMESTAMP_NS '2020-01-02 03:04:05.5', 'key': "
        "'00000000-0000-0000-0000-00000000000a'::UUID, 'bytes': 'ab'::BLOB, 'list': [1, NULL], 'map': MAP {'k': 1}}"
    )
    endpoint = {"provider": "fake", "task": "custom", "return_type": "STRING"}
    config = {"endpoints": {"c": endpoint}, "cache": {"store": "memory:"}}
    statement = f"SELECT ai_query('c', {record}), sum(1::HUGEINT) FROM range(4) t(id)"
    with aiquery.connect(config=config) as con:
        for method in METHODS:
            getattr(con, method)(statement).fetchall()
    (received,) = Custom.received
    assert received == (
        '{"whole":6,"exact":12345678901234.50,"short":0.1,"flag":true,"day":"20000-01-02","at":"2020-01-02 03:04:05.5",'
        '"key":"00000000-0000-0000-0000-00000000000a","bytes":"YWI=","list":[1,null],"map":{"k":1}}'
    )
