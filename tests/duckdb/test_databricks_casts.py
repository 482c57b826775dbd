"""Spark's implicit casts: DuckDB binds a statement without them first, and with them where it must."""

import duckdb
import pytest


def run(con, sql):
    return con.sql(sql, dialect="databricks").fetchall()


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT lpad(id, 3, '0') FROM t WHERE id = 2", [("002",)]),
        ("SELECT count(*) FROM t WHERE id LIKE '1%'", [(1,)]),
        ("SELECT left(d, 4), length(x) FROM VALUES (DATE'2024-01-02', 1e7D) v(d, x)", [("2024", 5)]),
        ("SELECT sum(v), avg(v), max(v * 2) FROM VALUES ('10'), ('9') s(v)", [(19.0, 9.5, 20)]),
        ("SELECT v FROM VALUES ('10'), ('9') s(v) WHERE v > 9 AND v BETWEEN 5 AND 20 AND v IN (10, 11)", [("10",)]),
        ("SELECT count(*) FROM t JOIN VALUES ('1') v(k) ON t.id = v.k", [(1,)]),
        ("SELECT coalesce(v, 0) + 1 FROM VALUES ('1') s(v)", [(2,)]),
        ("SELECT '10' + 5, '10' / 4, '1.5' * 2.0", [(15, 2.5, 3.0)]),
    ],
)  # fmt: skip
def test_a_value_of_another_type_is_cast_as_on_spark(con, sql, rows):
    assert run(con, sql) == rows


def test_a_statement_that_is_bound_again_asks_once(asked):
    asked.con.execute("CREATE TABLE numbers AS SELECT i AS id FROM range(4) r(i)")
    rows, count = asked.run(
        "SELECT ai_query('m', 'n ' || id) AS a, lpad(id, 2, '0') AS p FROM numbers", dialect="databricks"
    )
    assert [row[1] for row in rows] == ["00", "01", "02", "03"]
    assert count == 4


def test_the_first_error_is_shown_if_casts_do_not_help(con):
    with pytest.raises(duckdb.BinderException, match=r'"nosuch" not found[^$]*line 1, column 13'):
        run(con, "SELECT lpad(nosuch, 3, '0') FROM t")


def test_a_text_that_is_no_number_beside_one_is_an_error(con):
    with pytest.raises(duckdb.ConversionException, match=r"1\.5 is not a whole number"):
        run(con, "SELECT v > 1 FROM VALUES ('1.5') s(v)")


def test_a_struct_is_cast_by_position_and_the_connection_lives_on(con):
    cast = "CAST(s AS STRUCT<a: STRING, b: INT>)"
    assert run(con, f"SELECT {cast} FROM VALUES (named_struct('b', 'q', 'a', 5)) AS q(s)") == [({"a": "q", "b": 5},)]
    assert run(con, "SELECT 1") == [(1,)]


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT explode(map('a', 1))", [("a", 1)]),
        ("SELECT posexplode(map('a', 1))", [(0, "a", 1)]),
        ("SELECT * FROM inline(array(struct(1 AS a, 'x' AS b)))", [(1, "x")]),
        ("SELECT col FROM explode(collection => array(1, 2))", [(1,), (2,)]),
        ("SELECT col1 FROM stack(2, 1, 'a', 2, 'b')", [("a",), ("b",)]),
        ("SELECT id, c0 FROM VALUES (1) q(id) LATERAL VIEW stack(2, 'a', 'b') s AS c0", [(1, "a"), (1, "b")]),
        ("SELECT x.col FROM VALUES (array(5, 6)) q(a) LATERAL VIEW explode(a) x", [(5,), (6,)]),
        ("SELECT e.col FROM VALUES (array(5)), (array()) q(a) LEFT JOIN LATERAL explode(a) e ON true ORDER BY col",
         [(None,), (5,)]),
        ("SELECT q.id, l.x FROM VALUES (1), (2) q(id), LATERAL (SELECT q.id * 2 AS x) l ORDER BY 1", [(1, 2), (2, 4)]),
        ("SELECT l.x FROM VALUES (1) q(id) JOIN LATERAL (SELECT concat('v', q.id) AS x) l ON true", [("v1",)]),
        ("FROM VALUES (1) q(id) |> UNION ALL SELECT 3 |> WHERE id > 1", [(3,)]),
        ("SELECT * FROM VALUES ('a', 1) q(g, n) PIVOT (sum(n) total FOR g IN ('a'))", [(1,)]),
        ("SELECT struct(1 AS i) AS s, s.i + 1, concat('v', s.i)", [({"i": 1}, 2, "v1")]),
        ("SELECT s.list[0], list[1] FROM VALUES (named_struct('list', array(5)), array(7, 8)) q(s, list)", [(5, 8)]),
        ("SELECT CAST(v AS STRING), concat('x', v) FROM (SELECT parse_json('\"q\"') AS v)", [("q", "xq")]),
        ("SELECT -5::string, 3 -5::int, n -1::int FROM VALUES (7) t(n)", [("-5", -2, 6)]),
        ("SELECT get_json_object('{\"a\":1} and more', '$.a'), get_json_object(\"{'a':1}\", '$.a')", [("1", "1")]),
        ("SELECT any(n > 1), count_if(n > 1) FROM VALUES (1), (2) q(n)", [(True, 1)]),
        ("SELECT g, count(*) FROM VALUES ('a', 1) q(g, n) GROUP BY g, n GROUPING SETS ((g))", [("a", 1)]),
        ("SELECT length(DATE'2024-01-31'::string), '2024-01-01'::string::date IS NULL", [(10, False)]),
        ("SELECT regexp_extract('a1', '(?<v>[0-9])', 1), 'yes\\n' RLIKE 'yes$'", [("1", True)]),
    ],
)  # fmt: skip
def test_a_query_has_the_rows_that_it_has_on_spark(con, sql, rows):
    assert run(con, sql) == rows


def test_a_pattern_that_matches_the_empty_text_is_refused(con):
    from aiquery.errors import StatementError

    with pytest.raises(StatementError, match=r"write \[\|\]"):
        run(con, "SELECT split('a|b', '|')")


# --- INSERT


def test_a_text_that_is_no_whole_number_is_not_inserted(con):
    run(con, "CREATE TABLE filled (id INT); SELECT 1")
    with pytest.raises(duckdb.ConversionException, match=r"1\.5 is not a whole number"):
        con.sql("INSERT INTO filled VALUES ('1.5')", dialect="databricks")
    assert run(con, "SELECT * FROM filled") == []


def test_the_answers_of_an_insert_are_asked_once(asked):
    asked.con.execute("CREATE TABLE numbers AS SELECT i AS id FROM range(4) r(i)")
    asked.con.execute("CREATE TABLE filled (id INTEGER, answer VARCHAR)")
    insert = "INSERT INTO filled SELECT id * 1.5, ai_query('m', 'n ' || id) FROM numbers"
    _, count = asked.run(insert, dialect="databricks")
    assert count == 4
    rows = asked.con.sql("SELECT id FROM filled ORDER BY id").fetchall()
    assert rows == [(0,), (1,), (3,), (4,)]
