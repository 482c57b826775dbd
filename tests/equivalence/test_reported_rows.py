"""Statements that once returned other rows, names or errors than plain DuckDB; one of each kind."""

import threading
import uuid

import duckdb
import pyarrow as pa
import pytest

from aiquery.errors import ArgumentError, ConnectionInUse, RowError, UnsupportedReturnType

METHODS = ("execute", "sql")


EVEN = [2, 6, 10]
OR = "(g = 1 OR g = 2) AND ai_query('m', s) = 'yes'"


def fetch_ids(con, sql, dialect="duckdb"):
    return sorted(row[0] for row in con.sql(sql, dialect).fetchall())


@pytest.mark.parametrize("dialect", ["duckdb", "databricks"])
def test_an_or_keeps_its_brackets(con, tmp_path, dialect):
    assert fetch_ids(con, f"SELECT id FROM t WHERE {OR}", dialect) == EVEN
    joined = "SELECT t.id FROM t JOIN t AS u ON (t.id = u.id OR u.id = -1) AND ai_query('m', t.s) = 'yes' AND t.g < 2"
    assert fetch_ids(con, joined, dialect) == [0, 4, 8]
    con.sql(f"CREATE TABLE made AS SELECT id FROM t WHERE {OR}", dialect)
    con.sql(f"INSERT INTO made SELECT id FROM t WHERE {OR}", dialect)
    assert fetch_ids(con, "FROM made") == sorted(EVEN * 2)
    assert con.estimate(f"SELECT id FROM t WHERE {OR}", dialect).requests_to_send == 0
    con.sql(f"DELETE FROM t WHERE {OR}", dialect)
    assert fetch_ids(con, "SELECT id FROM t") == [i for i in range(12) if i not in EVEN]


def test_an_or_keeps_its_brackets_in_copy_and_delta(con, tmp_path):
    deltalake = pytest.importorskip("deltalake")
    con.sql(f"COPY (SELECT id FROM t WHERE {OR}) TO '{tmp_path}/o.parquet'")
    assert fetch_ids(con, f"FROM '{tmp_path}/o.parquet'") == EVEN
    deltalake.write_deltalake(tmp_path / "d", con.raw.sql("FROM t").to_arrow_table())
    con.sql(f"DELETE FROM delta.`{tmp_path}/d` WHERE {OR}", "databricks")
    left = deltalake.DeltaTable(tmp_path / "d").to_pyarrow_table()["id"].to_pylist()
    assert sorted(left) == [i for i in range(12) if i not in EVEN]


FAILING = {
    "an error for NULL": "SELECT CASE WHEN r IS NULL THEN error('NULL') ELSE r END FROM (SELECT ai_query('m', s) AS r FROM t)",
    "a cast": "SELECT CAST(coalesce(r, 'none') AS ENUM('yes', 'no')) FROM (SELECT ai_query('m', s) AS r FROM t)",
}


@pytest.mark.parametrize("name", FAILING)
def test_the_prefetch_pass_has_no_effect_on_a_transaction(con, name):
    con.execute("CREATE TABLE log(x INTEGER)")
    con.execute("BEGIN")
    con.execute("INSERT INTO log VALUES (1)")
    assert len(con.sql(FAILING[name]).fetchall()) == 12
    con.execute("COMMIT")
    assert con.execute("FROM log").fetchall() == [(1,)]
    assert len(con.sql(FAILING[name].replace("s)", "s || '!')")).fetchall()) == 12


def test_a_failed_statement_aborts_its_transaction_as_on_plain_duckdb(con):
    con.execute("BEGIN")
    with pytest.raises(RowError):
        con.sql("SELECT ai_query('m', 'BAD ' || s), sum(1::HUGEINT) OVER () FROM t")
    with pytest.raises(duckdb.TransactionException):
        con.execute("FROM t")
    con.execute("ROLLBACK")
    assert len(con.sql("SELECT ai_query('m', s) FROM t").fetchall()) == 12
    setting = con.execute("SELECT current_setting('arrow_lossless_conversion')")
    assert setting.fetchall() == [(False,)]


def test_the_original_error_is_raised_within_a_transaction(con):
    con.execute("BEGIN")
    with pytest.raises(duckdb.BinderException, match="zzz"):
        con.sql("SELECT zzz, TRY(ai_query('m', s)) FROM t WHERE ai_query('m', s) = 'yes' AND id < 3")


@pytest.mark.parametrize("method", METHODS)
def test_try_covers_the_arguments_of_a_call(con, method):
    run = getattr(con, method)
    cast = "CAST(CASE WHEN id = 1 THEN 'x' ELSE '5' END AS INTEGER)"
    inner = "ai_query('m', CASE WHEN id = 1 THEN 'BAD' ELSE 'q' || id END)"
    for argument in (f"'n ' || {cast}", inner):
        sql = f"SELECT id, TRY(ai_query('m', {argument})) FROM t WHERE id < 3"
        assert sorted(run(sql).fetchall()) == [(0, "no"), (1, None), (2, "no")]


NAMES = (
    "ai_query('m', s)", "TRY(ai_query('m', s))", "upper(ai_query('m', s))", "ai_query('m', s).upper()", "count(*)",
    "(ai_query('m', s, failOnError => false)).result", "ai_query('m', s) = 'x'", "CASE WHEN id = 1 THEN ai_query('m', s) END",
    "{'a': ai_query('m', s)}", "row(1, ai_query('m', s))", "[ai_query('m', s)]", "s::VARCHAR", "len(s)", "id + 1", "id in (1, 2)",
    "list_transform([s], lambda x: ai_query('m', x))", "(SELECT ai_query('m', 'c'))", "date '2020-01-01'", "-id", "s[1:2]",
    "'x'::ENUM('x', 'y')",
)  # fmt: skip


@pytest.mark.parametrize("expression", NAMES)
def test_names_and_types_are_those_of_plain_duckdb(con, expression):
    group = "GROUP BY s" if "count" in expression else ""
    select = f"SELECT {expression}, {expression} FROM t {group} LIMIT 2"
    expected = con.raw.sql(select)
    result = con.sql(select)
    assert result.columns == expected.columns
    assert result.types == expected.types
    assert result.fetchall() == expected.fetchall()
    con.sql(f"CREATE TABLE made AS SELECT {expression} FROM t")
    con.execute(f"CREATE TABLE expected AS SELECT {expression} FROM t")
    made = con.execute("DESCRIBE made").fetchall()
    assert made == con.execute("DESCRIBE expected").fetchall()


def test_returned_rows_may_have_any_name(con):
    con.execute("CREATE TABLE o(id INTEGER, r VARCHAR)")
    returned = con.sql("INSERT INTO o SELECT id, ai_query('m', s) FROM t WHERE id < 3 RETURNING id AS \"Count\"")
    assert sorted(returned.fetchall()) == [(0,), (1,), (2,)]
    assert con.sql("INSERT INTO o SELECT id, ai_query('m', s) FROM t") is None


def test_an_aggregate_accepts_distinct_and_filter_and_rejects_an_order(con, server):
    con.execute("CREATE TABLE d AS FROM (VALUES (1, 'b'), (1, 'b'), (1, 'a'), (2, NULL)) AS t(g, s)")
    distinct = "SELECT g, ai_agg(DISTINCT s, 'x') FROM d GROUP BY g ORDER BY g"
    assert con.sql(distinct).fetchall()[1] == (2, None)
    con.sql("SELECT ai_agg(s, 'x') FILTER (WHERE g = 1 OR g = 3) FROM d")
    texts = [prompt.split("\n", 1)[1] for prompt in server.prompts]
    assert texts == ['- "a"\n- "b"', '- "a"\n- "b"\n- "b"']
    with pytest.raises(ArgumentError, match="in sorted order"):
        con.sql("SELECT ai_agg(s, 'x' ORDER BY g) FROM d")


PLANNED = (
    "SELECT CASE WHEN ai_query('m', s) = 'nope' THEN ai_query('m', 'BAD ' || k) ELSE 'k' END AS r FROM one",
    "SELECT coalesce(nullif(ai_query('m', s), 'x'), ai_query('m', 'BAD ' || k)) AS r FROM one",
    "SELECT r FROM (SELECT ai_query('m', 'BAD ' || k) AS r FROM one WHERE ai_query('m', s) = 'nope')",
)


@pytest.mark.parametrize("statement", PLANNED)
@pytest.mark.parametrize("begin", ["SELECT 1", "BEGIN"])
def test_an_error_while_duckdb_plans_does_not_fail_the_statement(con, statement, begin):
    # k has one value, so that DuckDB evaluates calls of it while it plans
    con.execute("CREATE TABLE one AS SELECT 'text ' || i AS s, 1 AS k FROM range(2) r(i)")
    con.execute(begin)
    assert con.sql(statement).fetchall() == con.execute(statement).fetchall()


def test_a_connection_is_used_by_one_thread_at_a_time(connect, serve):
    server = serve(latency=0.5)
    con = connect(m=server.endpoint(hedge=False))
    thread = threading.Thread(target=con.sql, args=["SELECT ai_query('m', 'x')"])
    thread.start()
    while not server.in_flight:
        pass
    with pytest.raises(ConnectionInUse, match=r"con\.cursor\(\)"):
        con.sql("SELECT ai_query('m', 'y')")
    assert con.cursor().sql("SELECT ai_query('m', 'z')").fetchall() == [("echo: z",)]
    thread.join()
    assert con.sql("SELECT 1").fetchall() == [(1,)]


ANOTHER_ERROR = (
    "SELECT TRY(ai_query('m', 'BAD ' || s)), CASE WHEN id = 3 THEN error('the original error') END FROM t",
    "SELECT coalesce(TRY(ai_query('m', 'BAD')), 'x'), CAST(s AS INTEGER) FROM t",
)


@pytest.mark.parametrize("statement", ANOTHER_ERROR)
def test_an_error_outside_of_try_is_raised_although_try_hides_another(con, statement):
    with pytest.raises(
        (duckdb.InvalidInputException, duckdb.ConversionException), match=r"the original error|Could not convert"
    ):
        con.sql(statement)


NULLS = {
    "ai_query('m', NULL)": "VARCHAR",
    "ai_query('m', NULL, returnType => 'STRUCT<a: INT>')": "STRUCT(a INTEGER)",
    'ai_extract(NULL, \'{"a": {"type": "string"}}\')': "JSON",
    "ai_analyze_sentiment(NULL)": "VARCHAR",
    "ai_filter(NULL, 'x')": "BOOLEAN",
}


@pytest.mark.parametrize("call", NULLS)
@pytest.mark.parametrize("method", METHODS)
def test_a_constant_null_has_the_type_of_its_function(con, server, call, method):
    getattr(con, method)(f"CREATE TABLE made AS SELECT {call} AS r")
    assert con.execute("DESCRIBE made").fetchall()[0][1] == NULLS[call]
    assert server.calls == 0


def test_fields_of_the_same_name_are_rejected_by_name(con, server):
    call = "ai_query('m', s, returnType => 'STRUCT<a: INT, A: STRING>')"
    with pytest.raises(UnsupportedReturnType, match=r"'a' and 'A'"):
        con.sql(f"SELECT {call} FROM t")
    with pytest.raises(UnsupportedReturnType, match=r"'Name' and 'name'"):
        con.sql("SELECT ai_extract(s, ['Name', 'name']) FROM t")
    assert server.calls == 0


def test_a_uuid_in_a_result_is_a_uuid(con):
    value = uuid.UUID(int=10)
    sql = f"SELECT ai_query('m', s), '{value}'::UUID AS u FROM t LIMIT 1"
    assert con.sql(sql).fetchall() == [("yes", value)]


def test_a_frame_of_the_caller_may_have_the_name_of_an_internal_variable(con):
    frame = pa.table({"s": ["a", "b"]})
    names = (
        "sql statement catalog rewritten scope self raw settings text dialect before result query variables nodes run"
    )
    rows = []
    for name in names.split():
        statement = f"SELECT ai_query('m', s) FROM {name}"
        context = {"rows": rows, "connection": con, "text_of_it": statement, name: frame}
        exec("rows.append(connection.sql(text_of_it).fetchall())", context)  # noqa: S102  the name is a parameter
    assert rows == [[("no",), ("no",)]] * len(names.split())


@pytest.mark.parametrize("terms", [50, 90, 200, 900])
def test_a_deep_statement(con, terms):
    text = " || ".join(["'a'"] * terms)
    statement = f"SELECT ai_query('m', {text} || id) FROM t WHERE (id < 3 OR id = 5) AND ai_query('m', s) = 'yes'"
    assert con.sql(statement).fetchall() == con.execute(statement).fetchall()
    assert con.estimate(statement).requests >= 0
