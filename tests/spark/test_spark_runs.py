"""A Spark action is one stored run: the exact figures of its tasks in all Python workers, without a text."""

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
def configure(session, serve, tmp_path):
    """Return a function that starts a server, configures the session, and returns the server and the configuration."""

    def start(reply=None, latency=0.0, **settings):
        server = serve(reply, latency=latency)
        endpoint = server.endpoint(hedge=False, price={"input": 1.0, "output": 2.0}, **settings)
        config = {"endpoints": {"m": endpoint}, "cache": {"store": str(tmp_path / "answers.sqlite")}}
        session.conf.set("spark.aiquery.config", json.dumps(config))
        return server, config

    yield start
    session.conf.unset("spark.aiquery.config")


def test_the_figures_of_workload_08(session, configure):
    server, _ = configure()
    df = session.range(0, 2000, 1, 4).selectExpr("'row ' || (id % 500) AS prompt_column")
    result = df.selectExpr("ai_query('m', prompt_column) AS classification")
    result.write.format("noop").mode("overwrite").save()
    run = aiquery.last_run()
    assert (run.engine, run.state) == ("spark", "done")
    assert (run.rows, run.rows_total, run.failed) == (2000, 2000, 0)
    assert (run.attempts, run.requests) == (server.calls, 500)
    assert run.tokens_in == server.usage["prompt_tokens"]
    assert run.tokens_out == server.usage["completion_tokens"]
    cost_usd = (run.tokens_in + 2 * run.tokens_out) / 1e6
    assert run.cost_usd == pytest.approx(cost_usd, abs=1e-9)
    assert run.rows_per_s == run.rows / run.seconds > 0
    result.write.format("noop").mode("overwrite").save()
    second = aiquery.last_run()
    assert second.run != run.run
    assert (second.rows, second.requests, second.attempts) == (2000, 0, 0)
    assert server.calls == 500
    assert second.cache_hits >= 500


def test_attempts_and_errors_of_all_workers_are_in_one_file(session, configure, tmp_path):
    def reply(question):
        if question.prompt.endswith("7"):
            return Answer(status=400, text=f"cannot read {question.prompt}")
        return Answer()

    server, config = configure(reply)
    df = session.range(0, 400, 1, 4).selectExpr("ai_query('m', 'a private text ' || id, failOnError => false) AS a")
    df.write.format("noop").mode("overwrite").save()
    with aiquery.connect(config=config) as con:
        (run,) = con.sql("SELECT rows, failed, errors[1].class, errors[1].example FROM aiquery_runs()").fetchall()
        assert run[:3] == (400, 40, "RequestFailed")
        assert "private" not in run[3]
        counts = (
            "SELECT count(*), count(*) FILTER (WHERE ending = 'failed'), sum(tokens_in) FROM aiquery_attempts('last')"
        )
        expected = (server.calls, 40, server.usage["prompt_tokens"])
        assert con.sql(counts).fetchall() == [expected]
    files = b"".join(path.read_bytes() for path in Path(tmp_path).glob("runs.sqlite*"))
    assert b"private" not in files


def wait_for_end(events):
    while not events or events[-1].state != "done":
        time.sleep(0.1)


def test_hooks_receive_the_progress_of_an_action(session, configure):
    configure(latency=0.05, max_concurrency=8)
    events = []
    df = session.range(0, 800, 1, 4).selectExpr("ai_query('m', 'row ' || id) AS a")
    df.limit(1).collect()  # a run that ended before the hook was added has no event
    time.sleep(2 * POLL_S)
    stop = aiquery.on_progress(events.append)
    try:
        df.write.format("noop").mode("overwrite").save()
        wait_for_end(events)
    finally:
        stop()
    assert len(events) >= 2
    assert {event.run for event in events} == {aiquery.last_run().run}
    for name in ("rows", "requests", "attempts", "tokens_in"):
        figures = [getattr(event, name) for event in events]
        assert figures == sorted(figures), name
    assert (events[-1].rows, events[-1].requests) == (800, 799)


def test_a_run_continues_between_two_tasks_and_ends_with_its_action(session, configure):
    def delay(batches):
        yield from batches
        time.sleep(3 * POLL_S)

    configure()
    events = []
    answered = session.range(0, 400, 1, 2).selectExpr("ai_query('m', 'row ' || id) AS a")
    slow = answered.mapInPandas(delay, "a STRING")
    stop = aiquery.on_progress(events.append)
    try:
        slow.coalesce(1).write.format("noop").mode("overwrite").save()
        assert (aiquery.last_run().state, aiquery.last_run().rows) == ("done", 400)
        wait_for_end(events)
    finally:
        stop()
    assert [event.rows for event in events if event.state == "done"] == [400]


def test_a_limit_ends_its_run_and_its_requests(session, configure):
    server, _ = configure(latency=0.5, max_concurrency=512)
    texts = session.range(100_000).selectExpr("'row ' || id AS s")
    texts.createOrReplaceTempView("big")
    statement = "SELECT s FROM big WHERE ai_query('m', s) LIKE 'echo%' LIMIT 10"
    assert len(session.sql(statement).collect()) == 10

    def is_complete(run):
        return run is not None and (run.state, run.attempts) == ("done", server.calls)

    # the tasks that were stopped report a second later
    while not is_complete(aiquery.last_run()):
        time.sleep(0.1)
    calls = server.calls
    time.sleep(1.0)
    assert server.calls == calls


def test_runs_are_tables_in_sql(session, configure):
    server, _ = configure()
    df = session.range(0, 30, 1, 2).selectExpr("ai_query('m', 'row ' || id) AS a")
    df.write.format("noop").mode("overwrite").save()
    (run,) = session.sql("SELECT * FROM aiquery_runs()").collect()
    assert (run.engine, run.state, run.endpoints) == ("spark", "done", ["m"])
    assert (run.rows, run.attempts) == (30, server.calls)
    assert run.run == aiquery.last_run().run
    assert (run.errors, run.error) == ([], None)
    tokens = "SELECT count(*), sum(tokens_in), min(started_at) > current_timestamp() - INTERVAL 1 HOUR FROM"
    expected = [(30, server.usage["prompt_tokens"], True)]
    for argument in (f"'{run.run}'", "run => 'last'"):
        rows = session.sql(f"{tokens} aiquery_attempts({argument})").collect()
        assert rows == expected
    usage = "SELECT name, runs, attempts FROM aiquery_usage"
    today = run.started_at.astimezone(UTC).date().isoformat()
    assert session.sql(f"{usage}(by => 'endpoint')").collect() == [("m", 1, 30)]
    assert session.sql(f"{usage}('function')").collect() == [("ai_query", 1, 30)]
    assert session.sql(f"{usage}()").collect() == [(today, 1, 30)]


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ("aiquery_usage(by => 'colour')", "by 'colour' is not known; use 'day', 'endpoint', 'function'"),
        ("aiquery_attempts('none')", "run 'none' is not known"),
        ("aiquery_attempts()", "argument 'run' is missing"),
        ("aiquery_runs('last')", "1 arguments were given"),
    ],
)
def test_wrong_arguments_of_a_table_function_are_rejected(session, configure, table, problem):
    configure()
    with pytest.raises(AnalysisException, match=problem):
        session.sql(f"SELECT * FROM {table}")
