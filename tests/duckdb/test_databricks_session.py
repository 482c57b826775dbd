"""Statements of Databricks SQL that need a session or several steps: variables, IDENTIFIER, files, overwriting."""

import datetime as dt
import decimal
import gc
import json
import logging
import weakref
from decimal import Decimal

import duckdb
import pytest

import aiquery
from aiquery.errors import ArgumentError, StatementError
from aiquery.testing import Answer


def run(con, sql, params=None):
    relation = con.sql(sql, dialect="databricks", params=params)
    return None if relation is None else relation.fetchall()


# --- variables


def test_a_variable_is_declared_set_and_read(con):
    run(con, "DECLARE VARIABLE v INT DEFAULT 5")
    assert run(con, "SELECT v, v + 1, session.v, system.session.v") == [(5, 6, 5, 5)]
    run(con, "SET VAR v = (SELECT max(id) FROM t)")
    assert run(con, "SELECT v FROM t WHERE id = v") == [(4,)]
    run(con, "SET VARIABLE v = DEFAULT")
    assert run(con, "SELECT v") == [(5,)]
    run(con, "DECLARE OR REPLACE v STRING = 'x'")
    assert run(con, "SELECT v, typeof(v)") == [("x", "string")]
    run(con, "DROP TEMPORARY VARIABLE v")
    with pytest.raises(duckdb.BinderException, match="v"):
        run(con, "SELECT v")
    run(con, "DROP TEMPORARY VARIABLE IF EXISTS v")


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        ("x DATE = '2024-05-06'", dt.date(2024, 5, 6)),
        ("x DECIMAL(10, 2) = 1.5", decimal.Decimal("1.50")),
        ("x INT = 1.7", 1),
        ("x ARRAY<STRING> = array('a', 'b')", ["a", "b"]),
        ("x STRUCT<a: INT, b: STRING> = named_struct('a', 1, 'b', 'x')", {"a": 1, "b": "x"}),
        ("x = 5 + 1", 6),
        ("x BIGINT", None),
    ],
)
def test_a_variable_has_its_type(con, declared, value):
    run(con, f"DECLARE {declared}")
    assert run(con, "SELECT x") == [(value,)]


def test_variables_are_assigned_after_all_values_are_computed(con):
    run(con, "DECLARE a, b INT DEFAULT 1; SET VAR a = 2, b = a + 1; SET VAR a = b, b = a")
    assert run(con, "SELECT a, b") == [(2, 2)]
    run(con, "SET VAR (a, b) = (SELECT 7, 8)")
    assert run(con, "SELECT a, b") == [(7, 8)]
    run(con, "SET VAR (a, b) = (SELECT id, id FROM t WHERE false)")
    assert run(con, "SELECT a, b") == [(None, None)]


def test_a_column_and_an_alias_come_before_a_variable(con):
    run(con, "DECLARE id INT DEFAULT 99; DECLARE q INT DEFAULT 98")
    assert run(con, "SELECT id, session.id FROM t WHERE id = 1") == [(1, 99)]
    assert run(con, "SELECT id") == [(99,)]
    assert run(con, "SELECT 1 AS q, q + 1 AS r") == [(1, 2)]
    assert run(con, "SELECT (SELECT max(q) FROM t) AS m") == [(98,)]
    assert run(con, "WITH c AS (SELECT 5 AS q) SELECT q, (SELECT q + 1) AS r FROM c") == [(5, 6)]
    run(con, "UPDATE t SET s = concat(id, '-', session.id) WHERE id = 2")
    assert run(con, "SELECT s FROM t WHERE t.id = 2") == [("2-99",)]
    run(con, "CREATE FUNCTION plus(q INT) RETURNS INT RETURN q + 1")
    assert run(con, "SELECT plus(1)") == [(2,)]
    assert run(con, "SELECT x.q FROM VALUES (7) AS x(q)") == [(7,)]


def test_a_field_of_a_variable_is_read_by_its_name(con):
    run(con, "DECLARE p STRUCT<a: INT, b: STRUCT<c: STRING>> = named_struct('a', 1, 'b', named_struct('c', 'x'))")
    assert run(con, "SELECT p.a, p.b.c, session.p.a") == [(1, "x", 1)]


def test_a_variable_is_an_endpoint_a_prompt_and_labels(con, endpoint):
    run(con, "DECLARE model = 'm'; DECLARE prefix = 'p: '; DECLARE labels = array('a', 'b')")
    rows = run(con, "SELECT ai_query(model, prefix || s) AS a FROM t WHERE id < 2 ORDER BY id")
    assert rows == [("echo: p: text 0",), ("echo: p: text 1",)]
    assert endpoint.calls == 2
    run(con, "SET VAR prefix = (SELECT ai_query(model, 'which prefix?'))")
    assert run(con, "SELECT prefix") == [("echo: which prefix?",)]


@pytest.mark.parametrize(
    ("sql", "problem"),
    [
        ("DECLARE v INT; DECLARE v INT", "VARIABLE_ALREADY_EXISTS"),
        ("SET VAR nope = 1", "UNRESOLVED_VARIABLE"),
        ("DECLARE v INT; SET VAR v = (SELECT id FROM t)", "ROW_SUBQUERY_TOO_MANY_ROWS"),
        ("DECLARE a, b INT; SET VAR (a, b) = (SELECT 1, 2, 3)", "3 columns"),
        ("DECLARE v INT; CREATE VIEW x AS SELECT v AS y", "INVALID_TEMP_OBJ_REFERENCE"),
        ("DECLARE v", "a type or a DEFAULT"),
        ("DROP TEMPORARY VARIABLE v", "UNRESOLVED_VARIABLE"),
    ],
)
def test_an_error_of_a_variable_says_what_is_wrong(con, sql, problem):
    with pytest.raises(StatementError, match=problem):
        run(con, sql)


def test_a_statement_with_variables_is_explained_estimated_and_announced(con, endpoint):
    run(con, "DECLARE n INT = 3")
    sql = "SELECT ai_query('m', s) FROM t WHERE id < n"
    assert con.estimate(sql, "databricks").requests == 3
    plan = dict(run(con, f"EXPLAIN {sql}"))
    assert "ai_plan" in plan
    estimates = []
    list(con.statements(sql, "databricks", estimates.append))
    assert [one.requests for one in estimates] == [3]
    assert endpoint.calls == 3


# --- IDENTIFIER and EXECUTE IMMEDIATE


def test_identifier_is_the_name_of_a_table_a_column_a_function_and_a_new_table(con):
    run(con, "DECLARE name STRING = 't'")
    assert run(con, "SELECT count(*) FROM IDENTIFIER('main.' || name)") == [(5,)]
    assert run(con, "SELECT IDENTIFIER('upper')(IDENTIFIER('s')) FROM IDENTIFIER(name) WHERE id = 1") == [("TEXT 1",)]
    run(con, "CREATE TABLE IDENTIFIER(name || '2') (a INT); INSERT INTO IDENTIFIER('t2') VALUES (1)")
    assert run(con, "SELECT * FROM IDENTIFIER(:tab) WHERE a = :a", {"tab": "t2", "a": 1}) == [(1,)]
    assert run(con, "SELECT * FROM IDENTIFIER(?) WHERE a = ?", ["t2", 1]) == [(1,)]
    run(con, "DROP TABLE IDENTIFIER('`t2`')")
    with pytest.raises(StatementError, match="is not a name"):
        run(con, "SELECT * FROM IDENTIFIER('t; DROP TABLE t')")
    assert run(con, "SELECT count(*) FROM t") == [(5,)]


def test_execute_immediate_takes_parameters_by_position_and_by_name(con, endpoint):
    assert run(con, "EXECUTE IMMEDIATE 'SELECT ? + ? AS x' USING 1, 2") == [(3,)]
    assert run(con, "EXECUTE IMMEDIATE 'SELECT :p || :q AS x' USING ('a' AS p, 'b' AS q)") == [("ab",)]
    run(con, "DECLARE k INT = 2; DECLARE found BIGINT")
    rows = run(con, "EXECUTE IMMEDIATE 'SELECT ai_query(\"m\", s) AS a FROM t WHERE id < :k' USING k")
    assert len(rows) == 2
    assert endpoint.calls == 2
    run(con, "EXECUTE IMMEDIATE 'SELECT max(id) FROM IDENTIFIER(?)' INTO found USING 't'")
    assert run(con, "SELECT found") == [(4,)]
    run(con, "EXECUTE IMMEDIATE 'INSERT INTO t VALUES (?, ?)' USING found + 1, 'new'")
    assert run(con, "SELECT s FROM t WHERE id = 5") == [("new",)]


@pytest.mark.parametrize(
    ("sql", "problem"),
    [
        ("EXECUTE IMMEDIATE 'SELECT FROM'", "does not parse.*\n.*line 1, column 8"),
        ("EXECUTE IMMEDIATE 'SELECT 1; SELECT 2'", "one statement"),
        ("EXECUTE IMMEDIATE NULL", "is NULL"),
        ("DECLARE v INT; EXECUTE IMMEDIATE 'SET VAR v = 1' INTO v", "not a query"),
    ],
)
def test_an_error_in_execute_immediate_says_what_is_wrong(con, sql, problem):
    with pytest.raises(StatementError, match=problem.replace(".*\n.*", "(?s:.*)")):
        run(con, sql)


def test_a_parameter_without_a_value_is_named(con):
    run(con, "DECLARE v INT = 1")
    with pytest.raises(ArgumentError, match="the parameter :b has no value"):
        run(con, "SELECT v + :a + :b", {"a": 1})


# --- overwriting


def test_an_overwrite_reads_its_own_table_and_a_failed_one_leaves_the_rows(con):
    run(con, "INSERT OVERWRITE t SELECT id + 10, s FROM t WHERE id < 2")
    before = run(con, "SELECT * FROM t ORDER BY id")
    assert before == [(10, "text 0"), (11, "text 1")]
    with pytest.raises(duckdb.ConversionException):
        run(con, "INSERT OVERWRITE t SELECT 'no number', s FROM t")
    assert run(con, "SELECT * FROM t ORDER BY id") == before
    assert con.execute("SELECT count(*) FROM duckdb_tables() WHERE temporary").fetchall() == [(0,)]


def test_a_failed_row_of_an_overwrite_leaves_the_rows(serve, connect):
    server = serve(lambda question: Answer(status=400) if "3" in question.prompt else "ok")
    con = connect(m=server.endpoint())
    con.execute("CREATE TABLE t AS SELECT i AS id, 'text ' || i AS s FROM range(5) r(i)")
    with pytest.raises(aiquery.AIQueryError):
        run(con, "INSERT OVERWRITE t SELECT id, ai_query('m', s) FROM t")
    assert run(con, "SELECT count(*) FROM t WHERE s LIKE 'text%'") == [(5,)]


def test_an_overwrite_in_a_transaction_is_rolled_back_with_it(con):
    con.execute("BEGIN")
    run(con, "INSERT OVERWRITE t VALUES (1, 'x')")
    assert run(con, "SELECT count(*) FROM t") == [(1,)]
    con.execute("ROLLBACK")
    assert run(con, "SELECT count(*) FROM t") == [(5,)]


def test_replace_where_replaces_the_rows_with_the_condition(con):
    run(con, "INSERT INTO t REPLACE WHERE id >= 3 SELECT 7, 'seven'")
    assert run(con, "SELECT id FROM t ORDER BY id") == [(0,), (1,), (2,), (7,)]
    with pytest.raises(StatementError, match="1 new rows do not have this condition"):
        run(con, "INSERT INTO t REPLACE WHERE id >= 3 VALUES (1, 'x'), (8, 'y')")
    assert run(con, "SELECT count(*) FROM t") == [(4,)]
    run(con, "INSERT INTO t REPLACE USING (id) VALUES (7, 'again'), (9, 'new')")
    assert run(con, "SELECT id, s FROM t WHERE id > 2 ORDER BY id") == [(7, "again"), (9, "new")]


def test_a_partition_gives_a_column_its_value(con):
    run(con, "CREATE TABLE p (a INT, b STRING, day INT)")
    run(con, "INSERT INTO p PARTITION (day = 1) SELECT 1, 'x'")
    run(con, "INSERT INTO p PARTITION (day = 2) (b, a) SELECT 'y', 2")
    run(con, "INSERT OVERWRITE p PARTITION (day = 1) SELECT 3, 'z'")
    assert run(con, "SELECT * FROM p ORDER BY day") == [(3, "z", 1), (2, "y", 2)]
    run(con, "INSERT OVERWRITE p BY NAME SELECT 5 AS day, 6 AS a")
    assert run(con, "SELECT * FROM p") == [(6, None, 5)]


def test_merge_goes_by_the_names_of_the_columns(con):
    run(con, "MERGE INTO t USING (SELECT 'new' AS s, 9 AS id UNION ALL SELECT 'old', 1) x ON t.id = x.id "
             "WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT * "
             "WHEN NOT MATCHED BY SOURCE AND t.id = 0 THEN DELETE")  # fmt: skip
    assert run(con, "SELECT id, s FROM t WHERE s NOT LIKE 'text%' ORDER BY id") == [(1, "old"), (9, "new")]
    assert run(con, "SELECT count(*) FROM t WHERE id = 0") == [(0,)]


# --- files


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in" / "sub").mkdir(parents=True)
    (tmp_path / "in" / "a.csv").write_text('id,name\n1,x\n2,""\n3,\n', "utf-8")
    (tmp_path / "in" / "_SUCCESS").write_text("", "utf-8")
    (tmp_path / "in" / "sub" / "b.csv").write_text("id,name\n4,y\n", "utf-8")
    (tmp_path / "lines.txt").write_text("one\r\ntwo\n\nthree\n", "utf-8")
    documents = [{"b": 1, "a": "2024-01-01"}, {"b": 2, "a": "x", "c": [1]}]
    (tmp_path / "d.json").write_text("\n".join(map(json.dumps, documents)), "utf-8")
    duckdb.sql("SELECT 1 AS a, 'x' AS b").write_parquet(str(tmp_path / "p.parquet"))
    return tmp_path


def test_read_files_reads_each_format(con, folder):
    files = f"read_files('{folder}/in', format => 'csv', header => true)"
    assert run(con, f"SELECT id, name, _rescued_data FROM {files} ORDER BY id") == [
        (1, "x", None), (2, "", None), (3, None, None), (4, "y", None),
    ]  # fmt: skip
    typed = f"read_files('{folder}/in/a.csv', header => 'true', schema => 'id STRING, name STRING')"
    assert run(con, f"SELECT * FROM {typed} AS f WHERE f.id = '1'") == [("1", "x")]
    rows = run(con, f"SELECT * EXCEPT (_rescued_data) FROM read_files('{folder}/d.json')")
    assert rows == [("2024-01-01", 1, None), ("x", 2, [1])]
    assert run(con, f"SELECT b FROM parquet.`{folder}/p.parquet` p JOIN t ON p.a = t.id") == [("x",)]
    assert run(con, f"SELECT * FROM text.`{folder}/lines.txt`") == [("one",), ("two",), ("",), ("three",)]
    assert run(con, f"SELECT path, length FROM binaryFile.`{folder}/lines.txt`") == [(f"file:{folder}/lines.txt", 16)]
    assert run(con, f"SELECT * FROM csv.`{folder}/in/a.csv` LIMIT 1") == [("id", "name")]
    assert con.sql(f"SELECT * FROM csv.`{folder}/in/a.csv`", dialect="databricks").columns == ["_c0", "_c1"]


def test_a_view_of_a_folder_reads_later_files(con, folder):
    run(con, f"CREATE VIEW files AS SELECT id FROM read_files('{folder}/in', format => 'csv', header => true)")
    assert len(run(con, "SELECT * FROM files")) == 4
    (folder / "in" / "c.csv").write_text("id,name\n5,z\n", "utf-8")
    assert len(run(con, "SELECT * FROM files")) == 5


def test_a_table_over_files_is_a_view_of_them(con, folder):
    run(con, f"CREATE TABLE e (id INT, name STRING) USING CSV OPTIONS (path '{folder}/in/a.csv', header 'true')")
    assert run(con, "SELECT id FROM e") == [(1,), (2,), (3,)]
    with pytest.raises(StatementError, match="there are files at"):
        run(con, f"CREATE TABLE d USING delta LOCATION '{folder}/in'")


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ("read_files('x.csv', nope => 1)", "'nope' is not supported"),
        ("read_files('x.orc')", "the format of 'x.orc' is not known"),
        ("read_files('x', format => 'orc')", "'orc' is not supported"),
        ("read_files('x.csv', encoding => 'latin1')", "the encoding latin1"),
        ("read_files('x.csv', 'csv')", "name every option"),
    ],
)
def test_an_option_of_read_files_that_is_not_supported_is_named(con, files, problem):
    with pytest.raises(StatementError, match=problem):
        run(con, f"SELECT * FROM {files}")


def test_copy_into_loads_each_file_once(con, folder, endpoint):
    run(con, "CREATE TABLE c (id INT, name STRING)")
    copy = f"COPY INTO c FROM '{folder}/in' FILEFORMAT = CSV FORMAT_OPTIONS ('header' = 'true')"
    assert run(con, copy) == [(4, 4, 0)]
    assert run(con, copy) == [(0, 0, 0)]
    (folder / "in" / "c.csv").write_text("id,name\n5,z\n", "utf-8")
    assert run(con, copy) == [(1, 1, 0)]
    assert run(con, f"{copy} COPY_OPTIONS ('force' = 'true')") == [(5, 5, 0)]
    run(con, "TRUNCATE TABLE c")
    asked = f"COPY INTO c FROM (SELECT id::int AS id, ai_query('m', name) AS name FROM '{folder}/in') FILEFORMAT = CSV"
    options = "FORMAT_OPTIONS ('header' = 'true')"
    assert run(con, f"{asked} PATTERN = 'a*.csv' {options}") == [(3, 3, 0)]
    assert run(con, "SELECT * FROM c ORDER BY id") == [(1, "echo: x"), (2, "echo: "), (3, None)]
    assert run(con, f"{asked} FILES = ('sub/b.csv') {options}") == [(1, 1, 0)]
    with pytest.raises(StatementError, match="there is no file"):
        run(con, f"{asked} FILES = ('missing.csv') {options}")
    assert run(con, "SHOW TABLES LIKE 'c*|aiquery*'") == [("main", "c", False)]


def test_copy_into_adds_columns_where_it_may(con, folder):
    run(con, "CREATE TABLE c (id INT)")
    copy = f"COPY INTO c FROM '{folder}/in/a.csv' FILEFORMAT = CSV FORMAT_OPTIONS ('header' = 'true')"
    with pytest.raises(duckdb.BinderException):
        run(con, copy)
    assert run(con, f"{copy} COPY_OPTIONS ('mergeSchema' = 'true')") == [(3, 3, 0)]
    assert run(con, "SELECT * FROM c WHERE id = 1") == [(1, "x")]


# --- SHOW, DESCRIBE, ALTER and the others


def test_show_and_describe_have_the_columns_of_spark(con):
    run(
        con,
        "CREATE SCHEMA s2; CREATE TABLE s2.x (a INT COMMENT 'one', b ARRAY<STRING>); CREATE TEMP VIEW v AS SELECT 1",
    )
    assert run(con, "SHOW TABLES IN s2") == [("", "v", True), ("s2", "x", False)]
    assert run(con, "SHOW VIEWS") == [("", "v", True)]
    assert run(con, "SHOW SCHEMAS LIKE 's*'") == [("s2",)]
    assert run(con, "SHOW COLUMNS IN x IN s2") == [("a",), ("b",)]
    assert run(con, "DESCRIBE s2.x") == [("a", "int", "one"), ("b", "array<string>", None)]
    assert ("Type", "MANAGED", "") in run(con, "DESCRIBE TABLE EXTENDED s2.x")
    assert run(con, "DESCRIBE QUERY SELECT ai_query('m', 'x') AS q, 1.5 AS n") == [
        ("q", "string", None), ("n", "decimal(2,1)", None),
    ]  # fmt: skip
    run(con, "USE SCHEMA s2")
    assert run(con, "SELECT current_schema(), current_database(), current_catalog()") == [("s2", "s2", "memory")]
    assert run(con, "SELECT count(*) FROM memory.main.t") == [(5,)]
    with pytest.raises(duckdb.CatalogException):
        run(con, "SHOW COLUMNS IN nope")


def test_alter_table_changes_several_things(con):
    run(con, "ALTER TABLE t ADD COLUMNS (a INT COMMENT 'first', b STRING)")
    run(con, "ALTER TABLE t ALTER COLUMN b COMMENT 'second'; ALTER TABLE t CHANGE COLUMN a c BIGINT")
    assert run(con, "DESCRIBE t")[2:] == [("c", "bigint", "first"), ("b", "string", "second")]
    run(con, "ALTER TABLE t DROP COLUMNS (b, c); ALTER TABLE t ALTER COLUMN id SET NOT NULL")
    assert [row[0] for row in run(con, "DESCRIBE t")] == ["id", "s"]
    with pytest.raises(StatementError, match="FIRST and AFTER"):
        run(con, "ALTER TABLE t ADD COLUMN z INT FIRST")


def test_create_table_has_identities_computed_columns_and_copies(con):
    columns = "id BIGINT GENERATED ALWAYS AS IDENTITY (START WITH 5), a INT, b INT GENERATED ALWAYS AS (a + 1)"
    run(con, f"CREATE TABLE i ({columns})")
    run(con, "INSERT INTO i (a) VALUES (1), (2)")
    assert run(con, "SELECT * FROM i") == [(5, 1, 2), (6, 2, 3)]
    run(con, "CREATE TABLE deep DEEP CLONE t; CREATE TABLE shallow SHALLOW CLONE t; CACHE TABLE c AS SELECT 1 AS x")
    assert run(con, "SELECT (SELECT count(*) FROM deep), (SELECT count(*) FROM shallow), x FROM c") == [(5, 5, 1)]


@pytest.mark.parametrize(
    ("sql", "line"),
    [
        ("OPTIMIZE t ZORDER BY (id)", "OPTIMIZE did nothing"),
        ("VACUUM t RETAIN 168 HOURS", "VACUUM did nothing"),
        ("ANALYZE TABLE t COMPUTE STATISTICS", "ANALYZE TABLE did nothing"),
        ("CACHE TABLE t", "CACHE TABLE did nothing"),
        ("REFRESH TABLE t", "REFRESH TABLE did nothing"),
        ("ALTER TABLE t SET TBLPROPERTIES ('a' = 'b')", "ALTER TABLE: properties of storage were left out"),
        ("CREATE TABLE x PARTITIONED BY (a) AS SELECT 1 AS a", "PARTITIONED BY left out"),
        (
            "CREATE TABLE x TBLPROPERTIES ('a' = 'b') CLUSTER BY (a) AS SELECT 1 AS a",
            "TBLPROPERTIES, CLUSTER BY left out",
        ),
    ],
)
def test_what_has_no_meaning_is_accepted_with_one_line(con, caplog, sql, line):
    with caplog.at_level(logging.WARNING, "aiquery"):
        assert run(con, sql) is None
    (record,) = caplog.records
    assert line in record.getMessage()


@pytest.mark.parametrize(
    ("sql", "advice"),
    [
        ("GRANT SELECT ON TABLE t TO x", "GRANT is not supported on DuckDB: DuckDB has no users"),
        ("CREATE MATERIALIZED VIEW v AS SELECT 1", "CREATE OR REPLACE TABLE"),
        ("CREATE OR REFRESH STREAMING TABLE v AS SELECT 1", "CREATE OR REPLACE TABLE"),
        ("DESCRIBE HISTORY t", "no earlier versions"),
        ("BEGIN SELECT 1; END", "one after another"),
        ("CREATE CATALOG c", "ATTACH"),
        ("SELECT * FROM t VERSION AS OF 1", "no earlier versions"),
        ("SELECT * FROM t TABLESAMPLE (BUCKET 1 OUT OF 2)", "PERCENT"),
        ("SET spark.sql.ansi.enabled = false", "would change results"),
        ("SET ansi_mode = false", "would change results"),
        ("MERGE WITH SCHEMA EVOLUTION INTO t USING t AS u ON t.id = u.id WHEN MATCHED THEN UPDATE SET *", "ADD COLUMN"),
        ("CREATE FUNCTION f(x INT) RETURNS INT LANGUAGE PYTHON AS $$ return x $$", "create_function"),
        ("MSCK", "not supported|does not parse"),
    ],
)
def test_what_cannot_be_the_same_is_refused_with_what_to_use(con, sql, advice):
    with pytest.raises(StatementError, match=advice):
        run(con, sql)


def test_an_error_shows_its_line_with_a_caret(con):
    with pytest.raises(StatementError) as caught:
        run(con, "SELECT id,\n       to_csv(s) AS h\nFROM t")
    assert str(caught.value).endswith("line 2, column 8:\n         to_csv(s) AS h\n         ^")
    with pytest.raises(StatementError, match=r"(?s)does not parse as Databricks SQL.*line 1, column 12:.*\^"):
        run(con, "SELECT 1 + , 2")


def test_a_connection_ends_with_its_last_reference(endpoint):
    gc.collect()
    gc.disable()
    try:
        con = aiquery.connect(config={"endpoints": {"m": endpoint.endpoint()}})
        run(con, "DECLARE v INT = 1; SET VAR v = v + 1; EXECUTE IMMEDIATE 'SELECT ?' USING v")
        run(con, "CREATE TABLE t AS SELECT 1 AS id; INSERT OVERWRITE t SELECT id + v FROM t")
        assert run(con, "SELECT ai_query('m', concat('x', v, id)) FROM t") == [("echo: x23",)]
        cursor = con.cursor()
        run(cursor, "SELECT 1 AS x")
        alive = [weakref.ref(con), weakref.ref(cursor)]
        del con, cursor
        assert [one() for one in alive] == [None, None]
    finally:
        gc.enable()


def test_the_condition_of_replace_where_has_variables_and_parameters(con):
    run(
        con,
        "CREATE TABLE w (id INT, k STRING); INSERT INTO w VALUES (1, 'a'), (2, 'b'); DECLARE who STRING DEFAULT 'a'",
    )
    con.sql("INSERT INTO default.w REPLACE WHERE k = who VALUES (9, 'a')", dialect="databricks")
    con.sql("INSERT INTO w REPLACE WHERE k = :k SELECT 7, 'b'", dialect="databricks", params={"k": "b"})
    assert run(con, "SELECT * FROM w ORDER BY id") == [(7, "b"), (9, "a")]
    con.sql("INSERT OVERWRITE w PARTITION (k = who) SELECT 5", dialect="databricks")
    assert run(con, "SELECT * FROM w ORDER BY id") == [(5, "a"), (7, "b")]


def test_a_parameter_that_a_macro_copies_has_one_value(con):
    assert run(con, "SELECT id + ?, concat('v', ?) FROM t WHERE id * ? = 4", [0.5, 7, 2]) == [(Decimal("2.5"), "v7")]
    assert run(con, "SELECT id / :n, :n + 1 FROM t WHERE id = 3", {"n": 2}) == [(1.5, 3)]
