"""Cached answers are never requested again: after success, failure and kill -9, across threads and processes."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import aiquery
from aiquery.errors import RowError
from aiquery.testing import Answer

SCRIPT = """
import sys, aiquery
url, rows, store = sys.argv[1], int(sys.argv[2]), sys.argv[3]
config = {"endpoints": {"m": {"base_url": url, "max_concurrency": 64, "hedge": False}}, "cache": {"store": store}}
con = aiquery.connect(config=config)
con.execute(f"CREATE TABLE t AS SELECT 'text ' || i AS s FROM range({rows}) r(i)")
con.sql("CREATE TABLE o AS SELECT s, ai_query('m', s) AS a FROM t")
correct = con.execute("SELECT count(*) FROM o WHERE a = 'echo: ' || s").fetchone()[0]
con.close()
print("correct", correct, flush=True)
"""

UNWRITTEN = 64 * 2
"""The answers that arrive in one writing interval of the store (20 ms and the write), with 64 in flight of 30 ms."""


def start(server, rows, store):
    command = [sys.executable, "-c", SCRIPT, server.base_url, str(rows), str(store)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process):
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return out.split()[-1]


def create_table(con, rows):
    con.execute(f"CREATE TABLE t AS SELECT 'text ' || i AS s FROM range({rows}) r(i)")


def test_a_second_process_sends_no_request(serve, tmp_path):
    server = serve()
    for _ in range(2):
        assert finish(start(server, 3000, tmp_path / "a.sqlite")) == "3000"
    assert server.calls == 3000


def test_two_processes_at_once_send_each_request_once(serve, tmp_path):
    server = serve(latency=0.02)
    both = [start(server, 3000, tmp_path / "a.sqlite") for _ in range(2)]
    assert [finish(process) for process in both] == ["3000", "3000"]
    assert server.calls == 3000


def test_threads_and_expressions_send_each_request_once(connect, serve):
    server = serve(latency=0.02)
    con = connect(m=server.endpoint())
    create_table(con, 500)
    sql = "SELECT ai_query('m', s), ai_query('m', s) || '!' FROM t ORDER BY s"
    results = []

    def query(cursor):
        results.append(cursor.sql(sql).fetchall())

    threads = [threading.Thread(target=query, args=(con.cursor(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(result == results[0] for result in results)
    assert server.calls == 500


def test_after_a_failed_row_only_rows_without_an_answer_are_requested(connect, serve):
    broken = {"text 777"}
    server = serve(lambda q: Answer(status=400) if q.prompt in broken else Answer())
    con = connect(m=server.endpoint(max_concurrency=8))
    create_table(con, 2000)
    with pytest.raises(RowError):
        con.sql("SELECT ai_query('m', s) FROM t")
    con.close()
    broken.clear()
    answered = server.calls - 1
    again = connect(m=server.endpoint(max_concurrency=8))
    create_table(again, 2000)
    assert len(again.sql("SELECT ai_query('m', s) FROM t").fetchall()) == 2000
    assert server.calls - answered - 1 <= 2000 - answered + 8


def test_sampling_is_neither_shared_nor_stored(connect, serve):
    server = serve()
    call = "ai_query('m', s, modelParameters => {'temperature': 0.7})"
    for _ in range(2):
        con = connect(m=server.endpoint())
        con.sql(f"SELECT {call} FROM (VALUES ('a'), ('a')) t(s)").fetchall()
        con.close()
    assert server.calls == 4


def test_another_server_model_or_parameter_is_another_request(connect, serve):
    servers = [serve(), serve()]
    for server in servers:
        con = connect(m=server.endpoint(), n=server.endpoint(model="other"))
        con.sql("SELECT ai_query('m', 'x'), ai_query('n', 'x')").fetchall()
        con.sql("SELECT ai_query('m', 'x', modelParameters => {'max_tokens': 5})").fetchall()
        con.close()
    assert [server.calls for server in servers] == [3, 3]


@pytest.mark.timeout(600)
def test_kill_9_at_random_moments_loses_nothing(serve, tmp_path):
    """Each kill loses at most the requests in flight and the answers that were not written yet."""
    server = serve(latency=0.03)
    source = random.Random(9)
    store = tmp_path / "a.sqlite"
    rows = 5000
    lost = 0
    for _ in range(10):
        before = server.calls
        process = start(server, rows, store)
        while server.calls == before and process.poll() is None:
            time.sleep(0.005)
        time.sleep(source.uniform(0.0, 0.15))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        time.sleep(0.1)
        with sqlite3.connect(store) as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            (stored,) = db.execute("SELECT count(*) FROM answers WHERE value IS NOT NULL").fetchone()
        db.close()
        assert server.calls - lost - stored <= 64 + UNWRITTEN
        lost = server.calls - stored
    assert finish(start(server, rows, store)) == str(rows)
    assert server.calls == rows + lost


def count_answers(con):
    ((count,),) = con.sql("SELECT count(DISTINCT ai_query('m', s)) FROM t").fetchall()
    return count


def test_a_corrupt_store_degrades_to_memory(connect, serve, tmp_path, monkeypatch, caplog):
    path = tmp_path / "corrupt.sqlite"
    path.write_bytes(b"no database" * 1000)
    monkeypatch.setenv("AIQUERY_CACHE", str(path))
    server = serve()
    con = connect(m=server.endpoint())
    create_table(con, 3000)
    assert count_answers(con) == 3000
    assert server.calls == 3000
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "memory" in caplog.text


def test_a_full_store_degrades_to_memory(connect, serve, tmp_path, monkeypatch, caplog):
    from aiquery.inference.cache.sqlite import SQLiteStore

    init = SQLiteStore.__init__

    def init_with_few_pages(self, *args, **settings):
        init(self, *args, **settings)
        # SQLite raises the same error as for a full disk
        self._db.execute("PRAGMA max_page_count = 60")

    monkeypatch.setattr(SQLiteStore, "__init__", init_with_few_pages)
    server = serve()
    con = connect(m=server.endpoint())
    create_table(con, 3000)
    assert count_answers(con) == 3000
    assert server.calls == 3000
    assert "full" in caplog.text


def test_a_locked_store_degrades_to_memory(connect, serve, tmp_path, monkeypatch, caplog):
    from aiquery.inference.cache import sqlite

    monkeypatch.setattr(sqlite, "BUSY_S", 0.2)
    path = os.environ["AIQUERY_CACHE"]
    sqlite.SQLiteStore(Path(path)).close()
    server = serve()
    with sqlite3.connect(path, isolation_level=None) as locker:
        locker.execute("BEGIN EXCLUSIVE")
        con = connect(m=server.endpoint())
        assert con.sql("SELECT ai_query('m', 'x')").fetchall() == [("echo: x",)]
    locker.close()
    assert "locked" in caplog.text


def test_the_default_store_is_in_the_users_cache(serve, tmp_path, monkeypatch):
    monkeypatch.delenv("AIQUERY_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    server = serve()
    with aiquery.connect(config={"endpoints": {"m": server.endpoint()}}) as con:
        con.sql("SELECT ai_query('m', 'x')")
    assert (tmp_path / "cache" / "aiquery" / "answers.sqlite").is_file()
