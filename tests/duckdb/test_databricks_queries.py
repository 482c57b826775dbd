"""Queries of Databricks SQL whose rows DuckDB would not give: pipes, VALUES, ranges, structs, indices, PIVOT."""

import duckdb
import pytest


@pytest.fixture
def con(connect, endpoint):
    con = connect(m=endpoint.endpoint())
    con.execute("CREATE TABLE t AS SELECT i AS id, 'text ' || i AS s FROM range(5) r(i)")
    return con


def run(con, sql):
    return con.sql(sql, dialect="databricks").fetchall()


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("FROM t |> LIMIT 2 |> WHERE id > 0 |> SELECT id", [(1,)]),
        ("FROM t AS x |> ORDER BY id DESC |> LIMIT 3 |> ORDER BY x.id |> LIMIT 1 |> SELECT id", [(2,)]),
        ("SELECT s, count(*) AS n FROM t GROUP BY s |> WHERE n = 1 |> AGGREGATE count(*) AS m", [(5,)]),
        ("FROM t |> SELECT DISTINCT id % 2 AS p |> ORDER BY p", [(0,), (1,)]),
        ("FROM t |> SET id = id + 1 |> DROP s |> LIMIT 1", [(1,)]),
        ("FROM t |> WHERE id > 3 |> FULL JOIN t AS w ON t.id = w.id |> AGGREGATE count(*) AS n", [(5,)]),
        ("FROM t |> UNION ALL TABLE t |> AGGREGATE count(*) AS n", [(10,)]),
        ("FROM t |> WHERE id < 2 |> PIVOT (count(s) FOR id IN (0, 1, 2))", [(1, 1, None)]),
        ("FROM t |> LIMIT 3 |> EXTEND row_number() OVER (ORDER BY id DESC) AS r |> WHERE r = 1 |> SELECT id", [(2,)]),
        ("TABLE t |> WHERE id = 1 |> SELECT s", [("text 1",)]),
        ("FROM t |> EXTEND ai_query('m', s) AS a |> WHERE a LIKE '%3' |> SELECT id", [(3,)]),
        ("SELECT col2 FROM VALUES (1, 'a')", [("a",)]),
        ("SELECT id FROM range(1, 6, 2) WHERE id > 1", [(3,), (5,)]),
        ("SELECT r.s, to_json(q), to_json(r) FROM (SELECT struct(*) AS r, struct(t.* EXCEPT (s)) AS q FROM t LIMIT 1)",
         [("text 0", '{"id":0}', '{"id":0,"s":"text 0"}')]),
        ("SELECT m[2], m2['b'], arr[1] FROM (SELECT map(1, 'x', 2, 'y') AS m, map('a', 1) AS m2, array(5, 6) AS arr)",
         [("y", None, 6)]),
    ],
)  # fmt: skip
def test_a_query_has_the_rows_that_it_has_on_spark(con, sql, rows):
    assert run(con, sql) == rows


@pytest.mark.parametrize("sql", ["SELECT array(1, 2)[2]", "SELECT array(1)[-1]", "SELECT element_at(array(1), 2)"])
def test_an_index_that_is_out_of_bounds_is_an_error(con, sql):
    with pytest.raises(duckdb.InvalidInputException, match="INVALID_ARRAY_INDEX"):
        run(con, sql)
