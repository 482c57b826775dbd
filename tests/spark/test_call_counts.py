"""The number of calls that reach the endpoint. Spark's own plans would send many times more."""

import pytest

pytestmark = pytest.mark.spark
WINDOW = 65 * 256
"""The rows that may be in flight in one task."""

EXACT = {
    "SELECT ai_query('m', s) FROM t LIMIT 10": 10,
    "SELECT id, ai_query('m', s) FROM t ORDER BY id LIMIT 10": 10,
    "SELECT count(*) FROM (SELECT id, ai_query('m', s) a FROM t)": 0,
    "SELECT ai_query('m', s), ai_query('m', s) FROM t": 2000,
    "SELECT ai_query('m', s) a FROM t WHERE ai_query('m', s) LIKE '%7%'": 2000,
    "SELECT * FROM (SELECT id, ai_query('m', s) a FROM t) WHERE a LIKE '%7%' AND length(a) > 3": 2000,
    "SELECT * FROM t WHERE ai_query('m', s) LIKE '%7%' AND id < 100": 100,
    "SELECT CASE WHEN id < 100 THEN ai_query('m', s) END FROM t": 100,
    "SELECT COALESCE(known, ai_query('m', s)) FROM t": 500,
    "WITH c AS (SELECT id, ai_query('m', s) a FROM t) SELECT * FROM c x JOIN c y ON x.id = y.id": 2000,
    "SELECT a FROM (SELECT ai_query('m', s) a FROM t) ORDER BY a": 2000,
    "SELECT ai_query('m', t.s) FROM t JOIN (SELECT explode(sequence(0, 19)) id) u ON t.id = u.id": 20,
    "SELECT ai_query('m', s) a, count(*) FROM t GROUP BY a": 2000,
    "SELECT ai_query('m', k), count(*) FROM (SELECT id % 5 || '' k FROM t) GROUP BY k": 5,
    "SELECT upper(ai_query('m', max(s))) || k, k FROM (SELECT s, id % 5 k FROM t) GROUP BY k": 5,
    "SELECT ai_query('m', k) FROM (SELECT DISTINCT id % 5 || '' k FROM t)": 5,
}


@pytest.fixture(scope="module")
def rows():
    return [(i, f"row {i}", None if i % 4 == 0 else "known") for i in range(2000)]


@pytest.mark.parametrize("statement", EXACT)
def test_calls(spark, rows, statement):
    sql = spark()
    sql.table("t", "id INT, s STRING, known STRING", rows)
    if "LIMIT" in statement:
        sql.collect(statement)
    else:
        sql.session.sql(statement).write.format("noop").mode("overwrite").save()
    assert sql.server.calls == EXACT[statement]
    assert max(sql.server.calls_by_prompt.values(), default=1) == 1


def test_calls_of_one_row_are_in_flight_at_once(spark):
    sql = spark(latency=1.0, max_concurrency=64)
    sql.session.range(0, 10, 1, 1).selectExpr("id", "'row ' || id AS s").createOrReplaceTempView("one_partition")
    calls = ", ".join(f"ai_query('m', '{name} ' || s) {name}" for name in "abc")
    rows = sql.session.sql(f"SELECT id, {calls} FROM one_partition").collect()
    assert {row.c for row in rows} == {f"echo: c row {i}" for i in range(10)}
    assert sql.server.calls == 30
    assert sql.server.peak_in_flight >= 29  # the first request to an endpoint is sent alone


def test_a_condition_above_a_join_sends_requests_of_joining_rows_only(spark, rows):
    sql = spark()
    sql.table("t", "id INT, s STRING, known STRING", rows)
    joined = (
        "SELECT * FROM t JOIN (SELECT explode(sequence(0, 19)) id) u ON t.id = u.id WHERE ai_query('m', s) LIKE 'e%'"
    )
    assert len(sql.collect(joined)) == 20
    assert sql.server.calls == 20


def test_a_self_join_sends_each_request_once(spark, rows):
    sql = spark()
    sql.table("t", "id INT, s STRING, known STRING", rows)
    frame = sql.session.sql("SELECT id, ai_query('m', s) AS a FROM t")
    assert frame.alias("x").join(frame.alias("y"), "id").count() == 2000
    assert sql.server.calls <= 2000
    joined = frame.alias("x").join(frame.alias("y"), "a")
    joined.write.format("noop").mode("overwrite").save()
    assert sql.server.calls == 2000


def test_equal_requests_meet_in_one_task_where_a_shuffle_is_allowed(spark):
    sql = spark()
    frame = sql.session.range(0, 4000, 1, 8).selectExpr("id", "'text ' || id % 7 AS s")
    frame.createOrReplaceTempView("repeated")
    sql.session.conf.set("spark.aiquery.shuffleByRequest", "true")
    sql.session.conf.set("spark.sql.adaptive.enabled", "false")
    try:
        rows = sql.collect("SELECT id, ai_query('m', s) FROM repeated")
    finally:
        sql.session.conf.unset("spark.aiquery.shuffleByRequest")
        sql.session.conf.unset("spark.sql.adaptive.enabled")
    assert sorted(rows) == [(i, f"echo: text {i % 7}") for i in range(4000)]
    assert sql.server.calls == 7


def test_jobs_of_one_frame_send_the_request_of_a_failing_row_once(spark):
    from aiquery.testing import Answer

    sql = spark(lambda q: Answer(status=400) if q.prompt.endswith("7") else "ok")
    sql.session.conf.set("spark.aiquery.config", sql.config(cache={}))
    df = sql.session.range(0, 400, 1, 4).selectExpr("'text ' || id AS prompt_text")
    result = df.selectExpr("*", "TRY(ai_query('m', prompt_text)) AS result").selectExpr(
        "*", "result IS NULL AS has_error"
    )
    assert result.filter("has_error = false").count() == 360
    assert result.filter("has_error = true").count() == 40
    assert sql.server.calls == 400


def test_a_limit_above_an_ai_filter_ends_the_requests(spark):
    sql = spark(latency=0.05, max_concurrency=16)
    texts = sql.session.range(100_000).selectExpr("id", "'row ' || id AS s")
    texts.createOrReplaceTempView("big")
    rows = sql.collect("SELECT id FROM big WHERE ai_query('m', s) LIKE 'echo%' LIMIT 10")
    assert len(rows) == 10
    assert sql.server.calls <= WINDOW


def test_answers_in_flight_when_a_row_fails_are_cached(spark, tmp_path):
    from aiquery.testing import Answer

    def reply(question):
        if question.prompt == "bad":
            return Answer(status=400, latency_s=0.5)
        return Answer(text="ok", latency_s=2.0)

    sql = spark(reply, max_concurrency=20)
    config = sql.config(cache={"store": str(tmp_path / "answers.sqlite")})
    sql.session.conf.set("spark.aiquery.config", config)
    texts = sql.session.range(0, 20, 1, 1).selectExpr("if(id = 10, 'bad', 'row ' || id) AS s")
    with pytest.raises(Exception, match="HTTP 400"):
        texts.selectExpr("ai_query('m', s)").collect()
    assert sql.server.calls == 20
    good = texts.filter("s <> 'bad'").selectExpr("ai_query('m', s)").collect()
    assert len(good) == 19
    assert sql.server.calls == 20
