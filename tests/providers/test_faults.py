"""Every fault of an endpoint: it is retried or fails its own row, and other rows continue."""

import random

import pytest

from aiquery.testing import Answer
from aiquery.testing.faults import PERMANENT, TRANSIENT

FAST = {"timeout": {"connect_s": 4, "read_s": 1.0, "attempt_s": 4}}


@pytest.mark.parametrize("name", TRANSIENT)
def test_a_transient_fault_is_retried(connect, serve, name):
    faults = [TRANSIENT[name]]

    def reply(question):
        if question.prompt == "b" and faults:
            return faults.pop()
        return Answer()

    server = serve(reply)
    con = connect(m=server.endpoint(**FAST))
    con.execute("CREATE TABLE t AS SELECT unnest(['a', 'b', 'c']) AS s")
    rows = con.sql("SELECT ai_query('m', s) FROM t").fetchall()
    assert rows == [("echo: a",), ("echo: b",), ("echo: c",)]
    assert server.calls_by_prompt["b"] == 2
    endings = [attempt.ending for attempt in con.ledger.attempts()]
    assert sorted(endings) == ["answered", "answered", "answered", "retried"]


@pytest.mark.parametrize("name", ["503", "truncated JSON", "reset before headers"])
def test_a_lasting_fault_ends_after_max_attempts(connect, serve, name):
    server = serve(lambda q: TRANSIENT[name] if q.prompt == "b" else Answer())
    con = connect(m=server.endpoint(max_attempts=3))
    con.execute("CREATE TABLE t AS SELECT unnest(['a', 'b', 'c']) AS s")
    rows = con.sql("SELECT ai_query('m', s, failOnError => false) AS r FROM t").fetchall()
    assert [row[0]["result"] for row in rows] == ["echo: a", None, "echo: c"]
    assert "after 3 attempts" in rows[1][0]["errorMessage"]
    # A request is sent once more if an idle connection closed before the reply.
    counts = {3, 4} if name == "reset before headers" else {3}
    assert server.calls_by_prompt["b"] in counts


def test_a_huge_body_is_an_error(connect, serve):
    server = serve(lambda _: Answer(body=b'{"x": "' + b"y" * 40_000_000 + b'"}'))
    con = connect(m=server.endpoint())
    rows = con.sql("SELECT ai_query('m', 'q', failOnError => false)").fetchall()
    assert "longer than" in rows[0][0]["errorMessage"]


def test_the_error_names_an_unreachable_endpoint_after_the_retries(connect):
    con = connect(gone={"base_url": "http://127.0.0.1:9/v1", "max_attempts": 2})
    message = r"endpoint 'gone'.*127\.0\.0\.1:9.*after 2 attempts"
    with pytest.raises(Exception, match=message):
        con.sql("SELECT ai_query('gone', 'q')")


def test_the_error_names_a_host_that_does_not_resolve(connect):
    con = connect(gone={"base_url": "http://models.invalid/v1", "max_attempts": 1})
    with pytest.raises(Exception, match=r"models\.invalid"):
        con.sql("SELECT ai_query('gone', 'q')")


def test_the_client_waits_for_retry_after(connect, serve):
    times = []

    def reply(question):
        times.append(question.at_s)
        if len(times) == 1:
            return Answer(status=429, headers={"Retry-After": "0.5"})
        return Answer()

    con = connect(m=serve(reply).endpoint())
    con.sql("SELECT ai_query('m', 'q')")
    assert times[1] - times[0] >= 0.5


def test_all_faults_together_at_five_percent(connect, serve):
    """Each row has its answer or its own error, with at most 1.06 calls per row."""
    rows = 3000
    faults = [*TRANSIENT.items(), *PERMANENT.items()]
    source = random.Random(4)
    fault_by_prompt = {}

    def reply(question):
        prompt = question.prompt
        if prompt not in fault_by_prompt and source.random() < 0.05:
            fault_by_prompt[prompt], answer = source.choice(faults)
            return answer
        fault = fault_by_prompt.setdefault(prompt, None)
        return PERMANENT.get(fault, Answer())

    server = serve(reply, latency=0.002)
    con = connect(m=server.endpoint(max_concurrency=64, hedge=False, **FAST))
    con.execute(f"CREATE TABLE t AS SELECT i, 'text ' || i AS s FROM range({rows}) r(i)")
    results = con.sql("SELECT s, ai_query('m', s, failOnError => false) AS r FROM t ORDER BY i").fetchall()
    assert [text for text, _ in results] == [f"text {i}" for i in range(rows)]
    for text, value in results:
        is_failed = fault_by_prompt[text] in PERMANENT
        assert value["result"] == (None if is_failed else f"echo: {text}")
        assert (value["errorMessage"] is not None) == is_failed
    drawn = set(fault_by_prompt.values()) - {None}
    assert drawn == set(TRANSIENT) | set(PERMANENT)
    assert server.calls <= 1.06 * rows


def test_no_call_arrives_during_retry_after(connect, serve):
    throttled_at = []

    def reply(question):
        if question.number in {100, 500}:
            throttled_at.append(question.at_s)
            return Answer(status=429, headers={"Retry-After": "1"}, latency_s=0)
        return Answer()

    server = serve(reply, latency=0.02)
    con = connect(m=server.endpoint(max_concurrency=32))
    con.execute("CREATE TABLE t AS SELECT 'text ' || i AS s FROM range(1000) r(i)")
    con.sql("SELECT ai_query('m', s) FROM t")
    assert len(throttled_at) == 2
    for at in throttled_at:
        # The requests that were in flight when the 429 arrived.
        assert sum(at < q.at_s < at + 0.99 for q in server.requests) <= 32


def test_an_endpoint_that_answers_others_is_busy_not_down(connect, serve):
    server = serve(latency=0.01, capacity=4)
    con = connect(m=server.endpoint(max_concurrency=16, max_attempts=2))
    con.execute("CREATE TABLE t AS SELECT 'text ' || i AS s FROM range(200) r(i)")
    assert con.sql("SELECT count(DISTINCT ai_query('m', s)) FROM t").fetchall() == [(200,)]
    assert server.calls <= 260  # throttled requests are not sent again and again


def test_an_endpoint_that_is_down_fails_every_row_without_a_request_for_each(connect):
    away = {"base_url": "http://127.0.0.1:9/v1", "max_concurrency": 4, "timeout": {"outage_s": 2}}
    con = connect(m=away)
    con.execute("CREATE TABLE t AS SELECT 'text ' || i AS s FROM range(5000) r(i)")
    rows = con.sql("SELECT ai_query('m', s, failOnError => false) AS r FROM t").fetchall()
    assert len(rows) == 5000
    assert all("cannot connect" in row["errorMessage"] for (row,) in rows)
    assert all("answered no request for 2 s" in row["errorMessage"] for (row,) in rows)
    assert len(con.ledger) < 20


def test_the_limits_that_the_endpoint_names_are_respected(connect, serve):
    server = serve(requests_per_minute=1200)
    con = connect(m=server.endpoint())
    con.execute("CREATE TABLE t AS SELECT 'text ' || i AS s FROM range(1000) r(i)")
    assert con.sql("SELECT count(DISTINCT ai_query('m', s)) FROM t").fetchall() == [(1000,)]
    assert server.calls == 1000


def test_a_configured_limit_is_respected(connect, serve):
    server = serve()
    con = connect(m=server.endpoint(requests_per_minute=600))
    con.execute("CREATE TABLE t AS SELECT 'text ' || i AS s FROM range(25) r(i)")
    con.sql("SELECT ai_query('m', s) FROM t")
    times = [question.at_s for question in server.requests]
    assert times[-1] - times[0] >= 0.9 * (25 - 9) / 10


def test_late_requests_are_sent_again_at_the_end_and_the_first_answer_wins(connect, serve):
    seen = set()

    def latency(question):
        first = question.prompt not in seen
        seen.add(question.prompt)
        return 4.0 if first and question.prompt in {"text 1990", "text 1995"} else 0.02

    server = serve(latency=latency)
    con = connect(m=server.endpoint(max_concurrency=32))
    con.execute("CREATE TABLE t AS SELECT 'text ' || i AS s FROM range(2000) r(i)")
    assert con.sql("SELECT count(DISTINCT ai_query('m', s)) FROM t").fetchall() == [(2000,)]
    assert server.calls == 2002
    endings = [attempt.ending for attempt in con.ledger.attempts()]
    assert endings.count("answered") == 2000
    assert endings.count("cancelled") == 2


def test_hedging_can_be_switched_off(connect, serve):
    server = serve(latency=lambda q: 1.0 if q.prompt == "text 399" else 0.005)
    con = connect(m=server.endpoint(max_concurrency=32, hedge=False))
    con.execute("CREATE TABLE t AS SELECT 'text ' || i AS s FROM range(400) r(i)")
    con.sql("SELECT ai_query('m', s) FROM t")
    assert server.calls == 400


def test_a_row_that_is_always_throttled_fails_alone(connect, serve):
    server = serve(lambda q: Answer(status=503) if q.prompt == "text 0" else Answer(), latency=0.01)
    con = connect(m=server.endpoint(max_concurrency=2, max_attempts=3))
    con.execute("CREATE TABLE t AS SELECT i, 'text ' || i AS s FROM range(500) r(i)")
    rows = con.sql("SELECT ai_query('m', s, failOnError => false) AS r FROM t ORDER BY i").fetchall()
    assert [row["errorMessage"] is not None for (row,) in rows] == [True] + [False] * 499
    assert server.calls_by_prompt["text 0"] == 3
