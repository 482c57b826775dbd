"""Statements that once gave other rows, other requests or other names than plain DuckDB; each stands for a kind."""

import threading
import uuid

import duckdb
import msgspec
import pyarrow as pa
import pytest

import aiquery
from aiquery import plugins
from aiquery.errors import ArgumentError, ConnectionInUse, RowError
from aiquery.request import Response
from aiquery.testing import Answer

HOW = ("execute", "sql")


def reply(question):
    if "BAD" in question.prompt:
        return Answer(status=400)
    return "yes" if question.prompt[-1:] in "02468" else "no"


@pytest.fixture
def server(serve):
    return serve(reply)


@pytest.fixture
def con(server):
    config = {
        "endpoints": {"m": server.endpoint(hedge=False)},
        "defaults": {"chat": "m"},
        "answers": {"store": "memory:"},
    }
    with aiquery.connect(config=config) as found:
        found.execute("CREATE TABLE t AS SELECT i AS id, 'text ' || i AS s, i % 4 AS g FROM range(12) r(i)")
        yield found


EVEN = [2, 6, 10]
OR = "(g = 1 OR g = 2) AND ai_query('m', s) = 'yes'"


def ids(con, sql, dialect="duckdb"):
    return sorted(row[0] for row in con.sql(sql, dialect).fetchall())


@pytest.mark.parametrize("dialect", ["duckdb", "databricks"])
def test_an_or_keeps_its_brackets(con, tmp_path, dialect):
    assert ids(con, f"SELECT id FROM t WHERE {OR}", dialect) == EVEN
    joined = "SELECT t.id FROM t JOIN t AS u ON (t.id = u.id OR u.id = -1) AND ai_query('m', t.s) = 'yes' AND t.g < 2"
    assert ids(con, joined, dialect) == [0, 4, 8]
    con.sql(f"CREATE TABLE made AS SELECT id FROM t WHERE {OR}", dialect)
    con.sql(f"INSERT INTO made SELECT id FROM t WHERE {OR}", dialect)
    assert ids(con, "FROM made") == sorted(EVEN * 2)
    assert con.estimate(f"SELECT id FROM t WHERE {OR}", dialect).left == 0
    con.sql(f"DELETE FROM t WHERE {OR}", dialect)
    assert ids(con, "SELECT id FROM t") == [i for i in range(12) if i not in EVEN]


def test_an_or_keeps_its_brackets_in_copy_and_delta(con, tmp_path):
    deltalake = pytest.importorskip("deltalake")
    con.sql(f"COPY (SELECT id FROM t WHERE {OR}) TO '{tmp_path}/o.parquet'")
    assert ids(con, f"FROM '{tmp_path}/o.parquet'") == EVEN
    deltalake.write_deltalake(tmp_path / "d", con.raw.sql("FROM t").to_arrow_table())
    con.sql(f"DELETE FROM delta.`{tmp_path}/d` WHERE {OR}", "databricks")
    left = deltalake.DeltaTable(tmp_path / "d").to_pyarrow_table()["id"].to_pylist()
    assert sorted(left) == [i for i in range(12) if i not in EVEN]


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


class Custom:
    """A custom endpoint in the process, which notes the records that it is given."""

    slots = 4
    remote = False
    rate_limits = None
    seen = []

    @classmethod
    def check(cls, endpoint):
        pass

    @classmethod
    async def open(cls, endpoint, credentials):
        return cls()

    async def complete(self, request):
        self.seen.append(msgspec.json.encode(request.content).decode())
        return Response(value="ok")

    async def close(self):
        pass


def test_a_record_holds_the_same_json_however_it_is_asked(monkeypatch):
    real = plugins.provider
    monkeypatch.setattr(plugins, "provider", lambda name: Custom if name == "fake" else real(name))
    record = (
        "{'whole': sum(id), 'exact': 12345678901234.50::DECIMAL(20, 2), 'short': 0.1::FLOAT, 'flag': bool_and(true), "
        "'day': DATE '20000-01-02', 'at': TIMESTAMP_NS '2020-01-02 03:04:05.5', 'key': "
        "'00000000-0000-0000-0000-00000000000a'::UUID, 'bytes': 'ab'::BLOB, 'list': [1, NULL], 'map': MAP {'k': 1}}"
    )
    endpoint = {"provider": "fake", "task": "custom", "return_type": "STRING"}
    with aiquery.connect(config={"endpoints": {"c": endpoint}, "answers": {"store": "memory:"}}) as con:
        for how in HOW:
            getattr(con, how)(f"SELECT ai_query('c', {record}), sum(1::HUGEINT) FROM range(4) t(id)").fetchall()
    (seen,) = Custom.seen
    assert seen == (
        '{"whole":6,"exact":12345678901234.50,"short":0.1,"flag":true,"day":"20000-01-02","at":"2020-01-02 03:04:05.5",'
        '"key":"00000000-0000-0000-0000-00000000000a","bytes":"YWI=","list":[1,null],"map":{"k":1}}'
    )


FAILING = {
    "an error for NULL": "SELECT CASE WHEN r IS NULL THEN error('NULL') ELSE r END FROM (SELECT ai_query('m', s) AS r FROM t)",
    "a cast": "SELECT CAST(coalesce(r, 'none') AS ENUM('yes', 'no')) FROM (SELECT ai_query('m', s) AS r FROM t)",
}


@pytest.mark.parametrize("name", FAILING)
def test_asking_ahead_has_no_effect_on_a_transaction(con, name):
    con.execute("CREATE TABLE log(x INTEGER)")
    con.execute("BEGIN")
    con.execute("INSERT INTO log VALUES (1)")
    assert len(con.sql(FAILING[name]).fetchall()) == 12
    con.execute("COMMIT")
    assert con.execute("FROM log").fetchall() == [(1,)]
    assert len(con.sql(FAILING[name].replace("s)", "s || '!')")).fetchall()) == 12


def test_a_statement_that_fails_leaves_a_transaction_as_plain_duckdb_does(con):
    con.execute("BEGIN")
    with pytest.raises(RowError):
        con.sql("SELECT ai_query('m', 'BAD ' || s), sum(1::HUGEINT) OVER () FROM t")
    with pytest.raises(duckdb.TransactionException):
        con.execute("FROM t")
    con.execute("ROLLBACK")
    assert len(con.sql("SELECT ai_query('m', s) FROM t").fetchall()) == 12
    assert con.execute("SELECT current_setting('arrow_lossless_conversion')").fetchall() == [(False,)]


def test_within_a_transaction_the_real_error_is_raised(con):
    con.execute("BEGIN")
    with pytest.raises(duckdb.BinderException, match="zzz"):
        con.sql("SELECT zzz, TRY(ai_query('m', s)) FROM t WHERE ai_query('m', s) = 'yes' AND id < 3")


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
        server = serve(lambda q: Answer(status=400) if "none" in q.prompt else reply(q))
        con = connect(m=server.endpoint(hedge=False))
        con.execute("CREATE TABLE t AS SELECT i AS id, 'text ' || i AS s FROM range(5) r(i)")
        seen.append(sorted(getattr(con, how)(DEPENDENT[name]).fetchall()))
        sent.append(set(server.calls_by_prompt))
        assert max(server.calls_by_prompt.values(), default=1) == 1
    assert seen[0] == seen[1]
    assert sent[1] <= sent[0]


def test_a_call_about_an_answer_is_asked_after_the_first_ones_were_asked_at_once(connect, serve):
    server = serve(latency=0.2)
    con = connect(m=server.endpoint(hedge=False, max_concurrency=512))
    con.execute("CREATE TABLE t AS SELECT 'text ' || i AS s FROM range(5000) r(i)")
    con.sql("SELECT ai_query('m', 'again ' || r) FROM (SELECT ai_query('m', s) AS r FROM t)")
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
    con.execute("CREATE VIEW w AS SELECT * FROM range(100000) r(i) USING SAMPLE 5000 ROWS")
    assert len(con.sql(ONCE[name]).fetchall()) == 5000
    assert server.calls == 5000
    advanced = {"a macro over nextval()": 5001, "a view over nextval()": 1}.get(name, 1)
    assert con.execute("SELECT nextval('sq')").fetchall() == [(advanced,)]
    assert con.execute("SELECT nextval('sq2')").fetchall() == [(5001 if name == "a view over nextval()" else 1,)]


def test_a_python_function_with_side_effects_is_called_once_a_row(con, server):
    seen = []
    con.create_function("noted", lambda text: seen.append(text) or text, ["VARCHAR"], "VARCHAR", side_effects=True)
    con.sql("SELECT ai_query('m', noted(i::VARCHAR)) FROM range(3000) r(i)")
    assert len(seen) == server.calls == 3000


@pytest.mark.parametrize("how", HOW)
def test_a_source_that_can_be_read_once(con, how):
    reader = pa.table({"s": ["a", "b"]}).to_reader()  # noqa: F841  read by name
    assert getattr(con, how)("SELECT ai_query('m', s) FROM reader").fetchall() == [("no",), ("no",)]
    con.register("stream", pa.table({"s": ["a", "b"]}).to_reader())
    assert getattr(con, how)("SELECT ai_query('m', s) FROM stream").fetchall() == [("no",), ("no",)]


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
    assert con.sql("INSERT INTO made (a) VALUES (1) RETURNING r").fetchall() == [("no",)]
    assert server.calls == 1


@pytest.mark.parametrize("how", HOW)
def test_try_covers_the_arguments_of_a_call(con, how):
    rows = getattr(con, how)(
        "SELECT id, TRY(ai_query('m', 'n ' || CAST(CASE WHEN id = 1 THEN 'x' ELSE '5' END AS INTEGER))) FROM t WHERE id < 3"
    ).fetchall()
    assert sorted(rows) == [(0, "no"), (1, None), (2, "no")]
    rows = getattr(con, how)(
        "SELECT id, TRY(ai_query('m', ai_query('m', CASE WHEN id = 1 THEN 'BAD' ELSE 'q' || id END))) FROM t WHERE id < 3"
    ).fetchall()
    assert sorted(rows) == [(0, "no"), (1, None), (2, "no")]


NAMES = (
    "ai_query('m', s)", "TRY(ai_query('m', s))", "upper(ai_query('m', s))", "ai_query('m', s).upper()", "count(*)",
    "(ai_query('m', s, failOnError => false)).result", "ai_query('m', s) = 'x'", "CASE WHEN id = 1 THEN ai_query('m', s) END",
    "{'a': ai_query('m', s)}", "row(1, ai_query('m', s))", "[ai_query('m', s)]", "s::VARCHAR", "len(s)", "id + 1", "id in (1, 2)",
    "list_transform([s], lambda x: ai_query('m', x))", "(SELECT ai_query('m', 'c'))", "date '2020-01-01'", "-id", "s[1:2]",
    "'x'::ENUM('x', 'y')",
)  # fmt: skip


@pytest.mark.parametrize("expression", NAMES)
def test_names_and_types_are_those_of_plain_duckdb(con, expression):
    select = f"SELECT {expression}, {expression} FROM t {'GROUP BY s' if 'count' in expression else ''} LIMIT 2"
    plain, ours = con.raw.sql(select), con.sql(select)
    assert ours.columns == plain.columns
    assert ours.types == plain.types
    assert ours.fetchall() == plain.fetchall()
    con.sql(f"CREATE TABLE made AS SELECT {expression} FROM t")
    con.execute(f"CREATE TABLE wanted AS SELECT {expression} FROM t")
    assert con.execute("DESCRIBE made").fetchall() == con.execute("DESCRIBE wanted").fetchall()


def test_rows_that_are_returned_may_have_any_name(con):
    con.execute("CREATE TABLE o(id INTEGER, r VARCHAR)")
    found = con.sql("INSERT INTO o SELECT id, ai_query('m', s) FROM t WHERE id < 3 RETURNING id AS \"Count\"")
    assert sorted(found.fetchall()) == [(0,), (1,), (2,)]
    assert con.sql("INSERT INTO o SELECT id, ai_query('m', s) FROM t") is None


def test_an_aggregate_takes_distinct_and_filter_and_says_why_no_order(con, server):
    con.execute("CREATE TABLE d AS FROM (VALUES (1, 'b'), (1, 'b'), (1, 'a'), (2, NULL)) AS t(g, s)")
    assert con.sql("SELECT g, ai_agg(DISTINCT s, 'x') FROM d GROUP BY g ORDER BY g").fetchall()[1] == (2, None)
    con.sql("SELECT ai_agg(s, 'x') FILTER (WHERE g = 1 OR g = 3) FROM d")
    assert [prompt.split("\n", 1)[1] for prompt in server.prompts] == ["- a\n- b", "- a\n- b\n- b"]
    with pytest.raises(ArgumentError, match="in sorted order"):
        con.sql("SELECT ai_agg(s, 'x' ORDER BY g) FROM d")


PLANNED = (
    "SELECT CASE WHEN ai_query('m', s) = 'nope' THEN ai_query('m', 'BAD ' || k) ELSE 'k' END AS r FROM one",
    "SELECT coalesce(nullif(ai_query('m', s), 'x'), ai_query('m', 'BAD ' || k)) AS r FROM one",
    "SELECT r FROM (SELECT ai_query('m', 'BAD ' || k) AS r FROM one WHERE ai_query('m', s) = 'nope')",
)


@pytest.mark.parametrize("statement", PLANNED)
@pytest.mark.parametrize("begin", ["SELECT 1", "BEGIN"])
def test_what_fails_while_duckdb_plans_fails_nothing(con, statement, begin):
    con.execute("CREATE TABLE one AS SELECT 'text ' || i AS s, 1 AS k FROM range(2) r(i)")  # k has one value
    con.execute(begin)
    assert con.sql(statement).fetchall() == con.execute(statement).fetchall()


def test_a_connection_is_one_thread_s_at_a_time(connect, serve):
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


ANOTHER = (
    "SELECT TRY(ai_query('m', 'BAD ' || s)), CASE WHEN id = 3 THEN error('the real one') END FROM t",
    "SELECT coalesce(TRY(ai_query('m', 'BAD')), 'x'), CAST(s AS INTEGER) FROM t",
)


@pytest.mark.parametrize("statement", ANOTHER)
def test_the_real_error_is_raised_where_try_took_another(con, statement):
    with pytest.raises(
        (duckdb.InvalidInputException, duckdb.ConversionException), match=r"the real one|Could not convert"
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
@pytest.mark.parametrize("how", HOW)
def test_a_constant_null_has_the_type_of_its_function(con, server, call, how):
    getattr(con, how)(f"CREATE TABLE made AS SELECT {call} AS r")
    assert con.execute("DESCRIBE made").fetchall()[0][1] == NULLS[call]
    assert server.calls == 0


def test_fields_of_one_name_are_refused_by_name(con, server):
    with pytest.raises(aiquery.errors.UnsupportedReturnType, match=r"'a' and 'A'"):
        con.sql("SELECT ai_query('m', s, returnType => 'STRUCT<a: INT, A: STRING>') FROM t")
    with pytest.raises(aiquery.errors.UnsupportedReturnType, match=r"'Name' and 'name'"):
        con.sql("SELECT ai_extract(s, ['Name', 'name']) FROM t")
    assert server.calls == 0


def test_a_uuid_of_a_result_stays_one(con):
    value = uuid.UUID(int=10)
    assert con.sql(f"SELECT ai_query('m', s), '{value}'::UUID AS u FROM t LIMIT 1").fetchall() == [("yes", value)]


def test_a_frame_of_the_caller_may_have_a_name_that_we_use_too(con):
    frame = pa.table({"s": ["a", "b"]})
    names = (
        "sql statement catalog rewritten scope self raw settings text dialect before result query variables nodes run"
    )

    def ask(name):
        exec(f"{name} = frame\nrows.append(sql_of(name))", {**scope, name: frame}, {"name": name})  # noqa: S102

    rows = []
    scope = {
        "rows": rows,
        "frame": frame,
        "sql_of": lambda name: con.sql(f"SELECT ai_query('m', s) FROM {name}").fetchall(),
    }
    for name in names.split():
        ask(name)
    assert rows == [[("no",), ("no",)]] * len(names.split())


@pytest.mark.parametrize("terms", [50, 90, 200, 900])
def test_however_deep_a_statement_is(con, terms):
    text = " || ".join(["'a'"] * terms)
    statement = f"SELECT ai_query('m', {text} || id) FROM t WHERE (id < 3 OR id = 5) AND ai_query('m', s) = 'yes'"
    assert con.sql(statement).fetchall() == con.execute(statement).fetchall()
    assert con.estimate(statement).requests >= 0
