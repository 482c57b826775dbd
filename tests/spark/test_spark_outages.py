"""Endpoints that fail, on Spark: eight tasks share limits, cooldown and failures."""

import json

import pytest

from aiquery.testing import Answer
from failure_window import Window
from raw_server import INTERIM, Raw, echo

pytestmark = pytest.mark.spark


def query(sql, rows, name="m"):
    """Query ``rows`` rows in eight tasks, check that no row has the answer of another, and return the errors."""
    frame = sql.session.range(0, rows, 1, 8).selectExpr(
        "id", f"ai_query('{name}', 'row ' || id, failOnError => false) AS r"
    )
    results = frame.collect()
    assert len(results) == rows
    for row in results:
        assert row.r.result in {None, f"echo: row {row.id}"}
    return [row.r.errorMessage for row in results if row.r.result is None]


@pytest.mark.parametrize("limit", [{"max_concurrency": 64}, {}], ids=["configured", "adaptive"])
@pytest.mark.parametrize("status", [503, 429, 502])
def test_after_a_period_of_throttling_all_slots_are_used_again(spark, status, limit):
    window = Window(Answer(status=status), 1.0)
    sql = spark(window, latency=0.1, **limit)
    window.server = sql.server
    assert query(sql, 2000) == []
    assert sql.server.statuses[status] <= 3 * 64
    assert window.in_flight_after >= 50


def test_all_connections_are_dropped_at_once(spark):
    dropped = set()

    def reply(question):
        if len(dropped) < 128 and question.prompt not in dropped:
            dropped.add(question.prompt)
            return Answer(fate="reset")
        return Answer()

    sql = spark(reply, latency=0.2, max_concurrency=128)
    assert query(sql, 512) == []
    assert len(dropped) == 128


@pytest.mark.parametrize("status", [401, 404])
def test_an_error_of_every_row_sends_no_further_requests(spark, status):
    sql = spark(lambda _: Answer(status=status), latency=0.05, max_concurrency=32)
    errors = query(sql, 3000)
    assert len(errors) == 3000
    assert all(f"HTTP {status}" in error for error in errors)
    assert sql.server.calls <= 2 * 32


def test_an_exhausted_quota_ends_the_statement(spark):
    message = "You exceeded your current quota"
    error = {"message": message, "type": "insufficient_quota"}
    answer = Answer(status=429, body=json.dumps({"error": error}).encode())
    sql = spark(lambda _: answer, latency=0.05, max_concurrency=32)
    frame = sql.session.range(0, 3000, 1, 8).selectExpr("ai_query('m', 'row ' || id)")
    with pytest.raises(Exception, match="exceeded your current quota"):
        frame.collect()
    assert sql.server.calls <= 2 * 32


def test_an_outage_ends_with_an_error_and_few_requests(spark):
    sql = spark(lambda _: Answer(status=503), max_concurrency=32, timeout={"outage_s": 3})
    errors = query(sql, 2000)
    assert len(errors) == 2000
    assert all("answered no request for" in error for error in errors)
    assert sql.server.calls < 200


def test_nonsensical_headers_do_not_block_a_statement(spark):
    throttled = set()

    def reply(question):
        if len(throttled) < 5 and question.prompt not in throttled:
            throttled.add(question.prompt)
            return Answer(status=429, headers={"Retry-After": "nan"})
        return Answer(headers={"x-ratelimit-limit-requests": "1e-300"})

    assert query(spark(reply, max_concurrency=8), 100) == []


@pytest.mark.parametrize("kind", ["closes", "interim"])
def test_closed_connections_and_interim_replies_cost_no_attempt(spark, kind):
    def answer(prompt, _):
        interim = INTERIM[int(prompt[4:]) % 4] if kind == "interim" else b""
        return interim + echo(prompt)

    sql = spark()
    with Raw(answer, closes=kind == "closes") as server:
        sql.endpoints["raw"] = server.endpoint(max_concurrency=16, max_attempts=1, hedge=False)
        sql.session.conf.set("spark.aiquery.config", sql.config())
        assert query(sql, 800, "raw") == []
        assert server.served == 800


def test_a_parameter_that_the_model_rejects_costs_one_request(spark):
    def reply(question):
        if "temperature" in question.body:
            message = "Unsupported value: 'temperature' does not support 0.0 with this model."
            return Answer(status=400, body=json.dumps({"error": {"message": message}}).encode())
        return Answer()

    sql = spark(reply, latency=0.01)
    assert query(sql, 2000) == []
    assert sql.server.statuses[400] <= 1
