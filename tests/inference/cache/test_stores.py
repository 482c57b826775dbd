"""Both stores pass the same tests: saved answers are found, a claim blocks other processes, damage is a cache miss."""

import os
import socket
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time

import pytest

import aiquery
from aiquery.errors import StoreFailed
from aiquery.inference.cache.base import seal
from aiquery.inference.cache.redis import RedisStore
from aiquery.inference.cache.sqlite import SQLiteStore
from redis_server import Redis

A, B, C = (bytes([i]) * 16 for i in range(3))


@pytest.fixture(params=["sqlite", "redis"])
def open_store(request, tmp_path):
    """Return a function that opens one more store at the same location."""
    opened = []
    if request.param == "redis":
        url = request.getfixturevalue("redis_url")
        RedisStore(url).clear()

    def open_one(**settings):
        if request.param == "sqlite":
            store = SQLiteStore(tmp_path / "a.sqlite", **settings)
        else:
            store = RedisStore(url, **settings)
        opened.append(store)
        return store

    yield open_one
    for store in opened:
        store.close()


def test_a_saved_answer_is_found_by_another_store(open_store):
    one, other = open_store(), open_store()
    assert one.find([A, B])[:2] == ({}, [])
    one.save([(A, "m", b'"a"'), (B, "m", b"null")])
    assert other.find([A, B])[:2] == ({A: b'"a"', B: b"null"}, [])
    statistics = other.statistics()
    assert (statistics.answers, statistics.by_endpoint) == (2, {"m": 2})
    assert statistics.size_bytes > 0
    exported = {(answer.key, answer.value) for answer in other.export()}
    assert exported == {(A, b'"a"'), (B, b"null")}


def test_a_request_of_one_process_is_a_claim_for_the_others(open_store):
    one, other = open_store(), open_store()
    assert one.find([A, B]).elsewhere == []
    assert sorted(other.find([A, B, C]).elsewhere) == [A, B]
    one.save([(A, "m", b"1")])
    one.release([B])
    assert other.find([A, B])[:2] == ({A: b"1"}, [])
    assert one.find([B]).elsewhere == [B]


def test_closing_gives_claims_back(open_store):
    one, other = open_store(), open_store()
    one.find([A])
    one.close()
    assert other.find([A])[:2] == ({}, [])


def test_a_store_is_not_blocked_by_its_own_claim(open_store):
    store = open_store()
    store.find([A])
    assert store.find([A])[:2] == ({}, [])


def test_time_to_live(open_store):
    store = open_store(ttl_s=0.2)
    store.find([A])
    store.save([(A, "m", b"1")])
    assert store.find([A]).values == {A: b"1"}
    time.sleep(0.3)
    assert store.find([A])[:2] == ({}, [])


def test_clear(open_store):
    store = open_store()
    store.save([(A, "m", b"1"), (B, "m", b"2")])
    assert store.clear() == 2
    assert store.statistics().answers == 0


def test_a_dead_process_holds_no_claims(tmp_path):
    path = tmp_path / "a.sqlite"
    script = (
        "import os, pathlib, sys; from aiquery.inference.cache.sqlite import SQLiteStore;"
        f"s = SQLiteStore(pathlib.Path({str(path)!r})); s.find([bytes(16)]); print('ready', flush=True); os.abort()"
    )
    subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    store = SQLiteStore(path)
    assert store.find([bytes(16)])[:2] == ({}, [])
    store.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_fork_waits_for_the_calls_of_other_threads(tmp_path):
    code = f"""
        import os, pathlib, signal, threading
        from aiquery.inference.cache.sqlite import SQLiteStore
        folder = pathlib.Path({str(tmp_path)!r})
        def write(store):
            while True:
                store.save([(os.urandom(16), "m", b"v") for _ in range(100)])
        for name in ("a", "b"):
            threading.Thread(target=write, args=[SQLiteStore(folder / name)], daemon=True).start()
        for number in range(40):
            pid = os.fork()
            if pid == 0:
                signal.alarm(20)  # a child that waits for a lock of the parent ends here
                SQLiteStore(folder / f"child{{number}}").save([(bytes(16), "m", b"v")])
                os._exit(0)
            if status := os.waitpid(pid, 0)[1]:
                print("status", status, flush=True)
                os._exit(1)
        os._exit(0)
    """
    process = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stdout + process.stderr


def test_a_silent_process_of_another_machine_holds_no_claims(tmp_path):
    now = [1000.0]
    one = SQLiteStore(tmp_path / "a.sqlite", clock=lambda: now[0])
    one._owner = "elsewhere/1/x"
    one.keep_claims()
    one.find([A])
    other = SQLiteStore(tmp_path / "a.sqlite", clock=lambda: now[0])
    assert other.find([A]).elsewhere == [A]
    now[0] += 11
    assert other.find([A])[:2] == ({}, [])
    one.close()
    other.close()


def test_a_damaged_answer_counts_as_missing(tmp_path):
    path = tmp_path / "a.sqlite"
    store = SQLiteStore(path)
    store.save([(A, "m", b'"right"')])
    with sqlite3.connect(path) as db:
        db.execute("UPDATE answers SET value = CAST(substr(value, 1, 4) || '\"wrong\"' AS BLOB)")
    db.close()
    assert store.find([A])[:2] == ({}, [])
    assert list(store.export()) == []
    store.close()


def test_the_least_recently_used_go_first(tmp_path):
    now = [0.0]
    store = SQLiteStore(tmp_path / "a.sqlite", max_bytes=400_000, clock=lambda: now[0])
    keys = [i.to_bytes(16, "big") for i in range(600)]
    store.save([(key, "m", b"x" * 1000) for key in keys])
    now[0] = 10_000.0
    store.find(keys[:50])
    assert store.prune() > 0
    remaining = {answer.key for answer in store.export()}
    assert set(keys[:50]) <= remaining
    assert len(remaining) < 420
    assert store.statistics().size_bytes <= 400_000
    store.close()


def test_a_file_that_is_not_a_database_is_rejected(tmp_path):
    path = tmp_path / "a.sqlite"
    path.write_bytes(b"this is not a database, however long it is" * 100)
    with pytest.raises(StoreFailed, match="not a database"):
        SQLiteStore(path)


def test_the_error_of_an_unreachable_redis_omits_the_password():
    with pytest.raises(StoreFailed) as error:
        RedisStore("redis://:hunter2@127.0.0.1:1/0")
    assert "hunter2" not in str(error.value)


def test_a_path_below_a_file_is_rejected(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreFailed):
        SQLiteStore(tmp_path / "file" / "a.sqlite")


def test_a_store_waits_while_another_process_creates_the_file(tmp_path):
    path = tmp_path / "answers.sqlite"
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("CREATE TABLE x (a)")
    other.execute("BEGIN IMMEDIATE")
    other.execute("CREATE TABLE y (a)")
    timer = threading.Timer(0.3, other.execute, ["COMMIT"])
    timer.start()
    SQLiteStore(path).close()  # it does not fail with "database is locked"
    timer.join()
    other.close()


def connect_with(server, store):
    """Return a connection whose cache is ``store``."""
    config = {"endpoints": {"m": server.endpoint()}, "cache": {"store": store}, "runs": {"store": "memory:"}}
    return aiquery.connect(config=config)


def test_answers_are_written_to_a_redis_that_is_back(serve, tmp_path):
    redis = Redis(tmp_path)
    redis.start()
    server = serve()
    with connect_with(server, redis.url) as con:
        con.sql("SELECT ai_query('m', 'first ' || i) FROM range(50) r(i)")
        redis.stop()
        con.sql("SELECT ai_query('m', 'during ' || i) FROM range(50) r(i)")
        redis.start()
        reader = RedisStore(redis.url)
        # the answers of "during" are written once the server is back
        while reader.statistics().answers < 50:
            time.sleep(0.05)
        con.sql("SELECT ai_query('m', 'after ' || i) FROM range(50) r(i)")
        while reader.statistics().answers < 100:
            time.sleep(0.05)
        beginnings = {answer.value[:13] for answer in reader.export()}
        assert beginnings == {b'"echo: during', b'"echo: after '}
        reader.close()
    assert server.calls == 150
    redis.stop()


def test_answers_that_were_not_stored_are_counted(serve, tmp_path, monkeypatch, caplog):
    from aiquery.inference.cache import backlog

    monkeypatch.setattr(backlog.Backlog.__init__, "__defaults__", (200,))  # bytes
    redis = Redis(tmp_path)
    redis.start()
    server = serve()
    with connect_with(server, redis.url) as con:
        con.sql("SELECT ai_query('m', 'first')")
        redis.stop()
        con.sql("SELECT ai_query('m', 'during ' || i) FROM range(50) r(i)")
        lost = aiquery.last_run().not_stored
        assert 30 < lost < 50
        assert "not stored" in str(aiquery.last_run())
    assert "50 answers were not stored" in caplog.text


ODD = {
    "an owner with a foreign name": "INSERT INTO owners VALUES ('evil', strftime('%s') + 100)",
    "an impossible process number": "INSERT INTO owners VALUES ('{host}/1000000000000000000000000/x', 1e12)",
    "a heartbeat that is not a time": "INSERT INTO owners VALUES ('other/1/x', 'soon')",
    "a value that is a text": "UPDATE answers SET value = 'abcdefgh'",
    "times that are texts": "UPDATE answers SET made_at = 'x', used_at = 'x'",
}


def query_before_and_after(server, path, change):
    """Send a query, change the database of the store, and send the query again."""
    with connect_with(server, str(path)) as con:
        assert con.sql("SELECT ai_query('m', 'x')").fetchall() == [("echo: x",)]
    db = sqlite3.connect(path)
    change(db)
    db.commit()
    db.close()
    with connect_with(server, str(path)) as con:
        assert con.sql("SELECT ai_query('m', 'x')").fetchall() == [("echo: x",)]


@pytest.mark.parametrize("name", ODD)
def test_odd_rows_of_a_store_do_not_block_a_query(serve, tmp_path, name):
    statement = ODD[name].format(host=socket.gethostname())
    query_before_and_after(serve(), tmp_path / "answers.sqlite", lambda db: db.execute(statement))


def test_a_cached_value_that_is_not_json_is_requested_again(serve, tmp_path):
    def damage(db):
        ((key,),) = db.execute("SELECT key FROM answers").fetchall()
        db.execute("UPDATE answers SET value = ?", (seal(key, b"{"),))

    server = serve()
    query_before_and_after(server, tmp_path / "answers.sqlite", damage)
    assert server.calls == 2


def test_an_unexpected_error_of_the_store_does_not_block_a_query(serve, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(SQLiteStore, "find", lambda *_: 1 / 0)
    server = serve()
    config = {"endpoints": {"m": server.endpoint()}, "cache": {"store": str(tmp_path / "a.sqlite")}}
    with aiquery.connect(config=config) as con:
        assert con.sql("SELECT ai_query('m', 'x')").fetchall() == [("echo: x",)]
    assert "division by zero" in caplog.text
