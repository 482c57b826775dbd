"""Queries that once returned other rows, sent other requests or failed, unlike plain Spark; one of each kind."""

import json
import threading

import pytest
from pyspark.sql import Observation
from pyspark.sql import functions as F  # noqa: N812  the usual name

from aiquery.testing import Answer
from aiquery.tracking.store import RunStore

pytestmark = pytest.mark.spark


def classify(text):
    return "abc"[len(text) % 3]


def reply(question):
    if "BAD" in question.prompt:
        return Answer(status=400)
    return classify(question.prompt)


@pytest.fixture
def table(spark, tmp_path):
    """Spark with a table ``t`` of thirty rows in two files."""
    sql = spark(reply)
    store = {"store": str(tmp_path / "answers.sqlite")}  # shared by two workers
    sql.session.conf.set("spark.aiquery.config", sql.config(cache=store))
    rows = sql.session.range(0, 30, 1, 2).selectExpr("id", "'text ' || id AS s", "id % 3 AS g")
    rows.write.format("parquet").save(str(tmp_path / "t"))
    sql.session.read.parquet(str(tmp_path / "t")).createOrReplaceTempView("t")
    return sql


CALL = "ai_query('m', CASE WHEN id = 1 THEN 'BAD' ELSE 'q' || id END)"
ARGUMENT = "ai_query('m', 'n' || CAST(CASE WHEN id = 1 THEN 'x' ELSE '5' END AS INT))"
TRIED = {
    f"coalesce({CALL}, 'x')": ("c", None),
    f"{CALL} IS NULL": (False, None),
    f"concat_ws('-', 'q', {CALL})": ("q-c", None),
    f"CASE WHEN {CALL} = 'c' THEN 'A' ELSE 'other' END": ("A", None),
    f"concat({CALL}, 'z')": ("cz", None),
    f"upper({CALL})": ("C", None),
    f"CASE WHEN id = 0 THEN 'no call' ELSE {CALL} END": ("no call", None),
    f"coalesce('first', {CALL})": ("first", "first"),
    ARGUMENT: ("c", None),
    f"coalesce({ARGUMENT}, 'x')": ("c", None),
    "ai_query('m', 'n' || (10 DIV (id - 1)))": ("b", None),
    f"ai_query('m', {CALL})": ("b", None),
    f"ai_query('m', 'a' || {CALL}, failOnError => false).result": ("c", None),
    f"CASE WHEN CAST(CASE WHEN id = 1 THEN 'x' ELSE '0' END AS INT) = 0 THEN {CALL} END": ("c", None),
    "ai_query('m', CASE WHEN id = 1 THEN 'BAD' ELSE 'q' || id END, returnType => 'STRUCT<a: INT>').a": (None, None),
    "1 DIV (id - 1)": (-1, None),
}


@pytest.mark.parametrize("codegen", ["true", "false"])
def test_try_is_null_if_any_part_of_it_fails(table, codegen):
    settings = {"wholeStage": codegen, "factoryMode": "FALLBACK" if codegen == "true" else "NO_CODEGEN"}
    for name, value in settings.items():
        table.session.conf.set(f"spark.sql.codegen.{name}", value)
    try:
        columns = ", ".join(f"try({expression})" for expression in TRIED)
        first, second = table.collect(f"SELECT {columns} FROM t WHERE id < 2 ORDER BY id")
    finally:
        for name in settings:
            table.session.conf.unset(f"spark.sql.codegen.{name}")
    assert dict(zip(TRIED, zip(first, second, strict=True), strict=True)) == TRIED


def test_try_sends_no_request_of_a_branch_that_is_not_taken(table):
    table.collect(f"SELECT try(CASE WHEN id < 10 THEN coalesce({CALL}, 'x') ELSE 'other' END) FROM t")
    expected = ["BAD", *(f"q{i}" for i in range(10) if i != 1)]
    assert sorted(table.server.prompts) == sorted(expected)


AI = "ai_query('m', s)"
SHAPES = {
    "distribute": (f"SELECT id, {AI} AS r FROM t DISTRIBUTE BY {AI}", 30),
    "cluster": (f"SELECT id FROM t CLUSTER BY {AI}", 30),
    "lateral": ("SELECT t.id, l.r FROM t, LATERAL (SELECT ai_query('m', t.s) AS r WHERE ai_query('m', t.s) = 'a') AS l", 10),
    "lateral over a table": (
        "SELECT t.id, l.r FROM t, LATERAL (SELECT ai_query('m', u.s) AS r FROM t AS u "
        "WHERE u.id = t.id AND ai_query('m', u.s) = 'a') AS l", 10,
    ),
    "exists": ("SELECT id FROM t WHERE EXISTS (SELECT 1 FROM t AS u WHERE u.g = t.g AND ai_query('m', t.s) = 'a')", 10),
    "in": ("SELECT id FROM t WHERE id IN (SELECT u.id FROM t AS u WHERE ai_query('m', t.s) = 'a')", 10),
    "exists or a call": (
        "SELECT id, ai_query('m', 'x' || id) AS r FROM t "
        "WHERE EXISTS (SELECT 1 FROM t AS u WHERE ai_query('m', u.s) = 'none') OR ai_query('m', t.s) = 'a'", 10,
    ),
    "scalar": ("SELECT id, (SELECT max(ai_query('m', u.s)) FROM t AS u WHERE u.g = t.g) AS r FROM t", 30),
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_calls_in_partitioned_and_joined_rows(table, name):
    sql, rows = SHAPES[name]
    assert len(table.collect(sql)) == rows
    assert max(table.server.calls_by_prompt.values()) == 1


def test_frames_partitioned_and_observed_by_an_answer(table):
    frame = table.session.table("t")
    answer = F.expr(AI)
    expected = [(i, classify(f"text {i}")) for i in range(30)]
    for partitioned in (frame.repartition(4, answer), frame.repartitionByRange(4, answer)):
        rows = partitioned.select("id", answer.alias("r")).collect()
        assert sorted(rows) == expected
    observation = Observation("observed")
    observed = frame.observe(observation, F.count(answer).alias("n"), F.max(answer).alias("max"))
    assert observed.select("id").count() == 30
    assert observation.get == {"n": 30, "max": "b"}


def test_rows_stay_in_order_when_equal_requests_meet_in_one_task(table):
    table.session.conf.set("spark.aiquery.shuffleByRequest", "true")
    try:
        rows = table.collect(f"SELECT id, {AI} FROM t ORDER BY id DESC LIMIT 15")
    finally:
        table.session.conf.unset("spark.aiquery.shuffleByRequest")
    assert [row[0] for row in rows] == list(range(29, 14, -1))


def test_each_micro_batch_sends_failed_requests_again(spark, tmp_path):
    repaired = threading.Event()
    sql = spark(lambda _: "ok" if repaired.is_set() else Answer(status=400))
    source = tmp_path / "in"
    source.mkdir()
    received = []

    def add_row(number):
        (tmp_path / "row").write_text(json.dumps({"id": number, "s": "the same text"}))
        (tmp_path / "row").rename(source / f"{number}.json")

    def receive(batch, _):
        received.extend(map(tuple, batch.collect()))

    add_row(1)
    frame = sql.session.readStream.schema("id INT, s STRING").json(str(source))
    answered = frame.selectExpr("id", "ai_query('m', s, failOnError => false).result AS r")
    writer = answered.writeStream.foreachBatch(receive)
    query = writer.option("checkpointLocation", str(tmp_path / "checkpoint")).start()
    try:
        query.processAllAvailable()
        repaired.set()
        add_row(2)
        query.processAllAvailable()
    finally:
        query.stop()
    assert received == [(1, None), (2, "ok")]


def test_the_runs_of_each_session_go_into_its_own_store(table, tmp_path):
    sessions = {"first": table.session, "second": table.session.newSession()}
    for name, session in sessions.items():
        runs = {"store": str(tmp_path / f"{name}.sqlite")}
        session.conf.set("spark.aiquery.config", table.config(runs=runs))
    frames = [session.range(3).selectExpr(f"ai_query('m', '{name} ' || id) AS r") for name, session in sessions.items()]
    for frame in frames:  # the second session was bound last
        frame.collect()
    for name, session in sessions.items():
        rows = session.sql("SELECT rows, state FROM aiquery_runs()").collect()
        assert [tuple(row) for row in rows] == [(3, "done")], name
        store = RunStore(str(tmp_path / f"{name}.sqlite"), keep_days=1, max_bytes=1e6)
        assert [run.progress.rows for run in store.runs()] == [3]
        store.close()


def test_constants_are_sent_as_they_were_written(table):
    table.collect(
        "SELECT ai_query('m', 'x', modelParameters => named_struct('big', 12345678901234567890, 'day', DATE'2024-01-02', "
        "'at', TIMESTAMP_NTZ'2024-01-02 03:04:05', 'exact', 0.1BD, 'short', CAST(0.1 AS FLOAT)))"
    )
    (request,) = table.server.requests
    assert request.body["big"] == 12345678901234567890
    assert request.body["day"] == "2024-01-02"
    assert request.body["at"] == "2024-01-02 03:04:05"
    assert (request.body["exact"], request.body["short"]) == (0.1, 0.1)


RULES = ("ExtractCalls", "SortFirst", "DropUnread", "MergeCalls", "ShuffleByRequest", "ShareCalls", "KeepCte")
UNCHANGED = (
    "SELECT id, upper(s) FROM t WHERE g = 1 AND s LIKE '%1%' ORDER BY id LIMIT 5",
    "SELECT g, count(*), max(s) FROM t GROUP BY g HAVING count(*) > 1",
    "WITH c AS (SELECT * FROM t WHERE g = 1) SELECT a.id FROM c AS a JOIN c AS b ON a.id = b.id",
    "SELECT id, row_number() OVER (PARTITION BY g ORDER BY id) FROM t DISTRIBUTE BY g",
    "SELECT id FROM t WHERE EXISTS (SELECT 1 FROM t AS u WHERE u.g = t.g)",
    f"SELECT id, {AI} AS r FROM t ORDER BY r LIMIT 5",  # the order depends on the answer
    f"SELECT {AI} || ai_query('m', {AI}) FROM t",  # one call depends on the other
)


@pytest.mark.parametrize("sql", UNCHANGED)
@pytest.mark.parametrize("rule", RULES)
def test_a_rule_does_not_change_plans_it_is_not_for(table, rule, sql):
    from aiquery.engines.spark.driver.scala_object import scala_object

    execution = table.session.sql(sql)._jdf.queryExecution()
    plan = execution.analyzed() if rule in {"KeepCte", "ExtractCalls"} else execution.optimizedPlan()
    if "ai_query" in sql and rule == "ExtractCalls":
        pytest.skip("the rule is for every plan with a call")
    changed = scala_object(table.session, rule).apply(plan)
    assert changed.canonicalized().toString() == plan.canonicalized().toString()


@pytest.mark.parametrize(("name", "value"), [("adaptive.enabled", "false"), ("ansi.enabled", "false")])
def test_rows_are_the_same_with_other_settings_of_spark(table, name, value):
    sql = f"SELECT g, {AI} AS r, count(*) FROM t WHERE (g = 1 OR g = 2) AND {AI} <> 'c' GROUP BY ALL ORDER BY ALL"
    tried = f"SELECT try(coalesce({CALL}, 'x')) FROM t WHERE id = 1"
    expected = table.collect(sql)
    table.session.conf.set(f"spark.sql.{name}", value)
    try:
        assert table.collect(sql) == expected
        assert table.collect(tried) == [(None,)]
    finally:
        table.session.conf.unset(f"spark.sql.{name}")
