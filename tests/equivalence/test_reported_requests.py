"""Statements that once sent other requests than they need, or other texts; each stands for a kind."""

import msgspec
import pyarrow as pa
import pytest

import aiquery
import duckdb
from aiquery import registry
from aiquery.requests.request import Response
from aiquery.testing import Answer
from in_process import InProcess

HOW = ("execute", "sql")


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
    seen, sent = [], []
    for how in HOW:
        server = serve(
            lambda q: (
                Answer(status=400)
                if "none" in q.prompt
                else "yes"
                if q.prompt[-1:] in "02468"
                else "no"
            )
        )
        con = connect(m=server.endpoint(hedge=False))
        con.execute(
            "CREATE TABLE t AS SELECT i AS id, 'text ' || i AS s FROM range(5) r(i)"
        )
        seen.append(sorted(getattr(con, how)(DEPENDENT[name]).fetchall()))
        sent.append(set(server.calls_by_prompt))
        assert max(server.calls_by_prompt.values(), default=1) == 1
    assert seen[0] == seen[1]
    assert sent[1] <= sent[0]


def test_a_call_about_an_answer_is_asked_after_the_first_ones_were_asked_at_once(
    connect, serve
):
    server = serve(latency=0.2)
    con = connect(m=server.endpoint(hedge=False, max_concurrency=512))
    con.execute("CREATE TABLE t AS SELECT 'text ' || i AS s FROM range(5000) r(i)")
    con.sql(
        "SELECT ai_query('m', 'again ' || r) FROM (SELECT ai_query('m', s) AS r FROM t)"
    )
    assert server.calls == 10_000
    assert server.peak_in_flight == 512


ONCE = {
    "now()": "SELECT ai_query('m', 'At ' || now() || ' row ' || i) FROM range(5000) r(i)",
    "a macro over random()": "SELECT ai_query('m', i || ' row ' || dice()) FROM range(5000) r(i)",
    "a macro over nextval()": "SELECT ai_query('m', 'n' || nx()) FROM range(5000) r(i)",
    "a view over nextval()": "SELECT n, ai_query('m', 'n' || n) FROM v",
    "a view over a sample": "SELECT ai_query('m', 'n' || i) FROM w",
    "a group's texts": "SELECT g, ai_query('m', string_agg(s, ',')) FROM (SELECT i % 5000 AS g, i::VARCHAR AS s FROM range(200000) r(i)) GROUP BY g",
    "first": "SELECT g, ai_query('m', first(s)) FROM (SELECT i % 5000 AS g, i::VARCHAR AS s FROM range(200000) r(i)) GROUP BY g",
    "an average": "SELECT g, ai_query('m', g || ' ' || avg(x)) FROM (SELECT i % 5000 AS g, i / 7 AS x FROM range(200000) r(i)) GROUP BY g",
}


@pytest.mark.parametrize("name", ONCE)
def test_what_reads_otherwise_the_second_time_is_read_once(con, server, name):
    con.execute("SET threads = 4")
    con.execute("CREATE SEQUENCE sq; CREATE SEQUENCE sq2")
    con.execute("CREATE MACRO dice() AS random(); CREATE MACRO nx() AS nextval('sq')")
    con.execute("CREATE VIEW v AS SELECT nextval('sq2') AS n FROM range(5000)")
    con.execute(
        "CREATE VIEW w AS SELECT * FROM range(100000) r(i) USING SAMPLE 5000 ROWS"
    )
    assert len(con.sql(ONCE[name]).fetchall()) == 5000
    assert server.calls == 5000
    advanced = {"a macro over nextval()": 5001, "a view over nextval()": 1}.get(name, 1)
    assert con.execute("SELECT nextval('sq')").fetchall() == [(advanced,)]
    assert con.execute("SELECT nextval('sq2')").fetchall() == [
        (5001 if name == "a view over nextval()" else 1,)
    ]


def test_a_python_function_with_side_effects_is_called_once_a_row(con, server):
    seen = []
    con.create_function(
        "noted",
        lambda text: seen.append(text) or text,
        ["VARCHAR"],
        "VARCHAR",
        side_effects=True,
    )
    con.sql("SELECT ai_query('m', noted(i::VARCHAR)) FROM range(3000) r(i)")
    assert len(seen) == server.calls == 3000


@pytest.mark.parametrize("how", HOW)
def test_a_source_that_can_be_read_once(con, how):
    reader = pa.table({"s": ["a", "b"]}).to_reader()  # noqa: F841  read by name
    assert getattr(con, how)("SELECT ai_query('m', s) FROM reader").fetchall() == [
        ("no",),
        ("no",),
    ]
    con.register("stream", pa.table({"s": ["a", "b"]}).to_reader())
    assert getattr(con, how)("SELECT ai_query('m', s) FROM stream").fetchall() == [
        ("no",),
        ("no",),
    ]


NOTHING = {
    "a table that exists": "CREATE TABLE IF NOT EXISTS t AS SELECT ai_query('m', s) AS r FROM t",
    "no data": "CREATE TABLE made AS SELECT ai_query('m', s) AS r FROM t WITH NO DATA",
    "a branch that is never taken": "SELECT CASE WHEN false THEN ai_query('m', 'never') END",
    "a condition that is never true": "SELECT ai_query('m', 'never') FROM t WHERE 1 = 0",
    "a default": "CREATE TABLE made (a INTEGER, r VARCHAR DEFAULT ai_query('m', 'x'))",
}


@pytest.mark.parametrize("name", NOTHING)
def test_nothing_is_asked_for_nothing(con, server, name):
    con.sql(NOTHING[name])
    assert server.calls == 0


def test_a_table_that_exists_and_may_not_asks_nothing(con, server):
    with pytest.raises(duckdb.CatalogException):
        con.sql("CREATE TABLE t AS SELECT ai_query('m', s) AS r FROM t")
    assert server.calls == 0


def test_a_default_is_asked_when_a_row_is_written(con, server):
    con.sql("CREATE TABLE made (a INTEGER, r VARCHAR DEFAULT ai_query('m', 'x'))")
    assert con.sql("INSERT INTO made (a) VALUES (1) RETURNING r").fetchall() == [
        ("no",)
    ]
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


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("value", VALUES)
def test_a_value_is_the_same_text_however_it_is_asked(con, server, value, how):
    source = "FROM t" if "max(" in value or "(" in value[:9] else ""
    getattr(con, how)(f"SELECT ai_gen({value}), sum(1::HUGEINT) {source}").fetchall()
    assert server.prompts == [VALUES[value]]


class Custom(InProcess):
    """A custom endpoint in the process, which notes the records that it is given."""

    slots = 4
    seen = []

    async def complete(self, request):
        self.seen.append(msgspec.json.encode(request.content).decode())
        return Response(value="ok")


def test_a_record_holds_the_same_json_however_it_is_asked(monkeypatch):
    real = registry.provider
    monkeypatch.setattr(
        registry, "provider", lambda name: Custom if name == "fake" else real(name)
    )
    record = (
        "{'whole': sum(id), 'exact': 12345678901234.50::DECIMAL(20, 2), 'short': 0.1::FLOAT, 'flag': bool_and(true), "
        "'day': DATE '20000-01-02', 'at': TIMESTAMP_NS '2020-01-02 03:04:05.5', 'key': "
        "'00000000-0000-0000-0000-00000000000a'::UUID, 'bytes': 'ab'::BLOB, 'list': [1, NULL], 'map': MAP {'k': 1}}"
    )
    endpoint = {"provider": "fake", "task": "custom", "return_type": "STRING"}
    with aiquery.connect(
        config={"endpoints": {"c": endpoint}, "cache": {"store": "memory:"}}
    ) as con:
        for how in HOW:
            getattr(con, how)(
                f"SELECT ai_query('c', {record}), sum(1::HUGEINT) FROM range(4) t(id)"
            ).fetchall()
    (seen,) = Custom.seen
    assert seen == (
        '{"whole":6,"exact":12345678901234.50,"short":0.1,"flag":true,"day":"20000-01-02","at":"2020-01-02 03:04:05.5",'
        '"key":"00000000-0000-0000-0000-00000000000a","bytes":"YWI=","list":[1,null],"map":{"k":1}}'
    )
