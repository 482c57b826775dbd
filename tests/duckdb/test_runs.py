"""Every run is stored: its figures equal the counts of the endpoint, and it holds no key and no text of a request."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing

import pandas as pd
import pytest

import aiquery
from aiquery import config as configuration
from aiquery import functions
from aiquery.clients import open_run_store
from aiquery.config import catalogs
from aiquery.errors import ArgumentError, RowError
from aiquery.reporting import tables
from aiquery.testing import Answer
from aiquery.testing.faults import TRANSIENT

PRICE = {"input": 1.0, "output": 2.0, "cached_input": 0.25}
SECRET = "sk-quite-secret-4711"


@pytest.fixture
def serve_and_connect(serve, tmp_path):
    """Return a function that starts a server and returns it with a connection to it."""

    def start(reply=None, runs=None, server_settings=None, **settings):
        server = serve(reply, **(server_settings or {}))
        endpoint = server.endpoint(**{"hedge": False, "price": PRICE, **settings})
        store = {"store": str(tmp_path / "answers.sqlite")}
        config = {"endpoints": {"m": endpoint}, "cache": store, "runs": runs or {}}
        return server, aiquery.connect(config=config)

    return start


def fetch_rows(con, sql):
    return con.sql(sql).fetchall()


def read_figures(run):
    return (run.rows, run.requests, run.cache_hits, run.deduplicated)


def test_the_figures_of_a_run_equal_the_counts_of_the_endpoint(serve_and_connect):
    server, con = serve_and_connect()
    with con:
        con.sql(
            "SELECT ai_query('m', repeat('a question long enough to be cached ', 4) || (i % 300)) FROM range(2000) t(i)"
        )
        run = aiquery.last_run()
        assert (run.state, run.rows_total) == ("done", 2000)
        assert read_figures(run) == (2000, 300, 0, 1700)
        assert (run.attempts, run.retries, run.failed) == (server.calls, 0, 0)
        assert server.calls == 300
        assert run.tokens_in == server.usage["prompt_tokens"]
        assert run.tokens_cached == server.usage["cached_tokens"] > 0
        assert run.tokens_out == server.usage["completion_tokens"]
        uncached = run.tokens_in - run.tokens_cached
        cost = (uncached + 0.25 * run.tokens_cached + 2 * run.tokens_out) / 1e6
        assert run.cost_usd == pytest.approx(cost, abs=1e-9)
        names = (
            "run, engine, state, rows, requests, cache_hits, deduplicated, tokens_in, "
            "tokens_cached, tokens_out, cost_usd, endpoints, functions, errors"
        )
        (row,) = fetch_rows(con, f"SELECT {names} FROM aiquery_runs()")
        counts = (2000, 300, 0, 1700)
        usage = (run.tokens_in, run.tokens_cached, run.tokens_out, run.cost_usd)
        lists = (["m"], ["ai_query"], [])
        assert row == (run.run, "duckdb", "done", *counts, *usage, *lists)


def test_cache_hits_are_distinguished_from_requests_and_deduplicated_rows(serve_and_connect):
    _, con = serve_and_connect()
    with con:
        con.sql("SELECT ai_query('m', 'text ' || i) FROM range(100) t(i)")
    _, con = serve_and_connect()
    with con:
        # three chunks: each text is read three times; another server: no cached answers
        con.sql("SELECT ai_query('m', 'text ' || (i % 150)) FROM range(6000) t(i)")
        assert read_figures(aiquery.last_run()) == (6000, 150, 0, 5850)
        con.sql("SELECT ai_query('m', 'text ' || (i % 170)) FROM range(6000) t(i)")
        assert read_figures(aiquery.last_run()) == (6000, 20, 150, 5830)
    with aiquery.connect(config=con.config) as con:  # a new client of the same store
        con.sql("SELECT ai_query('m', 'text ' || (i % 170)) FROM range(6000) t(i)")
        assert read_figures(aiquery.last_run()) == (6000, 0, 170, 5830)
        assert aiquery.last_run().attempts == 0
        con.sql("SELECT ai_query('m', 'text ' || i) FROM range(5) t(i)")
        assert aiquery.last_run().cache_hits == 5


def test_under_faults_the_totals_still_equal_those_of_the_endpoint(serve_and_connect):
    names = (
        "429 without",
        "503",
        "truncated JSON",
        "reset before headers",
        "reset in the body",
        "wrong content-length",
    )
    faults = [TRANSIENT[name] for name in names]
    attempts_by_number = Counter()

    def reply(question):
        number = int(question.prompt.rpartition(" ")[2])
        attempts_by_number[number] += 1
        if number % 50 == 0:
            return Answer(status=400, text=f"cannot read '{question.prompt}'")
        if number % 7 == 0 and attempts_by_number[number] == 1:
            return faults[number % 6]
        return Answer()

    server, con = serve_and_connect(reply, timeout={"read_s": 2.0})
    with con:
        con.sql("SELECT ai_query('m', 'text number ' || i, failOnError => false) FROM range(500) t(i)")
        run = aiquery.last_run()
        assert (run.rows, run.requests, run.failed) == (500, 500, 10)
        assert run.attempts == server.calls
        assert run.retries == server.calls - 500
        assert run.tokens_in == server.usage["prompt_tokens"]
        assert run.tokens_out == server.usage["completion_tokens"]
        sums = "count(*), sum(tokens_in), sum(tokens_out)"
        attempts = fetch_rows(con, f"SELECT {sums} FROM aiquery_attempts('last')")
        assert attempts == [(server.calls, run.tokens_in, run.tokens_out)]
        (errors,) = fetch_rows(con, "SELECT errors FROM aiquery_runs()")[0]
        assert sum(error["requests"] for error in errors) == 10
        assert sum(error["attempts"] for error in errors) == run.retries + 10
        failed = fetch_rows(
            con, "SELECT count(*) FROM aiquery_attempts('last') WHERE ending = 'failed' AND status = 400"
        )
        assert failed == [(10,)]


def test_usage_by_day_endpoint_and_function(serve_and_connect):
    server, con = serve_and_connect(lambda q: Answer(text="spam") if "spam" in q.prompt else Answer())
    with con:
        con.sql("SELECT ai_query('m', 'text ' || i) FROM range(7) t(i)")
        con.sql("SELECT ai_classify('is it spam ' || i, ARRAY['spam', 'ham'], endpoint => 'm') FROM range(5) t(i)")
        by_function = fetch_rows(con, "SELECT name, runs, attempts FROM aiquery_usage(by => 'function') ORDER BY name")
        assert by_function == [("ai_classify", 1, 5), ("ai_query", 1, 7)]
        by_endpoint = fetch_rows(con, "SELECT name, runs, attempts, tokens_in FROM aiquery_usage(by => 'endpoint')")
        assert by_endpoint == [("m", 2, 12, server.usage["prompt_tokens"])]
        by_day = fetch_rows(con, "SELECT count(*), sum(attempts) FROM aiquery_usage()")
        assert by_day == [(1, 12)]
        with pytest.raises(ArgumentError, match="use 'day', 'endpoint', 'function'"):
            con.sql("FROM aiquery_usage(by => 'moon')")
        unknown = "run 'nothing' is not known; the newest are: 2"
        with pytest.raises(ArgumentError, match=unknown):
            con.sql("FROM aiquery_attempts('nothing')")


def test_a_run_that_fails_is_recorded_as_failed(serve_and_connect):
    _, con = serve_and_connect(lambda q: Answer(status=400, text="no") if q.prompt.endswith("3") else Answer())
    with con:
        with pytest.raises(RowError):
            con.sql("SELECT ai_query('m', 'text ' || i) FROM range(5) t(i)")
        assert fetch_rows(con, "SELECT state, error FROM aiquery_runs()") == [("failed", "RequestFailed")]
        assert aiquery.last_run().state == "failed"


def test_keys_are_never_stored_and_texts_only_if_they_are_configured(serve_and_connect, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("MY_KEY", SECRET)
    caplog.set_level("INFO", "aiquery")

    def reply(question):
        if "complaint" in question.prompt:
            return Answer(status=400, text=f"cannot read '{question.prompt}' with {SECRET}")
        return Answer(text="a private answer")

    statement = "SELECT ai_query('m', 'Tell me: ' || s, failOnError => false) FROM (VALUES ('{}')) t(s) -- for Ann"
    _, con = serve_and_connect(reply, server_settings={"api_key": SECRET}, api_key_env="MY_KEY")
    with con:
        con.sql(statement.format("my confidential complaint about the invoice"))
        (text,) = fetch_rows(con, "SELECT statement FROM aiquery_runs()")[0]
        assert text == "SELECT ai_query('m', '…' || s, failOnError => false) FROM (VALUES ('…')) t(s)"
        (errors,) = fetch_rows(con, "SELECT errors FROM aiquery_runs()")[0]
        assert errors[0]["example"].startswith("HTTP 400: cannot read … with")
    content = b"".join(path.read_bytes() for path in tmp_path.glob("runs.sqlite*"))
    for private in ("confidential", "Tell me", "for Ann", "private answer", SECRET):
        assert private.encode() not in content
        assert private not in caplog.text
    _, con = serve_and_connect(reply, runs={"texts": True}, server_settings={"api_key": SECRET}, api_key_env="MY_KEY")
    with con:
        con.sql(statement.format("hello"))
        assert fetch_rows(con, "SELECT statement FROM aiquery_runs()")[0] == (statement.format("hello"),)


def test_plain_connections_frames_embeddings_and_updates_have_runs(plain, serve, tmp_path):
    server = serve()
    config = {"endpoints": {"m": server.endpoint(), "e": server.endpoint(task="embedding")}}
    con = plain(**config["endpoints"])
    con.sql("SELECT ai_query('m', 'plain ' || i) FROM range(30) t(i)").fetchall()
    assert (aiquery.last_run().rows, aiquery.last_run().requests) == (30, 30)
    assert con.sql("SELECT rows, requests, state FROM aiquery_runs()").fetchall() == [(30, 30, "running")]
    frame = pd.DataFrame({"text": ["a", "b", "a", None]})
    functions.gen(frame, "text", config={**config, "defaults": {"chat": "m"}})
    run = aiquery.last_run()
    assert (run.engine, run.statement) == ("frames", "ai_gen")
    assert (run.rows, run.rows_total, run.requests) == (4, 4, 2)
    aiquery.Embedding("e", config=config).embed(["one", "two"])
    run = aiquery.last_run()
    assert (run.engine, run.rows, run.requests) == ("embedding", 2, 2)
    with aiquery.connect(str(tmp_path / "my.duckdb"), config=config) as con:
        con.execute("CREATE TABLE t AS SELECT i AS id, 'row ' || i AS s, NULL::VARCHAR AS a FROM range(5000) r(i)")
        report = aiquery.update("t", "a = ai_query('m', s)", key="id", where="a IS NULL", database=con)
        run = aiquery.last_run()
        assert run.statement == """UPDATE "t" SET "a" = AI_QUERY('m', s)"""
        assert (run.state, run.rows, run.requests) == ("done", 5000, 5000)
        assert report.requests == 5000


def test_a_store_in_memory_has_the_runs_of_the_process(serve):
    config = {"endpoints": {"m": serve().endpoint()}, "cache": {"store": "memory:"}}
    with aiquery.connect(config=config) as con:
        con.sql("SELECT ai_query('m', 'x')")
        assert fetch_rows(con, "SELECT rows FROM aiquery_runs()") == [(1,)]


KILLED = """
import aiquery, sys
con = aiquery.connect(config={config!r})
con.sql("SELECT ai_query('m', 'text ' || i) FROM range(100000) t(i)")
"""


def test_the_run_of_a_killed_process_is_stored_except_for_the_last_second(serve, tmp_path):
    server = serve(latency=0.05)
    config = {"endpoints": {"m": server.endpoint()}, "cache": {"store": str(tmp_path / "answers.sqlite")}}
    process = subprocess.Popen([sys.executable, "-c", KILLED.format(config=config)])
    while server.calls < 200:
        time.sleep(0.02)
    calls = server.calls
    time.sleep(2.5)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    with aiquery.connect(config=config) as con:
        ((state, attempts),) = fetch_rows(con, "SELECT state, attempts FROM aiquery_runs()")
        assert state == "stopped"
        assert calls - 64 <= attempts <= server.calls
        ((count,),) = fetch_rows(con, "SELECT count(*) FROM aiquery_attempts('last')")
        assert count == attempts


def test_a_damaged_run_store_fails_no_query(serve_and_connect, tmp_path, caplog):
    (tmp_path / "runs.sqlite").write_bytes(b"not a database file" * 1000)
    _, con = serve_and_connect()
    with con:
        assert fetch_rows(con, "SELECT ai_query('m', 'x')") == [("echo: x",)]
        con._session.client.flush_runs().result()
    assert "runs are not stored from now on" in caplog.text


def test_old_runs_and_attempts_above_the_size_limit_are_deleted(serve_and_connect, tmp_path):
    _, con = serve_and_connect(runs={"max_mb": 0.05})
    with con:
        for number in range(3):
            con.sql(f"SELECT ai_query('m', 'text {number} ' || i) FROM range(2000) t(i)")
    _, con = serve_and_connect(runs={"max_mb": 0.05})
    with con:
        con.sql("SELECT ai_query('m', 'one')")
        sums = fetch_rows(con, "SELECT count(*), sum(attempts) FROM aiquery_runs()")
        assert sums == [(4, 6001)]
    db = sqlite3.connect(tmp_path / "runs.sqlite")
    assert db.execute("SELECT count(DISTINCT run) FROM attempts").fetchone()[0] < 4
    db.execute("UPDATE run_records SET written_at = written_at - 100 * 86400")
    db.commit()
    db.close()
    _, con = serve_and_connect()
    with con:
        con.sql("SELECT ai_query('m', 'one')")
        assert fetch_rows(con, "SELECT count(*) FROM aiquery_runs()") == [(1,)]


GROWING = (
    "rows", "requests", "attempts", "tokens_in", "tokens_out", "cost_usd", "seconds", "cache_hits",
)  # fmt: skip


def test_a_hook_receives_figures_that_never_decrease(serve_and_connect):
    _, con = serve_and_connect(server_settings={"latency": 0.02})
    received = []
    stop = aiquery.on_progress(received.append)
    try:
        with con:
            con.sql("SELECT ai_query('m', 'text ' || (i % 2000)) FROM range(9000) t(i)")
    finally:
        stop()
    # without the runs that other tests left open
    events = [event for event in received if "9000" in (event.statement or "")]
    assert len(events) >= 3
    for name in GROWING:
        figures = [getattr(event, name) or 0 for event in events]
        assert figures == sorted(figures), name
    assert events[0].rows_total in {None, 9000}
    assert events[-1].state == "done"
    assert events[-1].rows == events[-1].rows_total == 9000
    assert any(event.in_flight and event.limit for event in events)
    assert any(event.seconds_left for event in events)


def test_a_hook_that_fails_is_not_called_again_and_fails_no_query(serve_and_connect, caplog):
    _, con = serve_and_connect()
    calls = []

    def fail(progress):
        calls.append(progress)
        raise RuntimeError("mine")

    aiquery.on_progress(fail)
    with con:
        con.sql("SELECT ai_query('m', 'x')")
        con.sql("SELECT ai_query('m', 'y')")
    assert len(calls) == 1
    assert "an on_progress hook failed" in caplog.text


def test_a_run_as_json_has_every_figure(serve_and_connect):
    _, con = serve_and_connect()
    with con:
        con.sql("SELECT ai_query('m', 'x')")
        row = con.sql("SELECT to_json(r) FROM aiquery_runs() r").fetchall()[0][0]
    assert json.loads(row)["requests"] == 1


def test_a_list_price_is_shown_with_its_date(serve, tmp_path, monkeypatch):
    server = serve()
    monkeypatch.setitem(catalogs.vendors()["openai"], "base_url", server.base_url)
    endpoint = {"base_url": server.base_url, "model": "gpt-4o-mini", "hedge": False}
    config = {"endpoints": {"m": endpoint}, "cache": {"store": str(tmp_path / "answers.sqlite")}}
    with aiquery.connect(config=config) as con:
        con.sql("SELECT ai_query('m', 'row ' || i) FROM range(20) t(i)")
        cost = aiquery.last_run().cost_usd
    with closing(open_run_store(configuration.load(json.dumps(config)))) as store:
        record = store.runs()[0]
    cost_in = 0.15 * server.usage["prompt_tokens"]
    cost_out = 0.6 * server.usage["completion_tokens"]
    assert cost == pytest.approx((cost_in + cost_out) / 1e6)
    assert tables.usage_rows(record)[0][6] == f"{cost:,.6f} (list prices of 2026-11)"
