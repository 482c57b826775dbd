"""CREATE FUNCTION of Databricks SQL: types, defaults, and names that mean what they mean on Spark."""

import pytest

from aiquery.errors import StatementError

TICKETS = "CREATE TABLE tickets AS SELECT * FROM VALUES (1, 'app'), (2, 'web'), (3, 'web') AS t(id, team)"


def run(con, sql):
    relation = con.sql(sql, dialect="databricks")
    return relation.fetchall() if relation is not None else None


@pytest.mark.parametrize(
    ("function", "query", "rows"),
    [
        ("f(x INT) RETURNS INT RETURN x * 2", "SELECT f(1.9), f(2.9D), f('4'), f(NULL)", [(2, 4, 8, None)]),
        ("f(x INT) RETURNS INT RETURN x * 0.5", "SELECT f(3), f(5)", [(1, 2)]),
        ("f(x STRING) RETURNS STRING RETURN concat('<', x, '>')",
         "SELECT f(1e7D), f(array(1, 2)), f(TIMESTAMP'2024-01-01 00:00:00')",
         [("<1.0E7>", "<[1, 2]>", "<2024-01-01 00:00:00>")]),
        ("f(x STRING) RETURNS STRING RETURN concat('<', x, '>')",
         "SELECT team, f(count(*)) FROM tickets GROUP BY team ORDER BY team", [("app", "<1>"), ("web", "<2>")]),
        ("f(x DOUBLE) RETURNS STRING RETURN x", "SELECT f(1e7D), f(3)", [("1.0E7", "3.0")]),
        ("f(x STRING) RETURNS ARRAY<INT> RETURN transform(split(x, ','), p -> CAST(p AS DOUBLE))",
         "SELECT f('1.9,2.1')", [([1, 2],)]),
        ("f(x INT) RETURNS STRUCT<a: STRING, b: INT> RETURN struct(x * 1e7D, x * 1.5)", "SELECT f(3).a, f(3).b",
         [("3.0E7", 4)]),
        ("f(s STRUCT<a: INT, b: STRING>) RETURNS STRING RETURN s.b", "SELECT f(struct(1, 'y'))", [("y",)]),
        ("f(a STRING, b STRING DEFAULT 'z') RETURNS STRING RETURN concat(a, b)",
         "SELECT f('a'), f('a', 'y'), f(b => 'q', a => 'y')", [("az", "ay", "yq")]),
        ("f(x STRING COMMENT 'the text') RETURNS STRING LANGUAGE SQL DETERMINISTIC CONTAINS SQL RETURN upper(x)",
         "SELECT f('a')", [("A",)]),
    ],
)  # fmt: skip
def test_a_function_has_the_types_that_it_declares(con, function, query, rows):
    run(con, f"{TICKETS}; CREATE FUNCTION {function}")
    assert run(con, query) == rows


def test_a_function_calls_others_and_itself_many_times(con):
    run(con, "CREATE FUNCTION plus(x INT) RETURNS INT RETURN x + 1")
    run(con, "CREATE FUNCTION pair(x INT, y STRING) RETURNS STRING RETURN plus(x) || '-' || y || plus(plus(x))")
    assert run(con, "SELECT plus(plus(plus(plus(1)))), pair(plus(1), pair(1, 'q'))") == [(5, "3-2-q34")]


@pytest.mark.parametrize(
    "body",
    [
        "f(k STRING) RETURNS BIGINT RETURN (SELECT count(*) FROM tickets WHERE team = k)",
        "f(k STRING) RETURNS BIGINT RETURN (SELECT count(*) FROM tickets t WHERE t.team = k)",
        "f(k STRING) RETURN (SELECT count(*) FROM tickets WHERE team = f.k)",
        "f(k STRING) RETURNS BIGINT RETURN SELECT count(*) FROM tickets WHERE team = k",
        "f(team STRING) RETURNS BIGINT RETURN (SELECT count(*) FROM tickets t WHERE t.team = f.team)",
    ],
)
def test_a_parameter_is_no_column_of_a_table_in_the_body(con, body):
    run(con, f"{TICKETS}; CREATE FUNCTION {body}")
    assert run(con, "SELECT id, f(team) FROM tickets ORDER BY id") == [(1, 1), (2, 2), (3, 2)]
    assert run(con, "SELECT id, f(t.team) FROM tickets t WHERE f(t.team) = 1") == [(1, 1)]


def test_a_name_that_may_be_a_parameter_or_a_column_is_refused(con):
    run(con, TICKETS)
    with pytest.raises(StatementError, match=r"write f\.team for the parameter"):
        run(con, "CREATE FUNCTION f(team STRING) RETURN (SELECT count(*) FROM tickets t WHERE t.team = team)")


@pytest.mark.parametrize(
    ("function", "query", "rows"),
    [
        ("f(n INT) RETURNS TABLE (a INT, b STRING) RETURN SELECT id * 1.5, id * 1e7D FROM tickets WHERE id <= n",
         "SELECT b, a FROM f(2) ORDER BY a", [("1.0E7", 1), ("2.0E7", 3)]),
        ("f(n INT) RETURNS TABLE (team STRING, id STRING) RETURN SELECT id, team FROM tickets WHERE id = n",
         "SELECT team, id FROM f(2)", [("2", "web")]),
        ("f(n INT) RETURNS TABLE RETURN SELECT id, team FROM tickets WHERE id < n", "SELECT f.* FROM f(2)",
         [(1, "app")]),
        ("f(k STRING) RETURNS TABLE (n BIGINT) RETURN SELECT count(*) FROM tickets t WHERE t.team = f.k",
         "SELECT x.k, n FROM VALUES ('web'), ('app') AS x(k), LATERAL f(x.k) ORDER BY 1", [("app", 1), ("web", 2)]),
    ],
)  # fmt: skip
def test_a_function_of_tables_has_the_columns_that_it_declares(con, function, query, rows):
    run(con, f"{TICKETS}; CREATE FUNCTION {function}")
    assert run(con, query) == rows


def test_a_comment_of_a_function_is_said_to_be_left_out(con, caplog):
    run(con, "CREATE FUNCTION f(x STRING) RETURNS STRING COMMENT 'upper case' RETURN upper(x)")
    assert "COMMENT" in caplog.text
    assert run(con, "SELECT f('a')") == [("A",)]


def test_a_function_with_a_query_asks_about_each_row(con):
    body = "(SELECT ai_query('m', concat(team, ' or ', k)) FROM tickets WHERE id = 1)"
    run(con, f"{TICKETS}; CREATE FUNCTION f(k STRING) RETURNS STRING RETURN {body}")
    rows = run(con, "SELECT DISTINCT f(team) AS a FROM tickets ORDER BY 1")
    assert rows == [("echo: app or app",), ("echo: app or web",)]


def test_the_body_of_a_function_may_begin_with_a_text(con):
    run(con, "CREATE OR REPLACE TEMPORARY FUNCTION label(x STRING) RETURNS STRING RETURN 'v: ' || x; SELECT 1")
    assert run(con, "SELECT label('a')") == [("v: a",)]
