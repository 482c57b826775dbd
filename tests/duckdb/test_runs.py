"""Every run is kept: its figures are what the endpoint counted, and nothing of it holds a key or a request's text."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time

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
def opened(serve, tmp_path):
    def start(reply=None, runs=None, server_settings=None, **settings):
        server = serve(reply, **(server_settings or {}))
        endpoint = server.endpoint(**{"hedge": False, "price": PRICE, **settings})
        store = {"store": str(tmp_path / "answers.sqlite")}
        config = {"endpoints": {"m": endpoint}, "cache": store, "runs": runs or {}}
        return server, aiquery.connect(config=config)

    return start


def rows(con, sql):
    return con.sql(sql).fetchall()


def test_what_a_run_did_is_what_the_endpoint_counted(opened):
    server, con = opened()
    with con:
        con.sql(
            "SELECT ai_query('m', repeat('a question long enough to be cached ', 4) || (i % 300)) FROM range(2000) t(i)"
        )
        done = aiquery.last_run()
        assert (done.state, done.rows, done.rows_total) == ("done", 2000, 2000)
        assert (done.requests, done.cache_hits, done.deduplicated, done.failed) == (
            300,
            0,
            1700,
            0,
        )
        assert (done.attempts, done.retries) == (server.calls, 0) == (300, 0)
        assert done.tokens_in == server.usage["prompt_tokens"]
        assert done.tokens_cached == server.usage["cached_tokens"] > 0
        assert done.tokens_out == server.usage["completion_tokens"]
        fresh = done.tokens_in - done.tokens_cached
        cost = (fresh + 0.25 * done.tokens_cached + 2 * done.tokens_out) / 1e6
        assert done.cost_usd == pytest.approx(cost, abs=1e-9)
        names = (
            "run, engine, state, rows, requests, cache_hits, deduplicated, tokens_in, "
            "tokens_cached, tokens_out, cost_usd, endpoints, functions, errors"
        )
        (row,) = rows(con, f"SELECT {names} FROM aiquery_runs()")
        figures = (done.tokens_in, done.tokens_cached, done.tokens_out, done.cost_usd)
        assert row == (
            done.run,
            "duckdb",
            "done",
            2000,
            300,
            0,
            1700,
            *figures,
            ["m"],
            ["ai_query"],
            [],
        )


def test_what_was_answered_before_is_told_from_what_is_asked_and_shared(opened):
    _, con = opened()
    with con:
        con.sql("SELECT ai_query('m', 'text ' || i) FROM range(100) t(i)")
    _, con = opened()
    with con:
        con.sql(
            "SELECT ai_query('m', 'text ' || (i % 150)) FROM range(6000) t(i)"
        )  # three chunks: seen three times
        done = aiquery.last_run()
        assert (done.rows, done.requests, done.cache_hits, done.deduplicated) == (
            6000,
            150,
            0,
            5850,
        )  # another server, other keys
        con.sql("SELECT ai_query('m', 'text ' || (i % 170)) FROM range(6000) t(i)")
        done = aiquery.last_run()
        assert (done.rows, done.requests, done.cache_hits, done.deduplicated) == (
            6000,
            20,
            150,
            5830,
        )
    with aiquery.connect(
        config=con.config
    ) as again:  # the memory is gone, the store is not
        again.sql("SELECT ai_query('m', 'text ' || (i % 170)) FROM range(6000) t(i)")
        done = aiquery.last_run()
        assert (done.requests, done.cache_hits, done.deduplicated, done.attempts) == (
            0,
            170,
            5830,
            0,
        )
        again.sql("SELECT ai_query('m', 'text ' || i) FROM range(5) t(i)")
        assert aiquery.last_run().cache_hits == 5


def test_under_faults_the_totals_are_still_the_endpoints(opened):
    faults = [
        TRANSIENT[name]
        for name in ("429 without", "503", "truncated JSON", "reset before headers")
    ]
    faults += [TRANSIENT["reset in the body"], TRANSIENT["wrong content-length"]]
    seen = {}

    def reply(question):
        number = int(question.prompt.rpartition(" ")[2])
        seen[number] = seen.get(number, 0) + 1
        if number % 50 == 0:
            return Answer(status=400, text=f"cannot read '{question.prompt}'")
        return faults[number % 6] if number % 7 == 0 and seen[number] == 1 else Answer()

    server, con = opened(reply, timeout={"read_s": 2.0})
    with con:
        con.sql(
            "SELECT ai_query('m', 'text number ' || i, failOnError => false) FROM range(500) t(i)"
        )
        done = aiquery.last_run()
        assert (done.rows, done.requests, done.failed, done.attempts) == (
            500,
            500,
            10,
            server.calls,
        )
        assert done.retries == server.calls - 500
        assert done.tokens_in == server.usage["prompt_tokens"]
        assert done.tokens_out == server.usage["completion_tokens"]
        attempts = rows(
            con,
            "SELECT count(*), sum(tokens_in), sum(tokens_out) FROM aiquery_attempts('last')",
        )
        assert attempts == [(server.calls, done.tokens_in, done.tokens_out)]
        (errors,) = rows(con, "SELECT errors FROM aiquery_runs()")[0]
        assert sum(error["requests"] for error in errors) == 10
        assert sum(error["attempts"] for error in errors) == done.retries + 10
        assert rows(
            con,
            "SELECT count(*) FROM aiquery_attempts('last') WHERE ending = 'failed' AND status = 400",
        ) == [(10,)]


def test_usage_by_day_endpoint_and_function(opened):
    server, con = opened(
        lambda q: Answer(text="spam") if "spam" in q.prompt else Answer()
    )
    with con:
        con.sql("SELECT ai_query('m', 'text ' || i) FROM range(7) t(i)")
        con.sql(
            "SELECT ai_classify('is it spam ' || i, ARRAY['spam', 'ham'], endpoint => 'm') FROM range(5) t(i)"
        )
        assert rows(
            con,
            "SELECT name, runs, attempts FROM aiquery_usage(by => 'function') ORDER BY name",
        ) == [
            ("ai_classify", 1, 5),
            ("ai_query", 1, 7),
        ]
        assert rows(
            con,
            "SELECT name, runs, attempts, tokens_in FROM aiquery_usage(by => 'endpoint')",
        ) == [("m", 2, 12, server.usage["prompt_tokens"])]
        assert rows(con, "SELECT count(*), sum(attempts) FROM aiquery_usage()") == [
            (1, 12)
        ]
        with pytest.raises(ArgumentError, match="use 'day', 'endpoint', 'function'"):
            con.sql("FROM aiquery_usage(by => 'moon')")
        with pytest.raises(
            ArgumentError, match="run 'nothing' is not known; the newest are: 2"
        ):
            con.sql("FROM aiquery_attempts('nothing')")


def test_a_run_that_fails_says_so_and_another_that_is_interrupted(opened):
    _, con = opened(
        lambda q: Answer(status=400, text="no") if q.prompt.endswith("3") else Answer()
    )
    with con:
        with pytest.raises(RowError):
            con.sql("SELECT ai_query('m', 'text ' || i) FROM range(5) t(i)")
        assert rows(con, "SELECT state, error FROM aiquery_runs()") == [
            ("failed", "RequestFailed")
        ]
        assert aiquery.last_run().state == "failed"


def test_no_key_and_no_text_is_kept_unless_it_is_asked_for(
    opened, tmp_path, monkeypatch, caplog
):
    monkeypatch.setenv("MY_KEY", SECRET)
    caplog.set_level("INFO", "aiquery")

    def reply(question):
        if "complaint" in question.prompt:
            return Answer(
                status=400, text=f"cannot read '{question.prompt}' with {SECRET}"
            )
        return Answer(text="a private answer")

    statement = "SELECT ai_query('m', 'Tell me: ' || s, failOnError => false) FROM (VALUES ('{}')) t(s) -- for Ann"
    _, con = opened(reply, server_settings={"api_key": SECRET}, api_key_env="MY_KEY")
    with con:
        con.sql(statement.format("my confidential complaint about the invoice"))
        (text,) = rows(con, "SELECT statement FROM aiquery_runs()")[0]
        assert (
            text
            == "SELECT ai_query('m', '…' || s, failOnError => false) FROM (VALUES ('…')) t(s)"
        )
        (errors,) = rows(con, "SELECT errors FROM aiquery_runs()")[0]
        assert errors[0]["example"].startswith("HTTP 400: cannot read '…' with")
    content = b"".join(path.read_bytes() for path in tmp_path.glob("runs.sqlite*"))
    for private in ("confidential", "Tell me", "for Ann", "private answer", SECRET):
        assert private.encode() not in content
        assert private not in caplog.text
    _, con = opened(
        reply,
        runs={"texts": True},
        server_settings={"api_key": SECRET},
        api_key_env="MY_KEY",
    )
    with con:
        con.sql(statement.format("hello"))
        assert rows(con, "SELECT statement FROM aiquery_runs()")[0] == (
            statement.format("hello"),
        )


def test_plain_connections_frames_embeddings_and_updates_are_runs_too(
    plain, serve, tmp_path
):
    server = serve()
    config = {
        "endpoints": {"m": server.endpoint(), "e": server.endpoint(task="embedding")}
    }
    con = plain(**config["endpoints"])
    con.sql("SELECT ai_query('m', 'plain ' || i) FROM range(30) t(i)").fetchall()
    assert (aiquery.last_run().rows, aiquery.last_run().requests) == (30, 30)
    assert con.sql("SELECT rows, requests, state FROM aiquery_runs()").fetchall() == [
        (30, 30, "running")
    ]
    frame = pd.DataFrame({"text": ["a", "b", "a", None]})
    functions.gen(frame, "text", config={**config, "defaults": {"chat": "m"}})
    done = aiquery.last_run()
    assert (done.engine, done.statement, done.rows, done.rows_total, done.requests) == (
        "frames",
        "ai_gen",
        4,
        4,
        2,
    )
    aiquery.Embedding("e", config=config).embed(["one", "two"])
    done = aiquery.last_run()
    assert (done.engine, done.rows, done.requests) == ("embedding", 2, 2)
    with aiquery.connect(str(tmp_path / "my.duckdb"), config=config) as con:
        con.execute(
            "CREATE TABLE t AS SELECT i AS id, 'row ' || i AS s, NULL::VARCHAR AS a FROM range(5000) r(i)"
        )
        report = aiquery.update(
            "t", "a = ai_query('m', s)", key="id", where="a IS NULL", database=con
        )
        done = aiquery.last_run()
        assert done.statement == """UPDATE "t" SET "a" = AI_QUERY('m', s)"""
        assert (done.state, done.rows, done.requests, report.requests) == (
            "done",
            5000,
            5000,
            5000,
        )


def test_in_memory_runs_are_kept_as_long_as_the_process(serve):
    config = {"endpoints": {"m": serve().endpoint()}, "cache": {"store": "memory:"}}
    with aiquery.connect(config=config) as con:
        con.sql("SELECT ai_query('m', 'x')")
        assert rows(con, "SELECT rows FROM aiquery_runs()") == [(1,)]


KILLED = """
import aiquery, sys
con = aiquery.connect(config={config!r})
con.sql("SELECT ai_query('m', 'text ' || i) FROM range(100000) t(i)")
"""


def test_what_a_killed_process_did_is_kept_but_for_the_last_second(serve, tmp_path):
    server = serve(latency=0.05)
    config = {
        "endpoints": {"m": server.endpoint()},
        "cache": {"store": str(tmp_path / "answers.sqlite")},
    }
    process = subprocess.Popen([sys.executable, "-c", KILLED.format(config=config)])
    while server.calls < 200:
        time.sleep(0.02)
    calls = server.calls
    time.sleep(2.5)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    with aiquery.connect(config=config) as con:
        ((state, attempts),) = rows(con, "SELECT state, attempts FROM aiquery_runs()")
        assert state == "stopped"
        assert calls - 64 <= attempts <= server.calls
        assert rows(con, "SELECT count(*) FROM aiquery_attempts('last')") == [
            (attempts,)
        ]


def test_a_full_disk_or_a_broken_file_fails_no_query(opened, tmp_path, caplog):
    (tmp_path / "runs.sqlite").write_bytes(b"this is no database" * 1000)
    _, con = opened()
    with con:
        assert rows(con, "SELECT ai_query('m', 'x')") == [("echo: x",)]
        con._session.client.flush_runs().result()
    assert "runs are not stored from now on" in caplog.text


def test_old_runs_go_and_attempts_above_the_bound(opened, tmp_path):
    _, con = opened(runs={"max_mb": 0.05})
    with con:
        for number in range(3):
            con.sql(
                f"SELECT ai_query('m', 'text {number} ' || i) FROM range(2000) t(i)"
            )
    _, con = opened(runs={"max_mb": 0.05})
    with con:
        con.sql("SELECT ai_query('m', 'one')")
        assert rows(con, "SELECT count(*), sum(attempts) FROM aiquery_runs()") == [
            (4, 6001)
        ]
    db = sqlite3.connect(tmp_path / "runs.sqlite")
    assert db.execute("SELECT count(DISTINCT run) FROM attempts").fetchone()[0] < 4
    db.execute("UPDATE run_records SET written_at = written_at - 100 * 86400")
    db.commit()
    db.close()
    _, con = opened()
    with con:
        con.sql("SELECT ai_query('m', 'one')")
        assert rows(con, "SELECT count(*) FROM aiquery_runs()") == [(1,)]


def test_a_hook_hears_figures_that_never_go_back(opened):
    _, con = opened(server_settings={"latency": 0.02})
    heard = []
    forget = aiquery.on_progress(heard.append)
    try:
        with con:
            con.sql("SELECT ai_query('m', 'text ' || (i % 2000)) FROM range(9000) t(i)")
    finally:
        forget()
    heard = [
        progress for progress in heard if "9000" in (progress.statement or "")
    ]  # not what other tests left open
    assert len(heard) >= 3
    for name in (
        "rows",
        "requests",
        "attempts",
        "tokens_in",
        "tokens_out",
        "cost_usd",
        "seconds",
        "cache_hits",
    ):
        figures = [getattr(progress, name) or 0 for progress in heard]
        assert figures == sorted(figures), name
    assert heard[0].rows_total in {None, 9000}
    assert heard[-1].state == "done"
    assert heard[-1].rows == heard[-1].rows_total == 9000
    assert any(progress.in_flight and progress.limit for progress in heard)
    assert any(progress.seconds_left for progress in heard)


def test_a_hook_that_fails_is_not_called_again_and_fails_no_query(opened, caplog):
    _, con = opened()
    calls = []

    def broken(progress):
        calls.append(progress)
        raise RuntimeError("mine")

    aiquery.on_progress(broken)
    with con:
        con.sql("SELECT ai_query('m', 'x')")
        con.sql("SELECT ai_query('m', 'y')")
    assert len(calls) == 1
    assert "an on_progress hook failed" in caplog.text


def test_a_run_as_json_has_every_figure(opened):
    _, con = opened()
    with con:
        con.sql("SELECT ai_query('m', 'x')")
        row = con.sql("SELECT to_json(r) FROM aiquery_runs() r").fetchall()[0][0]
    assert json.loads(row)["requests"] == 1


def test_a_list_price_is_told_with_its_date(serve, tmp_path, monkeypatch):
    server = serve()
    monkeypatch.setitem(catalogs.vendors()["openai"], "base_url", server.base_url)
    endpoint = {"base_url": server.base_url, "model": "gpt-4o-mini", "hedge": False}
    config = {
        "endpoints": {"m": endpoint},
        "cache": {"store": str(tmp_path / "answers.sqlite")},
    }
    with aiquery.connect(config=config) as con:
        con.sql("SELECT ai_query('m', 'row ' || i) FROM range(20) t(i)")
        cost = aiquery.last_run().cost_usd
    kept = open_run_store(configuration.load(json.dumps(config))).runs()[0]
    assert cost == pytest.approx(
        (0.15 * server.usage["prompt_tokens"] + 0.6 * server.usage["completion_tokens"])
        / 1e6
    )
    assert tables.usage_rows(kept)[0][6] == f"{cost:,.6f} (list prices of 2026-06)"
