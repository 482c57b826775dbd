"""Sixty-four query shapes: correct rows, and not more calls than the measured minimum and the estimate.

The shapes and the counts are measurements (``query_shapes.json``): ``{f}`` is the function under test, over
``t(id, s, g, sent, d)`` with 20,000 rows, ``u(id, k)`` with 1,000, ``o2(id, r)`` and the view ``v``.
"""

import json
from pathlib import Path

import duckdb
import pytest

import aiquery
from in_process import InProcess

SHAPES = json.loads((Path(__file__).parent / "query_shapes.json").read_text())
TABLES = """
CREATE TABLE t AS SELECT i AS id, 'text ' || i AS s, i % 100 AS g, CASE WHEN i % 4 = 0 THEN NULL ELSE 'old' END AS sent,
  'dup ' || (i % 50) AS d FROM range(20000) r(i);
CREATE TABLE u AS SELECT i AS id, i % 10 AS k FROM range(1000) r(i);
CREATE TABLE o2(id BIGINT, r VARCHAR);
"""
# In the measurements, `dup 1` and `dup 2` were answered 'pos' and `dup 0` 'neg'.
ANSWER = "CASE WHEN right({text}, 1) IN ('0', '5') THEN 'neg' ELSE 'pos' END"


class Scripted(InProcess):
    """A provider in the process: 'neg' for texts that end in 0 or 5, 'pos' for others."""

    slots = 256

    async def complete(self, request):
        from aiquery.requests.request import Response

        return Response(text="neg" if request.content[-1:] in {"0", "5"} else "pos")


def insert_functions(sql, first, second):
    sql = sql.format(f="__F").replace("__F2(", second)
    return sql.replace("__F(", first)


@pytest.fixture
def con(monkeypatch):
    from aiquery import registry

    provider = registry.provider
    monkeypatch.setattr(registry, "provider", lambda name: Scripted if name == "fake" else provider(name))
    endpoints = {"m": {"provider": "fake"}, "m2": {"provider": "fake"}}
    con = aiquery.connect(config={"endpoints": endpoints})
    con.execute(TABLES)
    con.execute("CREATE TEMP VIEW v AS SELECT id, ai_query('m', s) AS r FROM t")
    yield con
    con.close()


@pytest.fixture
def reference():
    """Plain DuckDB, where the function is an ordinary expression: the rows of a call for each row."""
    con = duckdb.connect()
    con.execute(TABLES)
    con.execute(f"CREATE TEMP MACRO ai(x) AS CASE WHEN x IS NULL THEN NULL ELSE {ANSWER.format(text='x')} END")
    con.execute("CREATE TEMP VIEW v AS SELECT id, ai(s) AS r FROM t")
    yield con
    con.close()


def run(con, sql):
    """Return the rows of a statement, and those of each table that it writes."""
    relation = con.sql(sql)
    # plain DuckDB returns the number of rows that it wrote
    has_rows = relation is not None and relation.columns != ["Count"]
    rows = relation.fetchall() if has_rows else []
    for table in ("o", "o2", "t"):
        writes = (f"table {table} ", f"into {table} ", f"update {table} ")
        if any(words in sql for words in writes):
            rows += con.sql(f"FROM {table}").fetchall()
    return rows


@pytest.mark.parametrize("shape", SHAPES, ids=[shape["shape"] for shape in SHAPES])
def test_shape(con, reference, shape):
    sql = shape["sql"]
    statement = insert_functions(sql, "ai_query('m', ", "ai_query('m2', ")
    estimate = con.estimate(statement)
    assert len(con.ledger) == 0
    rows = run(con, statement)
    requests = len(con.ledger)
    assert requests <= shape["calls_with_layer"]
    if estimate.exact:
        assert estimate.requests == requests
    else:
        assert estimate.requests <= requests
    expected = run(reference, insert_functions(sql, "ai(", "ai("))
    if "sample" in sql or ("limit" in sql and "order by" not in sql):
        assert len(rows) == len(expected)  # the engine chooses the rows
    elif "order by r limit" in sql:
        assert [row[1] for row in rows] == [row[1] for row in expected]
    else:
        assert sorted(map(repr, rows)) == sorted(map(repr, expected))
