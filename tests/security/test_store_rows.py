"""What another program wrote into a store never hangs or fails a statement; files of other versions are recognized."""

import logging
import shutil
import socket
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

import aiquery
from aiquery.errors import StoreFailed
from aiquery.inference.cache.base import seal
from aiquery.inference.cache.redis import ANSWER, CLAIM, VERSION, RedisStore
from aiquery.inference.cache.sqlite import SQLiteStore
from aiquery.tracking.store import RunStore

DATA = Path(__file__).parent / "data"
SQL = "SELECT ai_query('m', 'Hello ' || i) FROM range(3) r(i) ORDER BY i"
TYPED = "SELECT ai_query('m', 'x', returnType => 'STRUCT<a: INT>', failOnError => false)"
STATEMENT_S = 25
NOW = time.time()
DEEP = b"[" * 50_000 + b"]" * 50_000


def ask(store, sql=SQL):
    """Return the rows of a statement. One that hangs fails the test."""
    found = []

    def run():
        endpoints = {"m": {"provider": "fake"}}
        config = {"endpoints": endpoints, "cache": {"store": str(store)}, "runs": {"store": "memory:"}}
        with aiquery.connect(config=config) as con:
            found.append(con.sql(sql).fetchall())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(STATEMENT_S)
    assert not thread.is_alive(), "the statement hangs"
    return found[0]


def set_value(make):
    """Return a change of a file that gives each answer the value ``make(key)``."""

    def change(db):
        for (key,) in db.execute("SELECT key FROM answers").fetchall():
            db.execute("UPDATE answers SET value = ? WHERE key = ?", (make(key), key))

    return change


def execute(sql, *values):
    return lambda db: db.execute(sql, values)


def add_owner(owner, heard_at):
    """Return a change that makes a claim of each answer, by another owner."""

    def change(db):
        db.execute("UPDATE answers SET value = NULL, owner = ?", (owner,))
        if heard_at is not None:
            db.execute("INSERT INTO owners VALUES (?, ?)", (owner, heard_at))

    return change


CHANGES = {
    "no checksum": execute("UPDATE answers SET value = x'00'"),
    "a text as value": execute("UPDATE answers SET value = 'abcdefgh'"),
    "a number as value": execute("UPDATE answers SET value = 12"),
    "no JSON": set_value(lambda key: seal(key, b"{")),
    "no UTF-8": set_value(lambda key: seal(key, b'"\xff"')),
    "deep JSON": set_value(lambda key: seal(key, DEEP)),
    "a number for a text": set_value(lambda key: seal(key, b"1")),
    "an object for a text": set_value(lambda key: seal(key, b'{"a": [1e300]}')),
    "text as time": execute("UPDATE answers SET made_at = 'x', used_at = 'x'"),
    "an endless time": execute("UPDATE answers SET made_at = 9e999"),
    "a time of the far future": execute("UPDATE answers SET made_at = 1e300, used_at = -1e300"),
    "an endpoint that is a number": execute("UPDATE answers SET endpoint = x'ff'"),
    "an owner without an address": add_owner("evil", None),
    "an owner that is not known": add_owner(f"elsewhere/{10**24}/x", None),
    "a huge process number": add_owner(f"{socket.gethostname()}/{10**24}/x", NOW - 60),
    "a heartbeat that is text": add_owner("evil", "x"),
    "a heartbeat of the future": add_owner("evil", 1e300),
    "an owner that is bytes": add_owner(b"\xff\xfe", NOW - 60),
    "a claim without owner": execute("UPDATE answers SET value = NULL, owner = NULL"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_rows_that_are_not_ours_are_requested_again(tmp_path, name, caplog):
    store = tmp_path / "cache.sqlite"
    expected = ask(store)
    with sqlite3.connect(store) as db:
        CHANGES[name](db)
    with caplog.at_level(logging.WARNING, "aiquery"):
        assert ask(store) == expected
    assert len([line for line in caplog.messages if "did not write" in line]) <= 1
    assert ask(store) == expected


def test_unreadable_answers_are_counted_and_said_once(tmp_path, caplog):
    store = tmp_path / "cache.sqlite"
    ask(store)
    with sqlite3.connect(store) as db:
        CHANGES["no JSON"](db)
    with caplog.at_level(logging.WARNING, "aiquery"):
        ask(store)
    (line,) = caplog.messages
    assert line.startswith("3 stored answers are damaged")


@pytest.mark.parametrize("value", [b'{"a": "no number"}', b'{"a": 1e300}', b"{}", b"[]", b'"x"', b'{"a": 99999999999}'])
def test_a_stored_answer_of_another_type_is_requested_again(tmp_path, value):
    store = tmp_path / "cache.sqlite"
    expected = ask(store, TYPED)
    with sqlite3.connect(store) as db:
        set_value(lambda key: seal(key, value))(db)
    assert ask(store, TYPED) == expected


def test_the_export_leaves_other_rows_out(tmp_path):
    store = SQLiteStore(tmp_path / "a.sqlite")
    keys = [bytes([i]) * 16 for i in range(4)]
    store.save([(key, "m", b'"x"') for key in keys])
    store._db.execute("UPDATE answers SET made_at = 'x' WHERE key = ?", (keys[0],))
    store._db.execute("UPDATE answers SET used_at = 1e300 WHERE key = ?", (keys[1],))
    store._db.execute("UPDATE answers SET value = 5 WHERE key = ?", (keys[2],))
    assert [answer.key for answer in store.export()] == keys[3:]
    store.close()


# --- versions


@pytest.mark.parametrize("name", ["cache", "runs"])
def test_a_file_from_before_versions_is_read_and_gets_one(tmp_path, name):
    path = tmp_path / "old.sqlite"
    shutil.copy(DATA / f"{name}_schema_0.sqlite", path)
    if name == "cache":
        store = SQLiteStore(path)
        assert sorted(answer.value for answer in store.export()) == [b'"echo: Hello %d"' % i for i in range(3)]
    else:
        store = RunStore(str(path), keep_days=36_500, max_bytes=2**40)
        (run,) = store.runs()
        assert run.progress.requests == 3
        assert len(store.attempts(run.progress.run)) == 3
    store.close()
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (1,)


@pytest.mark.parametrize("store_class", [SQLiteStore, lambda path: RunStore(str(path), keep_days=1, max_bytes=1)])
def test_a_file_of_a_newer_version_is_refused_by_name(tmp_path, store_class):
    path = tmp_path / "newer.sqlite"
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 2")
    with pytest.raises(StoreFailed, match=rf"{path}: a newer version of aiquery wrote this file \(schema 2"):
        store_class(path)


ENDLESS = (
    "ALTER TABLE answers RENAME TO other; CREATE VIEW answers AS WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL "
    "SELECT i + 1 FROM r) SELECT i AS key, i AS endpoint, i AS value FROM r"
)


def test_a_view_in_the_place_of_a_table_is_refused(tmp_path, caplog):
    """An endless view would hold the statement up for ever."""
    path = tmp_path / "answers.sqlite"
    ask(path)
    with closing(sqlite3.connect(path)) as db:
        db.executescript(ENDLESS)
    assert len(ask(path)) == 3
    assert "'answers' is a view" in caplog.text


def test_a_statement_goes_on_without_a_store_of_a_newer_version(tmp_path, caplog):
    path = tmp_path / "newer.sqlite"
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 2")
    assert len(ask(path)) == 3
    assert "a newer version of aiquery" in caplog.text


# --- runs


@pytest.mark.parametrize(
    "record",
    [b"{", b"\xff", b"[]", b"{}", "text", 5, None, DEEP, b'{"progress": 5}'],
    ids=["half", "bytes", "list", "empty", "text", "number", "null", "deep", "other"],
)
def test_rows_in_the_run_store_that_are_not_ours_are_left_out(tmp_path, record, caplog):
    path = str(tmp_path / "runs.sqlite")
    config = {"endpoints": {"m": {"provider": "fake"}}, "cache": {"store": "memory:"}, "runs": {"store": path}}
    with aiquery.connect(config=config) as con:
        con.sql(SQL)
        con.sql("SELECT * FROM aiquery_runs()")
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA ignore_check_constraints = ON")
        db.execute("UPDATE run_records SET written_at = written_at")
        db.execute("CREATE TEMP TABLE one AS SELECT * FROM run_records LIMIT 1")
        db.execute("INSERT INTO run_records SELECT 'zz', owner, 'x', ? FROM one", (record or b"null",))
        db.execute("INSERT INTO attempts SELECT run, 1, ? FROM one", (record or b"",))
    with aiquery.connect(config=config) as con:
        ((run,),) = con.sql("SELECT run FROM aiquery_runs()").fetchall()
        assert len(con.sql(f"SELECT * FROM aiquery_attempts('{run}')").fetchall()) == 3
    assert len([line for line in caplog.messages if "did not write" in line]) == 1


# --- Redis


@pytest.fixture
def redis_db(redis_url, monkeypatch):
    monkeypatch.setattr("aiquery.inference.cache.redis.DEAD_S", 1.0)
    store = RedisStore(redis_url)
    store._db.flushdb()
    ask(redis_url)
    yield store._db
    store._db.flushdb()
    store.close()


def names(db):
    return list(db.scan_iter(match=ANSWER + b"*"))


def replace_by_list(db):
    for name in names(db):
        db.delete(name)
        db.lpush(name, b"x")


def claim_for_ever(db):
    for name in names(db):
        db.delete(name)
        db.set(CLAIM + name[len(ANSWER) :], b"evil")


def claim_by_list(db):
    for name in names(db):
        db.delete(name)
        db.lpush(CLAIM + name[len(ANSWER) :], b"evil")


def set_fields(**fields):
    def change(db):
        for name in names(db):
            db.hset(name, mapping=fields)

    return change


@pytest.mark.parametrize(
    "change",
    [
        replace_by_list,
        claim_for_ever,
        claim_by_list,
        set_fields(v=b"x"),
        set_fields(t=b"nan"),
        set_fields(t=b"1e300"),
        set_fields(t=b"\xff"),
        set_fields(e=b"\xff"),
        lambda db: [db.hdel(name, "v") for name in names(db)],
        lambda db: [db.hdel(name, "e") for name in names(db)],
    ],
)
def test_keys_in_redis_that_are_not_ours_are_requested_again(redis_url, redis_db, change):
    expected = [(f"echo: Hello {i}",) for i in range(3)]
    change(redis_db)
    assert ask(redis_url) == expected
    assert ask(redis_url) == expected
    assert len(list(RedisStore(redis_url).export())) == 3


def test_answers_of_a_newer_version_in_redis_are_refused_by_name(redis_url, redis_db):
    assert redis_db.get(VERSION) == b"1"
    redis_db.set(VERSION, b"2")
    with pytest.raises(StoreFailed, match="a newer version of aiquery wrote these answers"):
        RedisStore(redis_url)
