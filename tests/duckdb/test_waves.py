"""Asking in waves: errors, budgets, transactions and what is reported are as without waves."""

import time

import duckdb
import pytest

import aiquery
from aiquery.engines.duckdb import waves
from aiquery.errors import BudgetReached, RowError


def number(text):
    return int("".join(c for c in text.split("text ")[1] if c.isdigit()))


@pytest.fixture
def shop(asked):
    asked.con.execute("CREATE TABLE t AS SELECT i AS id, 'text ' || i AS s, i % 7 AS g FROM range(3000) r(i)")
    return asked


def fail_at(*numbers, passes=lambda _i: True):
    def answer(text):
        if number(text) in numbers:
            raise ValueError(f"no answer about row {number(text)}")
        return "true" if passes(number(text)) else "false"

    return answer


LIMITED = "select id from t where ai_filter(s, 'q') order by id limit 3"


def test_a_failed_row_behind_the_last_one_that_is_needed_fails_nothing(shop):
    shop.answer = fail_at(5, 10, passes=lambda i: i % 2 == 0)
    rows, requests = shop.run(LIMITED)
    assert rows == [(0,), (2,), (4,)]
    assert requests == 19


def test_a_failed_row_that_is_needed_fails_the_statement(shop):
    shop.answer = fail_at(3, passes=lambda i: i % 2 == 0)
    with pytest.raises(RowError, match="no answer about row 3"):
        shop.run(LIMITED)
    shop.answer = fail_at(3, passes=lambda _i: False)
    with pytest.raises(RowError, match="no answer about row 3"):
        shop.run(LIMITED)
    assert len(shop.texts) <= 19  # every row of the first wave is needed: no further wave is asked


ALL_GROUPS = [(g,) for g in range(7)]
GROUPS_WITH_A_FAILED_ROW = {
    "distinct": ("select distinct g from t where ai_filter(s, 'q') order by all", ALL_GROUPS),
    "in": ("select i from range(7) r(i) where i in (select g from t where ai_filter(s, 'q')) order by i", ALL_GROUPS),
    "distinct on": (
        "select distinct on (g) g, id from t where ai_filter(s, 'q') order by g, id",
        [(g, 14 + g) for g in range(7)],
    ),
}


@pytest.mark.parametrize("shape", GROUPS_WITH_A_FAILED_ROW)
def test_a_failed_row_of_a_group_behind_one_that_passes_fails_nothing(shop, shape):
    query, expected = GROUPS_WITH_A_FAILED_ROW[shape]
    is_ordered = shape == "distinct on"
    failing = (21, 22, 29) if is_ordered else range(0, 3000, 3)
    shop.answer = fail_at(*failing, passes=lambda i: i >= 14 and (is_ordered or i % 2 == 0))
    rows, requests = shop.run(query)
    assert rows == expected
    assert requests <= 5 * 7 + 32
    assert any(number(text) in failing for text in shop.texts)


@pytest.mark.parametrize("shape", GROUPS_WITH_A_FAILED_ROW)
def test_a_group_whose_rows_fail_or_do_not_pass_fails_the_statement(shop, shape):
    shop.answer = fail_at(8, passes=lambda i: i % 7 != 1)
    with pytest.raises(RowError, match="no answer about row 8"):
        shop.run(GROUPS_WITH_A_FAILED_ROW[shape][0])


def test_a_failed_row_before_the_first_of_an_ordered_group_fails_the_statement(shop):
    shop.answer = fail_at(8, passes=lambda i: i >= 14)
    with pytest.raises(RowError, match="no answer about row 8"):
        shop.run(GROUPS_WITH_A_FAILED_ROW["distinct on"][0])
    rows, _ = shop.run(GROUPS_WITH_A_FAILED_ROW["distinct"][0])
    assert rows == ALL_GROUPS


@pytest.mark.parametrize(
    "quiet", ["try(ai_filter(s, 'q'))", "ai_query('m', s, returnType => 'BOOLEAN', failOnError => false).result"]
)
def test_a_failed_row_that_is_null_does_not_pass(shop, quiet):
    shop.answer = fail_at(0, 2)
    rows, requests = shop.run(f"select id from t where {quiet} order by id limit 3")
    assert rows == [(1,), (3,), (4,)]
    assert requests <= 44


def test_a_row_is_sent_once_whatever_the_number_of_waves(shop):
    shop.answer = fail_at(passes=lambda i: i > 2_000)
    rows, requests = shop.run(LIMITED)
    assert rows == [(2001,), (2002,), (2003,)]
    assert requests == len(set(shop.texts))


def test_a_wave_grows_to_four_times_what_was_asked(shop, monkeypatch):
    counts = []
    restrict = waves.LimitWaves._restrict
    monkeypatch.setattr(
        waves.LimitWaves, "_restrict", lambda self, count: (counts.append(count), restrict(self, count))
    )
    shop.answer = fail_at(passes=lambda _i: False)
    shop.run(LIMITED)
    assert counts == [19, 76, 304, 1216, 4864]


def test_a_large_limit_takes_three_waves_at_most(shop, monkeypatch):
    counts = []
    restrict = waves.LimitWaves._restrict
    monkeypatch.setattr(
        waves.LimitWaves, "_restrict", lambda self, count: (counts.append(count), restrict(self, count))
    )
    for share in (2, 3, 10):
        counts.clear()
        shop.answer = fail_at(passes=lambda i, share=share: i * 7919 % share == 0)
        rows, _ = shop.run("select id from t where ai_filter(s, 'q') limit 250")
        assert len(rows) == 250
        assert len(counts) <= 3


def test_the_last_waves_use_all_slots(connect, serve):
    server = serve(lambda _q: "false", latency=0.05)
    con = connect(m=server.endpoint(hedge=False, max_concurrency=64))
    con.execute("CREATE TABLE t AS SELECT 'text ' || i AS s FROM range(3000) r(i)")
    assert con.sql("SELECT s FROM t WHERE ai_query('m', s) = 'true' LIMIT 5").fetchall() == []
    assert server.calls == 3000
    assert server.peak_in_flight == 64


def test_a_transaction_of_the_user_is_neither_ended_nor_needed(shop):
    con = shop.con
    con.execute("BEGIN")
    con.execute("INSERT INTO t VALUES (-1, 'text 99999', 0)")
    assert shop.run(LIMITED) == ([(-1,), (0,), (1,)], 19)
    con.execute("ROLLBACK")
    assert shop.run(LIMITED) == ([(0,), (1,), (2,)], 19)
    assert con.raw.execute("SELECT count(*) FROM t").fetchall() == [(3000,)]


def test_a_failed_statement_writes_nothing_and_leaves_no_transaction(shop):
    shop.con.execute("CREATE TABLE o(id BIGINT)")
    shop.answer = fail_at(1)
    with pytest.raises(RowError):
        shop.run(f"insert into o {LIMITED}")
    shop.con.execute("BEGIN")
    shop.con.execute("ROLLBACK")
    assert shop.con.raw.execute("SELECT count(*) FROM o").fetchall() == [(0,)]
    shop.answer = fail_at()
    shop.run(f"insert into o {LIMITED}")
    assert shop.con.raw.execute("FROM o").fetchall() == [(0,), (1,), (2,)]


WRITES = {
    "create": "create table o as {query}",
    "copy": "copy ({query}) to 'o.csv' (header)",
    "view": "create view o as {query}",
}


@pytest.mark.parametrize("kind", WRITES)
def test_a_query_inside_another_statement_is_asked_in_waves(shop, kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, requests = shop.run(WRITES[kind].format(query=LIMITED))
    assert requests == (0 if kind == "view" else 19)
    assert shop.con.sql("from 'o.csv'" if kind == "copy" else "from o").fetchall() == [(0,), (1,), (2,)]


def test_a_cursor_a_parameter_and_a_sample_are_answered_as_before(shop):
    cursor = shop.con.cursor()
    assert cursor.sql(LIMITED).fetchall() == [(0,), (1,), (2,)]
    rows, _ = shop.run("select id from t where ai_filter(s, 'q') and id > ? order by id limit 3", params=[5])
    assert rows == [(6,), (7,), (8,)]
    rows, _ = shop.run("select id from t where ai_filter(s, 'q') using sample 5 rows")
    assert len(rows) == 5


def test_a_random_answer_is_asked_once_for_a_row(shop):
    sampling = "ai_query('m', s, modelParameters => {'temperature': 1.0})"
    rows, requests = shop.run(f"select id from t where {sampling} = 'true' limit 3")
    assert len(rows) == 3
    assert requests <= 2048
    assert len(set(shop.texts)) == requests


def test_a_macro_that_hides_an_aggregate_is_not_asked_in_waves(shop):
    shop.con.raw.execute("CREATE MACRO number_of(x) AS count(x)")
    rows, _ = shop.run("select number_of(id) from t where ai_filter(s, 'q') limit 1")
    assert rows == [(3000,)]


def test_a_budget_ends_the_waves(serve):
    server = serve(lambda _q: "false")
    config = {"endpoints": {"m": server.endpoint(hedge=False)}, "cache": {"store": "memory:"}}
    with aiquery.connect(config=config, budget={"max_requests": 50}) as con:
        con.execute("CREATE TABLE t AS SELECT 'text ' || i AS s FROM range(3000) r(i)")
        with pytest.raises(BudgetReached):
            con.sql("SELECT s FROM t WHERE ai_query('m', s) = 'true' LIMIT 5")
    assert server.calls <= 50


def test_an_interrupt_ends_the_waves(connect, serve):
    import threading

    server = serve(lambda _q: "false", latency=0.5)
    con = connect(m=server.endpoint(hedge=False, max_concurrency=8))
    con.execute("CREATE TABLE t AS SELECT 'text ' || i AS s FROM range(3000) r(i)")
    threading.Timer(0.7, con.interrupt).start()
    began = time.monotonic()
    with pytest.raises(duckdb.InterruptException):
        con.sql("SELECT s FROM t WHERE ai_query('m', s) = 'true' LIMIT 5")
    assert time.monotonic() - began < 10
    assert con.sql("SELECT 1").fetchall() == [(1,)]


def test_a_run_counts_the_requests_of_all_waves_and_the_rows_of_the_statement(shop):
    shop.answer = fail_at(passes=lambda i: i % 10 == 0)
    _, requests = shop.run(LIMITED)
    figures = shop.con.sql("SELECT requests, rows FROM aiquery_runs() ORDER BY started_at DESC LIMIT 1").fetchall()
    assert figures == [(requests, requests)]


def test_the_requests_that_a_statement_no_longer_needs_are_dropped(connect, serve):
    server = serve(lambda _q: "true", latency=0.05)
    con = connect(m=server.endpoint(hedge=False, max_concurrency=64))
    con.execute("SET preserve_insertion_order = false")  # then no prefix of a table is defined: no wave is asked
    con.execute("CREATE TABLE t AS SELECT 'text ' || i AS s FROM range(12000) r(i)")
    con.sql("SELECT EXISTS (SELECT 1 FROM t WHERE ai_query('m', s) = 'true')")
    sent = server.calls
    assert sent < 12_000
    time.sleep(0.3)
    assert server.calls <= sent + 64


def explain(con, sql):
    return dict(con.sql(f"EXPLAIN {sql}").fetchall())


def test_explain_shows_the_barrier_the_conditions_and_the_waves(shop):
    shop.con.raw.execute("CREATE TABLE u AS SELECT i * 15 AS id FROM range(200) r(i)")
    plan = explain(shop.con, "select t.id from t join u using (id) where ai_filter(s, 'q') order by id limit 5")[
        "ai_plan"
    ]
    assert plan.splitlines() == [
        "condition 1: ai_filter(s, 'q')",
        "barrier: asked after the joins, subqueries and cheap conditions of FROM t, u",
        "waves: until 5 rows",
    ]
    plan = explain(shop.con, "select distinct g from t where ai_filter(s, 'a') and ai_filter(s, 'b')")["ai_plan"]
    assert "condition 2: ai_filter(s, 'b')" in plan
    assert "order of 2 conditions" in plan
    assert "waves: until one row passes for each g" in plan
    assert not shop.texts


def test_an_estimate_is_a_range_from_what_is_needed_to_the_worst_case(shop):
    estimate = shop.con.estimate("select id from t where ai_filter(s, 'q') and g = 3 order by id limit 5")
    assert estimate.requests == 5
    assert not estimate.exact
    assert estimate.worst_case.requests == len(range(3, 3000, 7))
    assert "At worst, if no row passes: m: 429 distinct requests" in str(estimate)
    assert shop.con.estimate("select ai_query('m', s) from t limit 5").worst_case is None
    assert not shop.texts


def test_progress_says_that_a_statement_is_asked_in_waves(shop):
    from aiquery.tracking import active

    lines = []
    unsubscribe = active.on_progress(lambda progress: lines.append(str(progress)))
    try:
        shop.answer = lambda text: time.sleep(0.05) or ("true" if number(text) > 60 else "false")
        shop.run(LIMITED)
        time.sleep(1.2)
    finally:
        unsubscribe()
    assert any("in waves until 3 rows" in line for line in lines)


ORDERED = {
    "the more selective one": ("ai_filter(s, 'many') and ai_filter(s, 'few')", 3000 + 300),
    "the shorter one": ("ai_filter(s || repeat(' long', 300), 'half') and ai_filter(s, 'half')", 3000 + 1500),
}


@pytest.mark.parametrize("name", ORDERED)
def test_of_several_conditions_the_one_that_saves_most_is_asked_first(shop, name):
    def answer(text):
        passing = 9 if "many" in text else 5 if "half" in text else 1
        long = 3 if "long" in text else 0
        return "true" if (number(text.split(" long")[0]) * 7919 // 3 + long) % 10 < passing else "false"

    shop.answer = answer
    condition, least = ORDERED[name]
    rows, requests = shop.run(f"select id from t where {condition}")
    assert requests <= least * 1.1 + 64
    _, swapped = shop.run(f"select id from t where {' and '.join(reversed(condition.split(' and ')))}")
    assert swapped <= least * 1.1 + 64
    assert rows


def test_any_value_skips_the_answers_that_are_null(shop):
    shop.answer = lambda text: '{"a": null}' if number(text) < 70 else '{"a": "x"}'
    call = "ai_query('m', s, returnType => 'STRUCT<a: STRING>').a"
    rows, requests = shop.run(f"select g, any_value({call} order by id) from t group by g")
    assert sorted(rows) == [(g, "x") for g in range(7)]
    assert requests == 3000


def test_a_small_table_is_asked_in_the_written_order(asked):
    asked.con.execute("CREATE TABLE t AS SELECT 'text ' || i AS s FROM range(20) r(i)")
    asked.answer = lambda text: "true" if "many" in text else "false"
    _, requests = asked.run("select s from t where ai_filter(s, 'many') and ai_filter(s, 'few')")
    assert requests == 40


def test_a_query_that_a_condition_may_leave_out_is_not_asked_in_a_transaction(shop):
    shop.con.execute("BEGIN; INSERT INTO t VALUES (-1, 'text 0', 0)")
    inner = "SELECT id FROM t WHERE ai_filter(s, 'q') ORDER BY id LIMIT 1"
    for query in (
        f"SELECT * FROM (WITH c AS ({inner}) SELECT id FROM c WHERE CAST(1 AS VARCHAR) IS NULL) ORDER BY ALL LIMIT 1",
        f"SELECT * FROM ({inner}) WHERE CAST(1 AS VARCHAR) IS NULL",
    ):
        assert shop.run(query) == ([], 0)
    assert shop.run(f"SELECT * FROM ({inner})") == ([(-1,)], 16)
    shop.con.execute("COMMIT")
