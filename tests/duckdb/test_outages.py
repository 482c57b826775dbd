"""Endpoints that fail: which requests are retried, and that no row is lost or has the answer of another row."""

import json
import socket
import threading
import time

import pytest

import aiquery
from aiquery.testing import Answer, EndpointServer
from failure_window import Window
from raw_server import INTERIM, Raw, echo, make_http_reply

QUERY = "SELECT ai_query('m', s, failOnError => false) AS r FROM t ORDER BY i"


def create_table(con, rows):
    con.execute(f"CREATE OR REPLACE TABLE t AS SELECT i, 'row ' || i AS s FROM range({rows}) r(i)")


def query(con, rows):
    """Query a table of ``rows`` rows, check that no row has the answer of another, and return the errors."""
    create_table(con, rows)
    results = [row for (row,) in con.sql(QUERY).fetchall()]
    assert len(results) == rows
    for i, row in enumerate(results):
        assert row["result"] in {None, f"echo: row {i}"}
    return [row["errorMessage"] for row in results if row["result"] is None]


@pytest.mark.parametrize("limit", [{"max_concurrency": 64}, {}], ids=["configured", "adaptive"])
@pytest.mark.parametrize("status", [503, 429, 502])
def test_after_a_period_of_throttling_all_slots_are_used_again(connect, serve, status, limit):
    window = Window(Answer(status=status), 1.0)
    window.server = server = serve(window, latency=0.1)
    con = connect(m=server.endpoint(hedge=False, **limit))
    assert query(con, 1500) == []
    assert window.in_flight_after >= 60
    assert server.statuses[status] <= 3 * 64


@pytest.mark.parametrize("slots", [64, 512])
def test_all_connections_are_dropped_at_once(connect, serve, slots):
    dropped = set()

    def reply(question):
        if len(dropped) < slots and question.prompt not in dropped:
            dropped.add(question.prompt)
            return Answer(fate="reset")
        return Answer()

    con = connect(m=serve(reply, latency=0.2).endpoint(max_concurrency=slots))
    assert query(con, 2 * slots) == []
    assert len(dropped) == slots


def test_a_server_that_restarts(connect):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    first = EndpointServer(latency=0.1, port=port)
    first.__enter__()
    con = connect(m=first.endpoint(max_concurrency=16))
    second = EndpointServer(latency=0.1, port=port)

    def restart():
        while first.calls < 50:
            time.sleep(0.01)
        first.__exit__(None, None, None)
        time.sleep(1.5)
        second.__enter__()

    thread = threading.Thread(target=restart)
    thread.start()
    assert query(con, 300) == []
    thread.join()
    assert second.calls > 200
    second.__exit__(None, None, None)


def test_idle_connections_that_the_server_closes_cost_no_attempt(connect):
    with Raw(echo, closes=True) as server:
        con = connect(m=server.endpoint(max_concurrency=16, max_attempts=1, hedge=False))
        assert [query(con, 300) for _ in range(2)] == [[], []]
        assert server.served == 300  # the second query is answered from the cache


def test_interim_replies_are_skipped_and_each_row_has_its_own_answer(connect):
    with Raw(lambda prompt, _: INTERIM[int(prompt[4:]) % 4] + echo(prompt)) as server:
        con = connect(m=server.endpoint(max_concurrency=4, hedge=False))
        assert query(con, 400) == []
        assert server.served == 400


QUOTA = {"error": {"message": "You exceeded your current quota", "type": "insufficient_quota"}}


def test_an_exhausted_quota_ends_the_statement_at_once(connect, serve):
    answer = Answer(status=429, body=json.dumps(QUOTA).encode())
    server = serve(lambda _: answer, latency=0.02)
    con = connect(m=server.endpoint(max_concurrency=32))
    create_table(con, 3000)
    with pytest.raises(Exception, match="exceeded your current quota"):
        con.sql("SELECT ai_query('m', s) FROM t").fetchall()
    assert server.calls <= 32


@pytest.mark.parametrize("status", [401, 403, 404])
def test_an_error_of_every_row_sends_no_further_requests(connect, serve, status):
    repaired = threading.Event()
    server = serve(lambda _: Answer() if repaired.is_set() else Answer(status=status), latency=0.02)
    con = connect(m=server.endpoint(max_concurrency=32))
    errors = query(con, 3000)
    assert len(errors) == 3000
    assert all(f"HTTP {status}" in error for error in errors)
    assert server.calls <= 32
    repaired.set()
    assert query(con, 3000) == []  # the next statement sends the requests again


def test_rows_that_a_gateway_forbids_do_not_stop_the_others(connect, serve):
    server = serve(lambda q: Answer(status=403) if q.prompt.endswith("7") else Answer(), latency=0.01)
    con = connect(m=server.endpoint(max_concurrency=16))
    errors = query(con, 300)
    assert len(errors) == 30
    assert server.calls == 300


def test_a_row_that_breaks_its_connection_fails_and_the_others_do_not(connect, serve):
    server = serve(lambda q: Answer(fate="reset") if q.prompt == "row 7" else Answer(), latency=0.02)
    con = connect(m=server.endpoint(max_concurrency=8))
    errors = query(con, 2000)
    assert len(errors) == 1
    assert "after 5 attempts" in errors[0]


def test_a_failed_first_row_does_not_stop_the_others(connect, serve):
    server = serve(lambda q: Answer(status=500) if q.prompt == "row 0" else Answer())
    con = connect(m=server.endpoint(max_concurrency=1, max_attempts=1))
    assert len(query(con, 50)) == 1
    assert server.calls == 50


def test_a_server_that_fails_from_the_start_is_given_up_sooner(connect, serve, monkeypatch):
    from aiquery.inference.scheduling import retry

    monkeypatch.setattr(retry, "SHORT_OUTAGE_S", 2.0)
    server = serve(lambda _: Answer(status=500))
    con = connect(m=server.endpoint(max_concurrency=4))
    errors = query(con, 1000)
    assert len(errors) == 1000
    for error in errors:
        assert "HTTP 500" in error
        assert "answered no request for 2 s" in error
    assert server.calls < 50


def test_no_row_is_lost_while_a_server_fails_for_a_while_at_the_start(connect, serve):
    repaired = threading.Event()
    server = serve(lambda _: Answer() if repaired.is_set() else Answer(status=500))
    con = connect(m=server.endpoint(max_concurrency=64))
    timer = threading.Timer(2.0, repaired.set)
    timer.start()
    assert query(con, 300) == []
    timer.join()


def test_last_rows_whose_connections_are_reset_are_given_up_sooner(connect, serve, monkeypatch):
    from aiquery.inference.scheduling import retry

    monkeypatch.setattr(retry, "SHORT_OUTAGE_S", 3.0)

    def latency(question):
        ends_last = question.prompt.endswith(("95", "96", "97", "98", "99"))
        return 0.2 if ends_last else 0.1

    server = serve(lambda q: Answer(fate="reset") if int(q.prompt[4:]) >= 195 else Answer(), latency=latency)
    con = connect(m=server.endpoint(max_concurrency=64))
    errors = query(con, 200)
    assert len(errors) == 5
    assert all("answered no request for 3 s" in error or "after 5 attempts" in error for error in errors)


def test_a_request_that_always_fails_ends_soon(connect, serve):
    server = serve(lambda q: Answer(status=500) if q.prompt == "row 0" else Answer())
    con = connect(m=server.endpoint())
    con.sql("SELECT ai_query('m', 'another')")
    assert len(query(con, 1)) == 1
    assert server.calls == 1 + 5


@pytest.mark.parametrize(
    "fields",
    ["Retry-After: nan\r\n", "Retry-After: inf\r\n", "Retry-After: Thu, 01 Jan 1970 00:00:00 -0000\r\n",
     "x-ratelimit-limit-requests: 1e-300\r\n", "x-ratelimit-limit-tokens: nan\r\n"],
)  # fmt: skip
def test_nonsensical_headers_do_not_block_a_statement(connect, fields):
    throttled = set()

    def answer(prompt, _):
        if prompt in throttled or len(throttled) >= 5:
            return echo(prompt, fields=fields.replace("Retry-After", "X-After"))
        throttled.add(prompt)
        return make_http_reply({}, "429 Too Many Requests", fields)

    with Raw(answer) as server:
        assert query(connect(m=server.endpoint(max_concurrency=2)), 20) == []


def test_a_retry_after_that_is_too_long_is_bounded_and_reported(connect, serve):
    troubles = []
    stop = aiquery.on_progress(lambda progress: troubles.append(progress.trouble))
    server = serve(lambda _: Answer(status=429, headers={"Retry-After": "100000"}))
    con = connect(m=server.endpoint(timeout={"outage_s": 2.5}))
    errors = query(con, 50)
    stop()
    assert len(errors) == 50
    assert server.calls <= 64
    assert any("m asks to wait 2 s" in trouble or "given up in" in trouble for trouble in troubles)


def test_an_outage_is_reported_while_it_lasts_and_ends_with_one_error(connect, serve):
    repaired = threading.Event()
    server = serve(lambda _: Answer() if repaired.is_set() else Answer(status=503))
    troubles = []
    stop = aiquery.on_progress(lambda progress: troubles.append(progress.trouble))
    con = connect(m=server.endpoint(max_concurrency=8, timeout={"outage_s": 3}))
    errors = set(query(con, 500))
    stop()
    assert len(errors) == 1
    assert "answered no request for 3 s" in errors.pop()
    assert server.calls < 30
    outages = [trouble for trouble in troubles if "has not answered for" in trouble]
    assert outages
    assert "HTTP 503" in outages[-1]
    assert "tried again" in outages[-1]
    assert "given up in" in outages[-1]
    repaired.set()
    assert query(con, 500) == []


def test_an_outage_can_be_interrupted(connect, serve):
    server = serve(lambda _: Answer(status=503))
    con = connect(m=server.endpoint(max_concurrency=8))
    create_table(con, 500)

    def interrupt():
        while server.calls < 4:
            time.sleep(0.01)
        time.sleep(0.3)
        con.interrupt()

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(Exception, match=r"(?i)interrupt"):
        con.sql("SELECT ai_query('m', s) FROM t").fetchall()
    thread.join()


def test_an_outage_of_one_endpoint_does_not_stop_another(connect, serve):
    failing = serve(lambda _: Answer(status=503))
    working = serve(latency=0.01)
    con = connect(a=failing.endpoint(timeout={"outage_s": 2}), b=working.endpoint())
    create_table(con, 200)
    sql = "SELECT ai_query('a', s, failOnError => false) AS a, ai_query('b', s, failOnError => false) AS b FROM t"
    rows = con.sql(sql).fetchall()
    assert all(a["result"] is None and b["result"] is not None for a, b in rows)


def test_the_user_and_password_of_a_proxy_are_sent_also_for_http(connect):
    def answer(prompt, head):
        if b"Proxy-Authorization: Basic YW5uOnNlY3JldA==" not in head:
            return make_http_reply({"error": "who are you"}, "407 Proxy Authentication Required")
        return echo(prompt)

    with Raw(answer) as proxy:
        settings = {"base_url": "http://model.internal:8000/v1", "model": "m"}
        address = f"127.0.0.1:{proxy.port}"
        correct = connect(m={**settings, "proxy": f"http://ann:secret@{address}"})
        assert query(correct, 10) == []
        wrong = connect(m={**settings, "proxy": f"http://ann:hunter2@{address}"})
        errors = query(wrong, 1000)
        assert len(errors) == 990  # the first ten are in the cache
        assert all("HTTP 407" in error and "hunter2" not in error for error in errors)
        assert proxy.served < 100


def test_a_parameter_that_is_too_large_is_not_retried_with_shorter_texts(serve):
    message = "max_tokens is too large: 100000. This model supports at most 16384 completion tokens."
    body = json.dumps({"error": {"message": message}}).encode()
    server = serve(lambda _: Answer(status=400, body=body))
    config = {"endpoints": {"m": server.endpoint(context_window=100_000)}, "defaults": {"chat": "m"}}
    with aiquery.connect(config=config) as con, pytest.raises(Exception, match="max_tokens is too large"):
        con.sql("SELECT ai_agg(repeat('word ', 200) || i, 'what?') FROM range(64) r(i)")
    assert server.calls == 1


def test_without_the_extra_for_redis_nothing_is_sent(serve, monkeypatch):
    from aiquery.inference.cache import redis

    find_spec = redis.importlib.util.find_spec
    monkeypatch.setattr(redis.importlib.util, "find_spec", lambda name: None if name == "redis" else find_spec(name))
    server = serve()
    config = {"endpoints": {"m": server.endpoint()}, "cache": {"store": "redis://127.0.0.1:1/0"}}
    with aiquery.connect(config=config) as con, pytest.raises(Exception, match=r"pip install 'aiquery\[redis\]'"):
        con.sql("SELECT ai_query('m', 'x')")
    assert server.calls == 0


def test_the_error_of_a_malformed_redis_url_omits_the_password(serve):
    server = serve()
    config = {"endpoints": {"m": server.endpoint()}, "cache": {"store": "redis://:hun/ter2@127.0.0.1:1/0"}}
    with aiquery.connect(config=config) as con, pytest.raises(Exception, match="cannot be read") as error:
        con.sql("SELECT ai_query('m', 'x')")
    assert "ter2" not in str(error.value)
    assert server.calls == 0
