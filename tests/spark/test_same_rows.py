"""Queries that once gave other rows, other requests or an error where plain Spark has none; each stands for a kind."""

import json

import pytest
from pyspark.sql import Observation
from pyspark.sql import functions as F  # noqa: N812  as Spark's users write it

from aiquery.testing import Answer
from aiquery.tracking.store import RunStore

pytestmark = pytest.mark.spark


def reply(question):
    return (
        Answer(status=400)
        if "BAD" in question.prompt
        else "abc"[len(question.prompt) % 3]
    )


@pytest.fixture
def table(spark, tmp_path):
    """Give Spark with a table ``t`` of thirty rows in two files."""
    found = spark(reply)
    store = {"store": str(tmp_path / "answers.sqlite")}  # which two workers share
    found.session.conf.set("spark.aiquery.config", found.config(cache=store))
    rows = found.session.range(0, 30, 1, 2).selectExpr(
        "id", "'text ' || id AS s", "id % 3 AS g"
    )
    rows.write.format("parquet").save(str(tmp_path / "t"))
    found.session.read.parquet(str(tmp_path / "t")).createOrReplaceTempView("t")
    return found


CALL = "ai_query('m', CASE WHEN id = 1 THEN 'BAD' ELSE 'q' || id END)"
ARGUMENT = "ai_query('m', 'n' || CAST(CASE WHEN id = 1 THEN 'x' ELSE '5' END AS INT))"
TRIED = {
    f"coalesce({CALL}, 'x')": ("c", None),
    f"{CALL} IS NULL": (False, None),
    f"concat_ws('-', 'q', {CALL})": ("q-c", None),
    f"CASE WHEN {CALL} = 'c' THEN 'A' ELSE 'other' END": ("A", None),
    f"concat({CALL}, 'z')": ("cz", None),
    f"upper({CALL})": ("C", None),
    f"CASE WHEN id = 0 THEN 'not asked' ELSE {CALL} END": ("not asked", None),
    f"coalesce('first', {CALL})": ("first", "first"),
    ARGUMENT: ("c", None),
    f"coalesce({ARGUMENT}, 'x')": ("c", None),
    "ai_query('m', 'n' || (10 DIV (id - 1)))": ("b", None),
    f"ai_query('m', {CALL})": ("b", None),
    f"ai_query('m', 'a' || {CALL}, failOnError => false).result": ("c", None),
    f"CASE WHEN CAST(CASE WHEN id = 1 THEN 'x' ELSE '0' END AS INT) = 0 THEN {CALL} END": (
        "c",
        None,
    ),
    "ai_query('m', CASE WHEN id = 1 THEN 'BAD' ELSE 'q' || id END, returnType => 'STRUCT<a: INT>').a": (
        None,
        None,
    ),
    "1 DIV (id - 1)": (-1, None),
}


@pytest.mark.parametrize("codegen", ["true", "false"])
def test_try_is_null_where_any_part_of_it_fails(table, codegen):
    settings = {
        "wholeStage": codegen,
        "factoryMode": "FALLBACK" if codegen == "true" else "NO_CODEGEN",
    }
    for name, value in settings.items():
        table.session.conf.set(f"spark.sql.codegen.{name}", value)
    try:
        columns = ", ".join(f"try({expression})" for expression in TRIED)
        first, second = table.collect(
            f"SELECT {columns} FROM t WHERE id < 2 ORDER BY id"
        )
    finally:
        for name in settings:
            table.session.conf.unset(f"spark.sql.codegen.{name}")
    assert dict(zip(TRIED, zip(first, second, strict=True), strict=True)) == TRIED


def test_try_asks_for_no_branch_that_is_not_taken(table):
    table.collect(
        f"SELECT try(CASE WHEN id < 10 THEN coalesce({CALL}, 'x') ELSE 'other' END) FROM t"
    )
    assert sorted(table.server.prompts) == sorted(
        ["BAD", *(f"q{i}" for i in range(10) if i != 1)]
    )


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
    "scalar": ("SELECT id, (SELECT max(ai_query('m', u.s)) FROM t AS u WHERE u.g = t.g) AS r FROM t", 30),
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_answers_where_rows_are_partitioned_or_joined(table, name):
    sql, rows = SHAPES[name]
    assert len(table.collect(sql)) == rows
    assert max(table.server.calls_by_prompt.values()) == 1


def test_frames_partitioned_and_observed_by_an_answer(table):
    frame, ai = table.session.table("t"), F.expr(AI)
    for parted in (frame.repartition(4, ai), frame.repartitionByRange(4, ai)):
        rows = parted.select("id", ai.alias("r")).collect()
        assert sorted(rows) == [(i, "abc"[len(f"text {i}") % 3]) for i in range(30)]
    seen = Observation("seen")
    assert (
        frame.observe(seen, F.count(ai).alias("n"), F.max(ai).alias("most"))
        .select("id")
        .count()
        == 30
    )
    assert seen.get == {"n": 30, "most": "b"}


def test_rows_keep_their_order_where_equal_requests_meet(table):
    table.session.conf.set("spark.aiquery.shuffleByRequest", "true")
    try:
        rows = table.collect(f"SELECT id, {AI} FROM t ORDER BY id DESC LIMIT 15")
    finally:
        table.session.conf.unset("spark.aiquery.shuffleByRequest")
    assert [row[0] for row in rows] == list(range(29, 14, -1))


def test_each_micro_batch_asks_again_what_failed_in_another(spark, tmp_path):
    down = [True]
    found = spark(lambda _: Answer(status=400) if down[0] else "ok")
    source, got = tmp_path / "in", []
    source.mkdir()

    def put(number):
        (tmp_path / "row").write_text(json.dumps({"id": number, "s": "the same text"}))
        (tmp_path / "row").rename(source / f"{number}.json")

    put(1)
    frame = found.session.readStream.schema("id INT, s STRING").json(str(source))
    answered = frame.selectExpr(
        "id", "ai_query('m', s, failOnError => false).result AS r"
    )
    writing = answered.writeStream.foreachBatch(
        lambda batch, _: got.extend(map(tuple, batch.collect()))
    )
    query = writing.option("checkpointLocation", str(tmp_path / "checkpoint")).start()
    try:
        query.processAllAvailable()
        down[0] = False
        put(2)
        query.processAllAvailable()
    finally:
        query.stop()
    assert got == [(1, None), (2, "ok")]


def test_each_session_s_runs_go_into_its_own_store(table, tmp_path):
    first, second = table.session, table.session.newSession()
    for name, session in (("first", first), ("second", second)):
        session.conf.set(
            "spark.aiquery.config",
            table.config(runs={"store": str(tmp_path / f"{name}.sqlite")}),
        )
    frames = [session.range(3).selectExpr(f"ai_query('m', '{name} ' || id) AS r") for name, session in
              (("first", first), ("second", second))]  # fmt: skip
    for frame in frames:  # the second session bound last
        frame.collect()
    for name, session in (("first", first), ("second", second)):
        states = [
            tuple(row)
            for row in session.sql("SELECT rows, state FROM aiquery_runs()").collect()
        ]
        assert states == [(3, "done")], name
        store = RunStore(str(tmp_path / f"{name}.sqlite"), keep_days=1, max_bytes=1e6)
        assert [run.progress.rows for run in store.runs()] == [3]
        store.close()


def test_constants_are_sent_as_they_were_written(table):
    table.collect(
        "SELECT ai_query('m', 'x', modelParameters => named_struct('big', 12345678901234567890, 'day', DATE'2024-01-02', "
        "'at', TIMESTAMP_NTZ'2024-01-02 03:04:05', 'exact', 0.1BD, 'short', CAST(0.1 AS FLOAT)))"
    )
    (question,) = table.server.requests
    assert question.body["big"] == 12345678901234567890
    assert (question.body["day"], question.body["at"]) == (
        "2024-01-02",
        "2024-01-02 03:04:05",
    )
    assert (question.body["exact"], question.body["short"]) == (0.1, 0.1)


RULES = (
    "ExtractCalls",
    "SortFirst",
    "DropUnread",
    "MergeCalls",
    "ShuffleByRequest",
    "ShareCalls",
    "KeepCte",
)
LEFT_ALONE = (
    "SELECT id, upper(s) FROM t WHERE g = 1 AND s LIKE '%1%' ORDER BY id LIMIT 5",
    "SELECT g, count(*), max(s) FROM t GROUP BY g HAVING count(*) > 1",
    "WITH c AS (SELECT * FROM t WHERE g = 1) SELECT a.id FROM c AS a JOIN c AS b ON a.id = b.id",
    "SELECT id, row_number() OVER (PARTITION BY g ORDER BY id) FROM t DISTRIBUTE BY g",
    "SELECT id FROM t WHERE EXISTS (SELECT 1 FROM t AS u WHERE u.g = t.g)",
    f"SELECT id, {AI} AS r FROM t ORDER BY r LIMIT 5",  # the order needs the answer
    f"SELECT {AI} || ai_query('m', {AI}) FROM t",  # one depends on the other
)


@pytest.mark.parametrize("sql", LEFT_ALONE)
@pytest.mark.parametrize("rule", RULES)
def test_a_rule_leaves_a_plan_alone_that_it_is_not_for(table, rule, sql):
    from aiquery.engines.spark.driver.scala_object import scala_object

    execution = table.session.sql(sql)._jdf.queryExecution()
    plan = (
        execution.analyzed()
        if rule in {"KeepCte", "ExtractCalls"}
        else execution.optimizedPlan()
    )
    if "ai_query" in sql and rule == "ExtractCalls":
        pytest.skip("it is for every plan that calls")
    changed = scala_object(table.session, rule).apply(plan)
    assert changed.canonicalized().toString() == plan.canonicalized().toString()


@pytest.mark.parametrize(
    ("name", "value"), [("adaptive.enabled", "false"), ("ansi.enabled", "false")]
)
def test_the_same_with_other_settings(table, name, value):
    sql = f"SELECT g, {AI} AS r, count(*) FROM t WHERE (g = 1 OR g = 2) AND {AI} <> 'c' GROUP BY ALL ORDER BY ALL"
    usual = table.collect(sql)
    table.session.conf.set(f"spark.sql.{name}", value)
    try:
        assert table.collect(sql) == usual
        assert table.collect(
            f"SELECT try(coalesce({CALL}, 'x')) FROM t WHERE id = 1"
        ) == [(None,)]
    finally:
        table.session.conf.unset(f"spark.sql.{name}")
