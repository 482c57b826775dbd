"""A Spark action is one kept run: what its tasks asked in any Python worker, right to the unit, without a text."""

import json
import time
from datetime import UTC
from pathlib import Path

import pytest
from pyspark.errors import AnalysisException

import aiquery
from aiquery.engines.spark.driver.history import POLL_S
from aiquery.testing import Answer

pytestmark = pytest.mark.spark


@pytest.fixture
def configured(session, serve, tmp_path):
    def start(reply=None, latency=0.0, **settings):
        server = serve(reply, latency=latency)
        endpoint = server.endpoint(
            hedge=False, price={"input": 1.0, "output": 2.0}, **settings
        )
        config = {
            "endpoints": {"m": endpoint},
            "cache": {"store": str(tmp_path / "answers.sqlite")},
        }
        session.conf.set("spark.aiquery.config", json.dumps(config))
        return server, config

    yield start
    session.conf.unset("spark.aiquery.config")


def test_workload_08_with_the_figures_of_the_run(session, configured):
    server, _ = configured()
    df = session.range(0, 2000, 1, 4).selectExpr(
        "'row ' || (id % 500) AS prompt_column"
    )
    result = df.selectExpr("ai_query('m', prompt_column) AS classification")
    result.write.format("noop").mode("overwrite").save()
    run = aiquery.last_run()
    assert (run.engine, run.state, run.rows, run.rows_total, run.failed) == (
        "spark",
        "done",
        2000,
        2000,
        0,
    )
    assert (run.attempts, run.requests) == (server.calls, 500)
    assert (run.tokens_in, run.tokens_out) == (
        server.usage["prompt_tokens"],
        server.usage["completion_tokens"],
    )
    assert run.cost_usd == pytest.approx(
        (run.tokens_in + 2 * run.tokens_out) / 1e6, abs=1e-9
    )
    assert run.rows_per_s == run.rows / run.seconds > 0
    first = run.run
    result.write.format("noop").mode("overwrite").save()
    again = aiquery.last_run()
    assert again.run != first
    assert (again.rows, again.requests, again.attempts, server.calls) == (
        2000,
        0,
        0,
        500,
    )
    assert again.cache_hits >= 500


def test_attempts_and_errors_of_all_workers_are_in_one_file(
    session, configured, tmp_path
):
    def reply(question):
        if question.prompt.endswith("7"):
            return Answer(status=400, text=f"cannot read {question.prompt}")
        return Answer()

    server, config = configured(reply)
    df = session.range(0, 400, 1, 4).selectExpr(
        "ai_query('m', 'a private text ' || id, failOnError => false) AS a"
    )
    df.write.format("noop").mode("overwrite").save()
    with aiquery.connect(config=config) as con:
        kept = con.sql(
            "SELECT rows, failed, errors[1].class, errors[1].example FROM aiquery_runs()"
        ).fetchall()
        assert [row[:3] for row in kept] == [(400, 40, "RequestFailed")]
        assert "private" not in kept[0][3]
        counts = "SELECT count(*), count(*) FILTER (WHERE ending = 'failed'), sum(tokens_in) FROM aiquery_attempts('last')"
        assert con.sql(counts).fetchall() == [
            (server.calls, 40, server.usage["prompt_tokens"])
        ]
    files = b"".join(path.read_bytes() for path in Path(tmp_path).glob("runs.sqlite*"))
    assert b"private" not in files


def test_hooks_hear_how_an_action_gets_on(session, configured):
    configured(latency=0.05, max_concurrency=8)
    heard = []
    df = session.range(0, 800, 1, 4).selectExpr("ai_query('m', 'row ' || id) AS a")
    df.limit(1).collect()  # what ended before anybody listened is no news
    time.sleep(2 * POLL_S)
    forget = aiquery.on_progress(heard.append)
    try:
        df.write.format("noop").mode("overwrite").save()
        while not heard or heard[-1].state != "done":
            time.sleep(0.1)
    finally:
        forget()
    assert len(heard) >= 2
    assert {progress.run for progress in heard} == {aiquery.last_run().run}
    for name in ("rows", "requests", "attempts", "tokens_in"):
        figures = [getattr(progress, name) for progress in heard]
        assert figures == sorted(figures), name
    assert (heard[-1].rows, heard[-1].requests) == (800, 799)


def test_between_two_tasks_a_run_goes_on_and_it_is_done_when_its_action_is(
    session, configured
):
    def late(batches):
        yield from batches
        time.sleep(3 * POLL_S)

    configured()
    heard = []
    slow = (
        session.range(0, 400, 1, 2)
        .selectExpr("ai_query('m', 'row ' || id) AS a")
        .mapInPandas(late, "a STRING")
    )
    forget = aiquery.on_progress(heard.append)
    try:
        slow.coalesce(1).write.format("noop").mode("overwrite").save()
        assert (aiquery.last_run().state, aiquery.last_run().rows) == ("done", 400)
        while not heard or heard[-1].state != "done":
            time.sleep(0.1)
    finally:
        forget()
    assert [progress.rows for progress in heard if progress.state == "done"] == [400]


def test_a_limit_ends_its_run_and_stops_asking(session, configured):
    server, _ = configured(latency=0.5, max_concurrency=512)
    session.range(100_000).selectExpr("'row ' || id AS s").createOrReplaceTempView(
        "big"
    )
    assert (
        len(
            session.sql(
                "SELECT s FROM big WHERE ai_query('m', s) LIKE 'echo%' LIMIT 10"
            ).collect()
        )
        == 10
    )
    while (run := aiquery.last_run()) is None or (run.state, run.attempts) != (
        "done",
        server.calls,
    ):
        time.sleep(
            0.1
        )  # what the tasks that were stopped did is heard of a second later
    calls = server.calls
    time.sleep(1.0)
    assert server.calls == calls


def test_runs_are_tables_in_sql(session, configured):
    server, _ = configured()
    df = session.range(0, 30, 1, 2).selectExpr("ai_query('m', 'row ' || id) AS a")
    df.write.format("noop").mode("overwrite").save()
    (run,) = session.sql("SELECT * FROM aiquery_runs()").collect()
    assert (run.engine, run.state, run.rows, run.attempts, run.endpoints) == (
        "spark",
        "done",
        30,
        server.calls,
        ["m"],
    )
    assert run.run == aiquery.last_run().run
    assert (run.errors, run.error) == ([], None)
    tokens = "SELECT count(*), sum(tokens_in), min(started_at) > current_timestamp() - INTERVAL 1 HOUR FROM"
    expected = [(30, server.usage["prompt_tokens"], True)]
    assert session.sql(f"{tokens} aiquery_attempts('{run.run}')").collect() == expected
    assert (
        session.sql(f"{tokens} aiquery_attempts(run => 'last')").collect() == expected
    )
    usage = "SELECT name, runs, attempts FROM aiquery_usage"
    assert session.sql(f"{usage}(by => 'endpoint')").collect() == [("m", 1, 30)]
    assert session.sql(f"{usage}('function')").collect() == [("ai_query", 1, 30)]
    assert session.sql(f"{usage}()").collect() == [
        (run.started_at.astimezone(UTC).date().isoformat(), 1, 30)
    ]


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        (
            "aiquery_usage(by => 'colour')",
            "by 'colour' is not known; use 'day', 'endpoint', 'function'",
        ),
        ("aiquery_attempts('none')", "run 'none' is not known"),
        ("aiquery_attempts()", "argument 'run' is missing"),
        ("aiquery_runs('last')", "1 arguments were given"),
    ],
)
def test_what_cannot_be_shown_is_said(session, configured, table, problem):
    configured()
    with pytest.raises(AnalysisException, match=problem):
        session.sql(f"SELECT * FROM {table}")
