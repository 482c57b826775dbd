"""When an endpoint fails, on Spark: eight tasks share what is known of it."""

import json

import pytest

from aiquery.testing import Answer
from failure_window import Window
from raw_server import INTERIM, Raw, echo

pytestmark = pytest.mark.spark


def ask(found, rows, name="m"):
    """Return the errors of so many rows in eight tasks; no row may have another one's answer."""
    frame = found.session.range(0, rows, 1, 8).selectExpr(
        "id", f"ai_query('{name}', 'row ' || id, failOnError => false) AS r"
    )
    collected = frame.collect()
    assert len(collected) == rows
    assert [
        row for row in collected if row.r.result not in {None, f"echo: row {row.id}"}
    ] == []
    return [row.r.errorMessage for row in collected if row.r.result is None]


@pytest.mark.parametrize(
    "places", [{"max_concurrency": 64}, {}], ids=["set", "searched"]
)
@pytest.mark.parametrize("status", [503, 429, 502])
def test_after_a_window_of_refusals_all_places_are_used_again(spark, status, places):
    window = Window(Answer(status=status), 1.0)
    found = spark(window, latency=0.1, **places)
    window.server = found.server
    assert ask(found, 2000) == []
    assert found.server.statuses[status] <= 3 * 64
    assert window.in_flight_after >= 50


def test_all_connections_are_dropped_at_once(spark):
    dropped = set()

    def reply(question):
        if len(dropped) < 128 and question.prompt not in dropped:
            dropped.add(question.prompt)
            return Answer(fate="reset")
        return Answer()

    found = spark(reply, latency=0.2, max_concurrency=128)
    assert ask(found, 512) == []
    assert len(dropped) == 128


@pytest.mark.parametrize("status", [401, 404])
def test_an_error_that_every_row_would_get_is_asked_for_no_further_row(spark, status):
    found = spark(lambda _: Answer(status=status), latency=0.05, max_concurrency=32)
    errors = ask(found, 3000)
    assert len(errors) == 3000
    assert all(f"HTTP {status}" in error for error in errors)
    assert found.server.calls <= 2 * 32


def test_no_credit_ends_the_statement(spark):
    body = json.dumps(
        {
            "error": {
                "message": "You exceeded your current quota",
                "type": "insufficient_quota",
            }
        }
    ).encode()
    found = spark(
        lambda _: Answer(status=429, body=body), latency=0.05, max_concurrency=32
    )
    frame = found.session.range(0, 3000, 1, 8).selectExpr("ai_query('m', 'row ' || id)")
    with pytest.raises(Exception, match="exceeded your current quota"):
        frame.collect()
    assert found.server.calls <= 2 * 32


def test_an_outage_ends_with_an_error_and_few_requests(spark):
    found = spark(
        lambda _: Answer(status=503), max_concurrency=32, timeout={"outage_s": 3}
    )
    errors = ask(found, 2000)
    assert len(errors) == 2000
    assert all("answered no request for" in error for error in errors)
    assert found.server.calls < 200


def test_headers_that_make_no_sense_hold_nobody(spark):
    refused = set()

    def reply(question):
        if len(refused) < 5 and question.prompt not in refused:
            refused.add(question.prompt)
            return Answer(status=429, headers={"Retry-After": "nan"})
        return Answer(headers={"x-ratelimit-limit-requests": "1e-300"})

    assert ask(spark(reply, max_concurrency=8), 100) == []


@pytest.mark.parametrize("kind", ["closes", "interim"])
def test_connections_that_are_closed_and_interim_replies(spark, kind):
    def answer(prompt, _):
        return (INTERIM[int(prompt[4:]) % 4] if kind == "interim" else b"") + echo(
            prompt
        )

    found = spark()
    with Raw(answer, closes=kind == "closes") as server:
        found.endpoints["raw"] = server.endpoint(
            max_concurrency=16, max_attempts=1, hedge=False
        )
        found.session.conf.set("spark.aiquery.config", found.config())
        assert ask(found, 800, "raw") == []
        assert server.served == 800
