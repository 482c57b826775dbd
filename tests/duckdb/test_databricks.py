"""Databricks SQL on DuckDB: statements run unchanged."""

import pytest

import aiquery
from aiquery.errors import StatementError


@pytest.fixture
def con(con):
    con.execute("CREATE TABLE target(id BIGINT, r VARCHAR)")
    return con


def fetch_rows(con, sql):
    return con.sql(sql, dialect="databricks").fetchall()


@pytest.mark.parametrize(
    ("sql", "value"),
    [
        ("SELECT datediff(current_date, current_date - INTERVAL 7 DAYS)", 7),
        ("SELECT typeof(current_date - INTERVAL 7 DAYS)", "date"),
        (r"SELECT 'a\nb'", "a\nb"),
        ('SELECT "double quoted"', "double quoted"),
        ("SELECT CONCAT('a', NULL)", None),
        ("SELECT named_struct('a', 1).a", 1),
        ("SELECT array(1, 2, 3)[0]", 1),
        ("SELECT bigint('3')", 3),
        ("SELECT from_json('{\"a\": 1}', 'STRUCT<a: INT>').a", 1),
        ("SELECT `id` FROM t WHERE `id` = 2", 2),
    ],
)
def test_expressions(con, sql, value):
    assert fetch_rows(con, sql)[0][0] == value


def test_named_struct_and_named_arguments(con, endpoint):
    sql = """SELECT ai_query('m', CONCAT('x ', s), modelParameters => named_struct('max_tokens', 5, 'temperature', 0.1,
             'seed', 1), failOnError => false).result FROM t WHERE id = 1"""
    assert fetch_rows(con, sql) == [("echo: x text 1",)]
    assert endpoint.requests[0].body["max_tokens"] == 5


def test_create_table_with_storage_properties(con, endpoint):
    con.sql(
        "CREATE OR REPLACE TABLE o USING DELTA TBLPROPERTIES ('a' = 'b') AS SELECT id, ai_query('m', s) AS r FROM t",
        dialect="databricks",
    )
    assert len(fetch_rows(con, "SELECT * FROM o")) == 5
    assert endpoint.calls == 5


def test_merge_with_a_qualified_column(con, endpoint):
    con.execute("INSERT INTO target VALUES (1, 'old')")
    con.sql(
        "MERGE INTO target AS g USING (SELECT id, ai_query('m', s) AS r FROM t WHERE id < 3) AS n ON g.id = n.id "
        "WHEN MATCHED THEN UPDATE SET g.r = n.r WHEN NOT MATCHED THEN INSERT (id, r) VALUES (n.id, n.r)",
        dialect="databricks",
    )
    expected = [(i, f"echo: text {i}") for i in range(3)]
    assert sorted(fetch_rows(con, "SELECT * FROM target")) == expected
    assert endpoint.calls == 3


def test_insert_overwrite(con, endpoint):
    con.execute("INSERT INTO target VALUES (9, 'old')")
    con.sql("INSERT OVERWRITE target SELECT id, ai_query('m', s) FROM t", dialect="databricks")
    assert sorted(fetch_rows(con, "SELECT id FROM target")) == [(i,) for i in range(5)]
    assert endpoint.calls == 5


def test_update_where_null(con, endpoint):
    con.execute("INSERT INTO target VALUES (1, NULL), (2, 'done')")
    con.sql("UPDATE target SET r = ai_query('m', string(id)) WHERE r IS NULL", dialect="databricks")
    assert sorted(fetch_rows(con, "SELECT * FROM target")) == [(1, "echo: 1"), (2, "done")]
    assert endpoint.calls == 1


def test_explain_sends_no_request(con, endpoint):
    assert fetch_rows(con, "EXPLAIN SELECT ai_query('m', s) FROM t")
    assert endpoint.calls == 0


def test_a_temporary_view_stays_temporary(con):
    con.sql("CREATE TEMPORARY VIEW tv AS SELECT id, ai_query('m', s) AS r FROM t", dialect="databricks")
    views = con.sql("SELECT temporary FROM duckdb_views() WHERE view_name = 'tv'")
    assert views.fetchall() == [(True,)]


def test_a_view_in_a_file_calls_the_functions_on_another_connection(tmp_path):
    path = str(tmp_path / "a.duckdb")
    with aiquery.connect(path) as con:
        con.sql("CREATE VIEW v AS SELECT substring_index('a-b', '-', 1) AS x, to_json(named_struct('a', 1)) AS j",
                dialect="databricks")  # fmt: skip
    with aiquery.connect(path) as con:
        assert con.sql("SELECT * FROM v").fetchall() == [("a", '{"a":1}')]
    with aiquery.connect(path) as con, con.cursor() as cursor:
        assert cursor.execute("SELECT x FROM v").fetchall() == [("a",)]


def test_a_function_is_there_after_a_transaction_is_rolled_back():
    with aiquery.connect() as con:
        con.execute("BEGIN")
        assert con.sql("SELECT substring_index('a-b', '-', 1)", dialect="databricks").fetchall() == [("a",)]
        con.execute("ROLLBACK")
        assert con.sql("SELECT substring_index('a-b', '-', 1)", dialect="databricks").fetchall() == [("a",)]


def test_a_column_without_an_alias_has_the_name_that_spark_gives_it():
    with aiquery.connect() as con:
        relation = con.sql(
            "SELECT len('abc'), posexplode(array(7)), upper('x') AS u, n + 1, CAST(n AS STRING), count(*) OVER () > 0, "
            "current_date() FROM VALUES (1) t(n)",
            dialect="databricks",
        )
        named = ["len(abc)", "pos", "col", "u", "(n + 1)", "n", "(count(1) OVER () > 0)", "current_date()"]
        assert relation.columns == named


def test_a_refused_function_is_named_with_what_to_use_instead():
    with aiquery.connect() as con:
        with pytest.raises(StatementError, match=r"from_csv is not supported on DuckDB: use read_files"):
            con.sql("SELECT from_csv('1', 'a INT')", dialect="databricks")
        with pytest.raises(StatementError, match=r"ai_forecast is not supported on DuckDB: forecast outside"):
            con.sql("SELECT * FROM ai_forecast(TABLE(t), horizon => '2024-01-01')", dialect="databricks")


def test_a_setting_that_changes_results_is_refused_and_others_are_returned():
    with aiquery.connect() as con:
        with pytest.raises(StatementError, match=r"spark\.sql\.ansi\.enabled"):
            con.sql("SET spark.sql.ansi.enabled = false", dialect="databricks")
        assert con.sql("SET spark.sql.shuffle.partitions = 8", dialect="databricks").fetchall() == [
            ("spark.sql.shuffle.partitions", "8")
        ]
        con.sql("SET spark.sql.session.timeZone = 'Asia/Tokyo'", dialect="databricks")
        assert con.sql("SELECT current_setting('TimeZone')").fetchall() == [("Asia/Tokyo",)]


def test_an_answer_is_read_by_path_without_quotes(serve):
    server = serve(lambda _question: '{"topic": "a", "count": 3, "tags": ["x"]}')
    with aiquery.connect(config={"endpoints": {"m": server.endpoint()}, "cache": {"store": "memory:"}}) as con:
        parts = "r:topic::string, r:count::int, r:tags[0]::string, r:missing::string"
        sql = f"SELECT {parts} FROM (SELECT ai_query('m', 'q') AS r)"
        assert con.sql(sql, dialect="databricks").fetchall() == [("a", 3, "x", None)]


def test_what_sqlglot_logs_about_a_statement_is_not_shown(capfd):
    with aiquery.connect() as con:
        con.sql("CREATE TABLE t (a INT)", dialect="databricks")
        assert con.sql("SHOW TABLES", dialect="databricks").fetchall() == [("main", "t", False)]
        con.sql("SET TIME ZONE 'UTC'", dialect="databricks")
    assert not capfd.readouterr().err


def test_comments_of_a_table_and_its_columns_are_made(con):
    con.sql(
        "CREATE TABLE noted (a INT COMMENT 'it''s one', b STRING) COMMENT 'two' TBLPROPERTIES ('x' = 'y')",
        dialect="databricks",
    )
    con.sql("CREATE OR REPLACE TABLE taken COMMENT 'three' AS SELECT 1 AS a", dialect="databricks")
    tables = con.sql("SELECT table_name, comment FROM duckdb_tables() WHERE comment IS NOT NULL ORDER BY 1").fetchall()
    assert tables == [("noted", "two"), ("taken", "three")]
    columns = con.sql("SELECT column_name, comment FROM duckdb_columns() WHERE comment IS NOT NULL").fetchall()
    assert columns == [("a", "it's one")]
    assert con.sql("SELECT count(*) FROM taken").fetchall() == [(1,)]


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE x (a INT) USING delta CLUSTER BY (a)",
        "CREATE TABLE x USING delta PARTITIONED BY (a) LOCATION '/tmp/x' AS SELECT 1 AS a",
        "SELECT /*+ BROADCAST(t) */ * FROM t",
    ],
)
def test_what_is_about_storage_and_execution_is_left_out(con, sql):
    con.sql(sql, dialect="databricks")


def test_a_function_of_the_user_is_called_and_not_a_helper_of_its_name():
    with aiquery.connect() as con:
        con.sql("CREATE FUNCTION days(x INT) RETURNS INT RETURN x * 24", dialect="databricks")
        assert con.sql("SELECT days(2)", dialect="databricks").fetchall() == [(48,)]


ONCE = (
    "SELECT cast({call} AS int)",
    "SELECT substring({call}, 1, 1)",
    "SELECT upper({call})",
    "SELECT json_tuple({call}, 'a', 'b')",
    "SELECT 1 / cast({call} AS double)",
    "SELECT substring_index({call}, '.', 1)",
    "SELECT substring_index(substring({call}, 1, 3), '.', 1)",
    "SELECT array_contains(split({call}, ','), '7')",
    "SELECT mask(trim({call}))",
)


@pytest.mark.parametrize("sql", ONCE)
def test_a_function_asks_a_random_answer_once(serve, sql):
    server = serve(lambda _question: "7")
    call = "ai_query('m', 'q', modelParameters => named_struct('temperature', 1.0))"
    with aiquery.connect(config={"endpoints": {"m": server.endpoint()}, "cache": {"store": "memory:"}}) as con:
        con.sql(sql.format(call=call), dialect="databricks").fetchall()
    assert server.calls == 1
