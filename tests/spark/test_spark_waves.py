"""Spark asks what a result needs: at most four times as much, and 32 for each task that runs."""

import hashlib
import re

import pytest

from aiquery.engines.spark.executor import pandas_batches
from aiquery.testing import Answer

pytestmark = pytest.mark.spark
ROWS = 8_000
TASKS = 4
"""Partitions of the table. Below a limit that is not collected, as in a subquery, Spark runs a task for each."""


def passes(number, share):
    return int.from_bytes(hashlib.blake2b(f"text {number}".encode()).digest()[:4]) < share * 2**32


def first(wanted, numbers, share):
    """Return how many of the numbers are read until so many have passed."""
    count = 0
    for position, number in enumerate(numbers, 1):
        count += passes(number, share)
        if count == wanted:
            return position
    return len(numbers)


ASCENDING = list(range(ROWS))
MATCHING = list(range(0, ROWS, 40))
ASK = "ai_query('m', '{name} ' || s) = 'true'"
LINES = {
    "limit": ("SELECT id FROM t WHERE {ask} LIMIT 5", lambda share: first(5, ASCENDING, share)),
    "a cheap condition": (
        "SELECT id FROM t WHERE {ask} AND g = 3 LIMIT 5",
        lambda share: first(5, ASCENDING[3::7], share),
    ),
    "order": ("SELECT id FROM t WHERE {ask} ORDER BY id LIMIT 5", lambda share: first(5, ASCENDING, share)),
    "descending": (
        "SELECT id, g FROM t WHERE {ask} ORDER BY id DESC LIMIT 5 OFFSET 5",
        lambda share: first(10, ASCENDING[::-1], share),
    ),
    "order by a column that is not selected": (
        "SELECT s FROM t WHERE {ask} ORDER BY -id LIMIT 5",
        lambda share: first(5, ASCENDING[::-1], share),
    ),
    "inside": (
        "SELECT sum(id) FROM (SELECT id FROM t WHERE {ask} ORDER BY id LIMIT 5)",
        lambda share: first(5, ASCENDING, share),
    ),
    "exists": ("SELECT EXISTS (SELECT 1 FROM t WHERE {ask})", lambda share: first(1, ASCENDING, share)),
    "a join": (
        "SELECT t.id FROM t JOIN u ON t.id = u.id WHERE {ask} LIMIT 3",
        lambda share: first(3, MATCHING, share),
    ),
    "an inner query": (
        "SELECT q.id, q.s FROM (SELECT * FROM t WHERE {ask}) q JOIN u ON q.id = u.id",
        lambda _share: len(MATCHING),
    ),
    "the right side": (
        "SELECT q.id, u.k FROM u JOIN (SELECT id FROM t WHERE {ask}) q ON q.id = u.id",
        lambda _share: len(MATCHING),
    ),
    "semi join": ("SELECT id FROM t LEFT SEMI JOIN u USING (id) WHERE {ask}", lambda _share: len(MATCHING)),
    "anti join": (
        "SELECT id FROM t LEFT ANTI JOIN (SELECT id FROM t WHERE id >= 30) w USING (id) WHERE {ask}",
        lambda _share: 30,
    ),
    "an IN subquery": ("SELECT id FROM u WHERE id IN (SELECT id FROM t WHERE {ask})", lambda _share: len(MATCHING)),
    "a correlated subquery": (
        "SELECT id FROM u WHERE EXISTS (SELECT 1 FROM t WHERE t.id = u.id AND {ask})",
        lambda _share: len(MATCHING),
    ),
    "no correlated row": (
        "SELECT id FROM u WHERE NOT EXISTS (SELECT 1 FROM t WHERE t.id = u.id AND {ask})",
        lambda _share: len(MATCHING),
    ),
}


CASES = [(0.5, True), (0.5, False), (0.05, True), (0.0, False)]
NOT_ON_4_0 = {"an inner query", "the right side"}
"""On Spark 4.0 the condition of an inner query is asked below the join."""


def answer(share):
    def reply(question):
        number = int(re.search(r"text (\d+)", question.prompt).group(1))
        return "true" if passes(number, share) else "false"

    return reply


@pytest.fixture
def unset_adaptive(session):
    yield
    session.conf.unset("spark.sql.adaptive.enabled")


def create_tables(session):
    numbers = session.range(0, ROWS, 1, 4)
    numbers.selectExpr("id", "'text ' || id AS s", "id % 7 AS g").createOrReplaceTempView("t")
    session.range(ROWS // 40).selectExpr("id * 40 AS id", "id % 7 AS k").createOrReplaceTempView("u")


@pytest.mark.usefixtures("unset_adaptive")
@pytest.mark.parametrize(("share", "adaptive"), CASES[:1] if pandas_batches.NEEDED else CASES)
def test_at_most_four_times_what_is_needed_is_asked(spark, share, adaptive):
    sql = spark(answer(share))
    sql.session.conf.set("spark.sql.adaptive.enabled", str(adaptive).lower())
    create_tables(sql.session)
    passing = [number for number in ASCENDING if passes(number, share)]
    sql.session.createDataFrame([(number,) for number in passing], "id LONG").createOrReplaceTempView("passing")
    for name, (statement, needed) in LINES.items():
        before = sql.server.calls
        rows = sql.collect(statement.format(ask=ASK.format(name=name)))
        asked = sql.server.calls - before
        if not (pandas_batches.NEEDED and name in NOT_ON_4_0):
            assert asked <= 4 * needed(share) + 32 * TASKS, name
        in_source = "id IN (SELECT id FROM passing)"
        expected = sql.collect(statement.format(ask=in_source.replace("id IN", "t.id IN")))
        if "LIMIT" in statement and "ORDER" not in statement:
            assert len(rows) == len(expected), name
        else:
            assert sorted(rows) == sorted(expected), name


ACTIONS = {
    "show": lambda frame: frame.show(5),
    "head": lambda frame: frame.head(5),
    "take": lambda frame: frame.take(5),
    "first": lambda frame: frame.first(),
    "isEmpty": lambda frame: frame.isEmpty(),
    "limit and collect": lambda frame: frame.limit(5).collect(),
    "limit and count": lambda frame: frame.limit(5).count(),
    "limit and write": lambda frame: frame.limit(5).write.format("noop").mode("overwrite").save(),
}


@pytest.mark.parametrize("action", ACTIONS)
def test_an_action_asks_what_it_shows(spark, action):
    sql = spark(answer(0.5))
    create_tables(sql.session)
    frame = sql.session.sql(f"SELECT id, s FROM t WHERE {ASK.format(name=action)}")
    ACTIONS[action](frame)
    tasks = TASKS if "count" in action or "write" in action else 1
    assert sql.server.calls <= 4 * 12 + 32 * tasks


def test_rows_in_an_order_are_the_first_ones_wherever_they_go(spark, tmp_path):
    sql = spark(answer(0.5))
    create_tables(sql.session)
    expected = [number for number in ASCENDING if passes(number, 0.5)][:7]
    frame = sql.session.sql(f"SELECT id FROM t WHERE {ASK.format(name='q')} ORDER BY id LIMIT 7")
    assert [row.id for row in frame.collect()] == expected
    assert [row.id for row in frame.toLocalIterator()] == expected
    frame.write.parquet(str(tmp_path / "out"))
    assert sorted(row.id for row in sql.session.read.parquet(str(tmp_path / "out")).collect()) == expected
    assert sorted(row.id for row in frame.rdd.collect()) == expected


def test_every_row_is_asked_once_whatever_the_number_of_waves(spark):
    sql = spark(answer(0.0))
    create_tables(sql.session)
    assert sql.collect(f"SELECT id FROM t WHERE {ASK.format(name='q')} LIMIT 5") == []
    assert sql.server.calls == ROWS
    assert max(sql.server.calls_by_prompt.values()) == 1


def fail_at(*numbers):
    def reply(question):
        number = int(re.search(r"text (\d+)", question.prompt).group(1))
        return Answer(status=400) if number in numbers else "true"

    return reply


@pytest.mark.skipif(pandas_batches.NEEDED, reason="on Spark 4.0 a failed row of a wave fails the query")
def test_a_failed_row_fails_the_query_only_if_it_is_read(spark):
    sql = spark(fail_at(7))
    create_tables(sql.session)
    query = f"SELECT id FROM t WHERE {ASK.format(name='q')} ORDER BY id LIMIT "
    assert sql.collect(query + "5") == [(0,), (1,), (2,), (3,), (4,)]
    with pytest.raises(Exception, match="HTTP 400"):
        sql.collect(query + "9")
