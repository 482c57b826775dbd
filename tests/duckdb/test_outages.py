"""When an endpoint fails: what is tried again, what is not, and that no row is lost or gets another row's answer."""

import json
import socket
import threading
import time

import pytest

import aiquery
from aiquery.testing import Answer, EndpointServer
from failure_window import Window
from raw_server import INTERIM, Raw, echo, http

ASK = "SELECT ai_query('m', s, failOnError => false) AS r FROM t ORDER BY i"


def table(con, rows):
    con.execute(
        f"CREATE OR REPLACE TABLE t AS SELECT i, 'row ' || i AS s FROM range({rows}) r(i)"
    )


def ask(con, rows):
    """Return the rows of a table of so many that have no answer of their own, with their errors."""
    table(con, rows)
    found = [row for (row,) in con.sql(ASK).fetchall()]
    assert len(found) == rows
    wrong = [
        row
        for i, row in enumerate(found)
        if row["result"] not in {None, f"echo: row {i}"}
    ]
    assert wrong == []
    return [row["errorMessage"] for row in found if row["result"] is None]


@pytest.mark.parametrize(
    "places", [{"max_concurrency": 64}, {}], ids=["set", "searched"]
)
@pytest.mark.parametrize("status", [503, 429, 502])
def test_after_a_window_of_refusals_all_places_are_used_again(
    connect, serve, status, places
):
    window = Window(Answer(status=status), 1.0)
    window.server = server = serve(window, latency=0.1)
    con = connect(m=server.endpoint(hedge=False, **places))
    assert ask(con, 1500) == []
    assert window.in_flight_after >= 60
    assert server.statuses[status] <= 3 * 64


@pytest.mark.parametrize("places", [64, 512])
def test_all_connections_are_dropped_at_once(connect, serve, places):
    dropped = set()

    def reply(question):
        if len(dropped) < places and question.prompt not in dropped:
            dropped.add(question.prompt)
            return Answer(fate="reset")
        return Answer()

    con = connect(m=serve(reply, latency=0.2).endpoint(max_concurrency=places))
    assert ask(con, 2 * places) == []
    assert len(dropped) == places


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
    assert ask(con, 300) == []
    thread.join()
    assert second.calls > 200
    second.__exit__(None, None, None)


def test_kept_connections_that_the_other_side_closes_cost_no_attempt(connect):
    with Raw(echo, closes=True) as server:
        con = connect(
            m=server.endpoint(max_concurrency=16, max_attempts=1, hedge=False)
        )
        assert [ask(con, 300) for _ in range(2)] == [[], []]
        assert server.served == 300  # the second time they are answered


def test_interim_replies_are_skipped_and_each_row_has_its_own_answer(connect):
    with Raw(lambda prompt, _: INTERIM[int(prompt[4:]) % 4] + echo(prompt)) as server:
        con = connect(m=server.endpoint(max_concurrency=4, hedge=False))
        assert ask(con, 400) == []
        assert server.served == 400


QUOTA = {
    "error": {
        "message": "You exceeded your current quota",
        "type": "insufficient_quota",
    }
}


def test_no_credit_ends_the_statement_at_once(connect, serve):
    server = serve(
        lambda _: Answer(status=429, body=json.dumps(QUOTA).encode()), latency=0.02
    )
    con = connect(m=server.endpoint(max_concurrency=32))
    table(con, 3000)
    with pytest.raises(Exception, match="exceeded your current quota"):
        con.sql("SELECT ai_query('m', s) FROM t").fetchall()
    assert server.calls <= 32


@pytest.mark.parametrize("status", [401, 403, 404])
def test_an_error_that_every_row_would_get_is_asked_for_no_further_row(
    connect, serve, status
):
    right = threading.Event()
    server = serve(
        lambda _: Answer() if right.is_set() else Answer(status=status), latency=0.02
    )
    con = connect(m=server.endpoint(max_concurrency=32))
    errors = ask(con, 3000)
    assert len(errors) == 3000
    assert all(f"HTTP {status}" in error for error in errors)
    assert server.calls <= 32
    right.set()
    assert ask(con, 3000) == []  # the next statement tries again


def test_one_row_that_a_gateway_forbids_stays_that_rows(connect, serve):
    server = serve(
        lambda q: Answer(status=403) if q.prompt.endswith("7") else Answer(),
        latency=0.01,
    )
    con = connect(m=server.endpoint(max_concurrency=16))
    errors = ask(con, 300)
    assert len(errors) == 30
    assert server.calls == 300


def test_a_poisoned_row_ends_as_its_own_error_and_stops_nobody(connect, serve):
    server = serve(
        lambda q: Answer(fate="reset") if q.prompt == "row 7" else Answer(),
        latency=0.02,
    )
    con = connect(m=server.endpoint(max_concurrency=8))
    errors = ask(con, 2000)
    assert len(errors) == 1
    assert "after 5 attempts" in errors[0]


def test_a_first_row_that_fails_takes_no_other_with_it(connect, serve):
    server = serve(lambda q: Answer(status=500) if q.prompt == "row 0" else Answer())
    con = connect(m=server.endpoint(max_concurrency=1, max_attempts=1))
    assert len(ask(con, 50)) == 1
    assert server.calls == 50


def test_a_server_that_is_broken_from_the_start_is_given_up_sooner(
    connect, serve, monkeypatch
):
    from aiquery.inference.scheduling import retry

    monkeypatch.setattr(retry, "SHORT_OUTAGE_S", 2.0)
    server = serve(lambda _: Answer(status=500))
    con = connect(m=server.endpoint(max_concurrency=4))
    errors = ask(con, 1000)
    assert len(errors) == 1000
    assert all(
        "HTTP 500" in error and "answered no request for 2 s" in error
        for error in errors
    )
    assert server.calls < 50


def test_a_server_that_is_broken_for_a_while_at_the_start_loses_no_row(connect, serve):
    right = threading.Event()
    server = serve(lambda _: Answer() if right.is_set() else Answer(status=500))
    con = connect(m=server.endpoint(max_concurrency=64))
    timer = threading.Timer(2.0, right.set)
    timer.start()
    assert ask(con, 300) == []
    timer.join()


def test_last_rows_whose_connections_are_reset_are_given_up_sooner(
    connect, serve, monkeypatch
):
    from aiquery.inference.scheduling import retry

    monkeypatch.setattr(retry, "SHORT_OUTAGE_S", 3.0)

    def latency(question):
        return (
            0.2 if question.prompt.endswith(("95", "96", "97", "98", "99")) else 0.1
        )  # they end last

    server = serve(
        lambda q: Answer(fate="reset") if int(q.prompt[4:]) >= 195 else Answer(),
        latency=latency,
    )
    con = connect(m=server.endpoint(max_concurrency=64))
    errors = ask(con, 200)
    assert len(errors) == 5
    assert all(
        "answered no request for 3 s" in error or "after 5 attempts" in error
        for error in errors
    )


def test_one_request_that_the_server_cannot_take_ends_soon(connect, serve):
    server = serve(lambda q: Answer(status=500) if q.prompt == "row 0" else Answer())
    con = connect(m=server.endpoint())
    con.sql("SELECT ai_query('m', 'another')")
    assert len(ask(con, 1)) == 1
    assert server.calls == 1 + 5


@pytest.mark.parametrize(
    "fields",
    ["Retry-After: nan\r\n", "Retry-After: inf\r\n", "Retry-After: Thu, 01 Jan 1970 00:00:00 -0000\r\n",
     "x-ratelimit-limit-requests: 1e-300\r\n", "x-ratelimit-limit-tokens: nan\r\n"],
)  # fmt: skip
def test_headers_that_make_no_sense_hold_nobody(connect, fields):
    refused = set()

    def answer(prompt, _):
        if prompt in refused or len(refused) >= 5:
            return echo(prompt, fields=fields.replace("Retry-After", "X-After"))
        refused.add(prompt)
        return http({}, "429 Too Many Requests", fields)

    with Raw(answer) as server:
        assert ask(connect(m=server.endpoint(max_concurrency=2)), 20) == []


def test_a_wait_that_is_too_long_is_bounded_and_said(connect, serve):
    said = []
    stop = aiquery.on_progress(lambda progress: said.append(progress.trouble))
    server = serve(lambda _: Answer(status=429, headers={"Retry-After": "100000"}))
    con = connect(m=server.endpoint(timeout={"outage_s": 2.5}))
    errors = ask(con, 50)
    stop()
    assert len(errors) == 50
    assert server.calls <= 64
    assert any(
        "m asks to wait 2 s" in words or "given up in" in words for words in said
    )


def test_an_outage_is_said_while_it_lasts_and_ends_with_one_error(connect, serve):
    right = threading.Event()
    server = serve(lambda _: Answer() if right.is_set() else Answer(status=503))
    said = []
    stop = aiquery.on_progress(lambda progress: said.append(progress.trouble))
    con = connect(m=server.endpoint(max_concurrency=8, timeout={"outage_s": 3}))
    errors = set(ask(con, 500))
    stop()
    assert len(errors) == 1
    assert "answered no request for 3 s" in errors.pop()
    assert server.calls < 30
    words = [trouble for trouble in said if "has not answered for" in trouble]
    assert words
    assert "HTTP 503" in words[-1]
    assert "asked again" in words[-1]
    assert "given up in" in words[-1]
    right.set()
    assert ask(con, 500) == []


def test_an_outage_can_be_interrupted(connect, serve):
    server = serve(lambda _: Answer(status=503))
    con = connect(m=server.endpoint(max_concurrency=8))
    table(con, 500)

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


def test_of_two_endpoints_the_one_that_is_there_goes_on(connect, serve):
    away, there = serve(lambda _: Answer(status=503)), serve(latency=0.01)
    con = connect(a=away.endpoint(timeout={"outage_s": 2}), b=there.endpoint())
    table(con, 200)
    sql = "SELECT ai_query('a', s, failOnError => false) AS a, ai_query('b', s, failOnError => false) AS b FROM t"
    rows = con.sql(sql).fetchall()
    assert all(a["result"] is None and b["result"] is not None for a, b in rows)


def test_the_user_and_password_of_a_proxy_are_sent_also_for_http(connect):
    def answer(prompt, head):
        if b"Proxy-Authorization: Basic YW5uOnNlY3JldA==" not in head:
            return http({"error": "who are you"}, "407 Proxy Authentication Required")
        return echo(prompt)

    with Raw(answer) as proxy:
        to = {"base_url": "http://model.internal:8000/v1", "model": "m"}
        right = connect(m={**to, "proxy": f"http://ann:secret@127.0.0.1:{proxy.port}"})
        assert ask(right, 10) == []
        wrong = connect(m={**to, "proxy": f"http://ann:hunter2@127.0.0.1:{proxy.port}"})
        errors = ask(wrong, 1000)
        assert len(errors) == 990  # the first ten are answered already
        assert all("HTTP 407" in error and "hunter2" not in error for error in errors)
        assert proxy.served < 100


def test_no_text_mends_a_parameter(serve):
    message = "max_tokens is too large: 100000. This model supports at most 16384 completion tokens."
    server = serve(
        lambda _: Answer(
            status=400, body=json.dumps({"error": {"message": message}}).encode()
        )
    )
    config = {
        "endpoints": {"m": server.endpoint(context_window=100_000)},
        "defaults": {"chat": "m"},
    }
    with (
        aiquery.connect(config=config) as con,
        pytest.raises(Exception, match="max_tokens is too large"),
    ):
        con.sql("SELECT ai_agg(repeat('word ', 200) || i, 'what?') FROM range(64) r(i)")
    assert server.calls == 1


def test_without_the_extra_for_redis_nothing_is_sent(serve, monkeypatch):
    from aiquery.inference.cache import redis

    find_spec = redis.importlib.util.find_spec
    monkeypatch.setattr(
        redis.importlib.util,
        "find_spec",
        lambda name: None if name == "redis" else find_spec(name),
    )
    server = serve()
    config = {
        "endpoints": {"m": server.endpoint()},
        "cache": {"store": "redis://127.0.0.1:1/0"},
    }
    with (
        aiquery.connect(config=config) as con,
        pytest.raises(Exception, match=r"pip install 'aiquery\[redis\]'"),
    ):
        con.sql("SELECT ai_query('m', 'x')")
    assert server.calls == 0


def test_a_url_of_redis_that_cannot_be_read_is_said_without_the_password(serve):
    server = serve()
    config = {
        "endpoints": {"m": server.endpoint()},
        "cache": {"store": "redis://:hun/ter2@127.0.0.1:1/0"},
    }
    with (
        aiquery.connect(config=config) as con,
        pytest.raises(Exception, match="cannot be read") as raised,
    ):
        con.sql("SELECT ai_query('m', 'x')")
    assert "ter2" not in str(raised.value)
    assert server.calls == 0
