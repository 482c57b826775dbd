"""Queries of Databricks SQL whose rows DuckDB would not give: pipes, VALUES, ranges, structs, indices, PIVOT."""

from decimal import Decimal

import duckdb
import pytest

from aiquery.errors import StatementError


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
        (("SELECT v:Kind::string, v:X.Y[0].z::int, v:['a B'], v:none FROM (SELECT "
         "'{\"kind\":\"k\",\"x\":{\"y\":[{\"Z\":5}]},\"A b\":\"q\"}' AS v)"), [("k", 5, "q", None)]),
        ("SELECT v:Kind::string, v:kind::string FROM (SELECT parse_json('{\"kind\":\"k\"}') AS v)", [(None, "k")]),
        ("SELECT v:list[*], v:f[*].w FROM (SELECT '{\"list\":[1,2],\"f\":[{\"w\":8},{\"w\":9}]}' AS v)",
         [("[1,2]", "[8,9]")]),
        ("SELECT parse_json('{\"b\":20.00,\"a\":[1e3,0.10]}')::string", [('{"a":[1000.0,0.1],"b":20}',)]),
        ("SELECT q:k::string FROM (SELECT v:a AS q FROM (SELECT parse_json('{\"a\":{\"k\":\"x\"}}') AS v))", [("x",)]),
        ("SELECT items.n, items.s.t FROM (SELECT array(named_struct('n', 1, 's', named_struct('t', 2))) AS items)",
         [([1], [2])]),
        (("SELECT * FROM (SELECT * FROM VALUES ('a', 1.5), ('b', 2.5) v(k, x) PIVOT (avg(x) FOR k IN ('a', 'b'))) "
         "PIVOT (sum(a) FOR b IN (2.5 AS c))"), [(Decimal("1.50000"),)]),
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


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT count(id, s), count(*) FROM t", [(5, 5)]),
        ("SELECT e.x FROM t, LATERAL explode(array(id, 9)) AS e(x) WHERE id = 1 ORDER BY x", [(1,), (9,)]),
        ("SELECT x FROM t LEFT JOIN VALUES (7) AS v(x) ON true WHERE id = 1", [(7,)]),
        (
            "SELECT j:name, length(j:name) FROM VALUES ('{\"name\": \"Ann\"}') AS v(j) WHERE j:name = 'Ann'",
            [("Ann", 3)],
        ),
        ("SELECT j:name FROM VALUES ('no json') AS v(j)", [(None,)]),
        ("SELECT count(*) FROM default.t", [(5,)]),
        ("SELECT len(max(s)), CAST(avg(id) AS INT), size(collect_list(id)) FROM t", [(6, 2, 5)]),
    ],
)
def test_a_query_has_the_rows_that_it_has_on_databricks(con, sql, rows):
    assert run(con, sql) == rows


TRUTHS = "VALUES (true, NULL, 1), (false, true, 2), (true, true, 3), (NULL, false, 4), (NULL, NULL, 5) AS v(a, b, c)"


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        (f"SELECT count(a AND b, c), count(NOT a, c), count(a OR b, c) FROM {TRUTHS}", [(3, 3, 3)]),
        (f"SELECT last(a OR b, true) FROM {TRUTHS}", [(True,)]),
        (f"SELECT * FROM (SELECT c % 2 AS p, a, b FROM {TRUTHS}) PIVOT (count(a AND b) FOR p IN (0, 1))", [(2, 1)]),
    ],
)
def test_a_condition_that_is_counted_is_tested_for_null_as_a_whole(con, sql, rows):
    """The rows are Spark 4.3's."""
    assert run(con, sql) == rows


@pytest.mark.parametrize(
    ("sql", "problem"),
    [
        ("SELECT s RLIKE '(?<=a)b' FROM t", "lookahead, lookbehind"),
        ("SELECT regexp_replace(s, '(a)', '${x}') FROM t", r"use \$1"),
        ("SELECT TIMESTAMP_NTZ '2024-01-01 00:00:00.1234567'", "six digits"),
        ("SELECT date_format(current_date(), 'yyyy[-MM]')", "optional parts"),
        ("SELECT date_format(current_date(), s) FROM t", "must be a text literal"),
        ("SELECT * FROM t PIVOT (count(s) FOR id IN (1 + 1))", "no literal a name"),
        ("SELECT from_json(s, 'a VARIANT, b INT') FROM t", "a schema has no VARIANT; use parse_json"),
        ("CREATE TABLE c (a CHAR(3))", "use STRING"),
        ("ALTER VIEW v AS SELECT 1", "CREATE OR REPLACE VIEW"),
        ("SET spark.sql.sources.partitionOverwriteMode = dynamic", "would change results"),
    ],
)
def test_what_would_be_different_is_refused(con, sql, problem):
    with pytest.raises(StatementError, match=problem):
        con.sql(sql, dialect="databricks")


@pytest.mark.parametrize(
    ("sql", "shown"),
    [
        (
            "SELECT id,\n  ai_query('m', mesage) FROM t",
            "line 2, column 17:\n    ai_query('m', mesage) FROM t\n" + " " * 18 + "^",
        ),
        ("SELECT * FROM tickts", "line 1, column 15:\n  SELECT * FROM tickts\n" + " " * 16 + "^"),
    ],
)
def test_a_name_that_is_not_known_is_shown_in_its_line(con, sql, shown):
    with pytest.raises(duckdb.Error) as caught:
        con.sql(sql, dialect="databricks")
    assert str(caught.value).endswith(shown)
    assert "LINE 1" not in str(caught.value)


def test_a_function_casts_its_arguments_and_its_result(con):
    con.sql("CREATE FUNCTION f(x DECIMAL(10, 2)) RETURNS DECIMAL(10, 1) RETURN x / 3", dialect="databricks")
    assert [str(value) for value in run(con, "SELECT f(10), f('4')")[0]] == ["3.3", "1.3"]


def test_a_longer_text_than_a_column_takes_is_an_error(con):
    con.sql("CREATE TABLE v (a VARCHAR(3))", dialect="databricks")
    with pytest.raises(duckdb.ConstraintException):
        con.sql("INSERT INTO v VALUES ('abcd')", dialect="databricks")
