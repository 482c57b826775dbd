"""Connections of aiquery: few calls, exact concurrency, materialised results, and a prompt end after an interrupt."""

import threading
import time

import duckdb
import pytest

import aiquery
from aiquery.errors import RowError
from aiquery.testing import Answer


@pytest.fixture
def tickets(connect, endpoint):
    con = connect(m=endpoint.endpoint())
    con.execute("CREATE TABLE t AS SELECT i AS id, 'text ' || i AS s FROM range(5000) r(i)")
    return con


@pytest.mark.parametrize(
    "statement",
    [
        "EXPLAIN SELECT ai_query('m', s) FROM t",
        "EXPLAIN SELECT ai_query('m', 'constant')",
        "-- a comment first\nEXPLAIN SELECT ai_query('m', 'constant')",
        "PREPARE p AS SELECT ai_query('m', s) FROM t",
        "PREPARE p AS SELECT ai_query('m', 'constant')",
        "DESCRIBE SELECT ai_query('m', s) FROM t",
        "CREATE VIEW v AS SELECT ai_query('m', s) AS r FROM t",
        "SELECT count(*) FROM (SELECT ai_query('m', s) AS r FROM t)",
    ],
)
def test_a_statement_that_needs_no_answer_sends_no_request(tickets, endpoint, statement):
    tickets.sql(statement)
    assert endpoint.calls == 0


def test_a_prepared_statement_sends_requests_when_it_is_executed(tickets, endpoint):
    tickets.sql("PREPARE p AS SELECT ai_query('m', 'constant')")
    assert tickets.sql("EXECUTE p").fetchall() == [("echo: constant",)]
    assert endpoint.calls == 1


def test_explain_analyze_sends_requests(tickets, endpoint):
    tickets.sql("EXPLAIN ANALYZE SELECT ai_query('m', s) FROM t LIMIT 3")
    assert endpoint.calls == 3


def test_a_view_sends_requests_when_it_is_read(tickets, endpoint):
    tickets.sql("CREATE VIEW v AS SELECT id, ai_query('m', s) AS r FROM t")
    assert tickets.sql("SELECT r FROM v WHERE id = 7").fetchall() == [("echo: text 7",)]
    assert endpoint.calls == 1


def test_a_result_is_materialised_and_converts(tickets, endpoint):
    result = tickets.sql("SELECT id, ai_query('m', s) AS r FROM t ORDER BY id LIMIT 5")
    assert endpoint.calls == 5
    assert "echo: text 0" in repr(result)
    assert list(result.df()["r"]) == [f"echo: text {i}" for i in range(5)]
    assert result.pl()["r"].to_list() == result.to_arrow_table()["r"].to_pylist()
    assert isinstance(result, duckdb.DuckDBPyRelation)
    assert endpoint.calls == 5


def test_types_survive_materialising(tickets):
    columns = (
        "170141183460469231731687303715884105727::HUGEINT h, uuid() u, '{}'::JSON j, INTERVAL 1 DAY i, 1 AS a, 2 AS a"
    )
    assert [str(dtype) for dtype in tickets.sql(f"SELECT {columns}").types] == [
        "HUGEINT", "UUID", "JSON", "INTERVAL", "INTEGER", "INTEGER",
    ]  # fmt: skip


def test_statements_without_rows_return_none(tickets):
    assert tickets.sql("CREATE TABLE o(x INT)") is None
    assert tickets.sql("") is None


def test_several_statements_return_the_last_rows(tickets, endpoint):
    result = tickets.sql("CREATE TABLE o AS SELECT ai_query('m', s) AS r FROM t LIMIT 2; SELECT count(*) FROM o")
    assert result.fetchall() == [(2,)]
    assert endpoint.calls == 2


def test_a_frame_of_the_caller_is_found(connect, endpoint):
    import pandas as pd

    frame = pd.DataFrame({"s": ["a", "b"]})
    con = connect(m=endpoint.endpoint())
    rows = con.sql("SELECT ai_query('m', s) FROM frame").fetchall()
    assert rows == [("echo: a",), ("echo: b",)]
    assert len(frame) == 2


def test_the_peak_in_flight_is_exactly_max_concurrency(connect, serve):
    server = serve(latency=0.02)
    con = connect(m=server.endpoint(max_concurrency=37))
    con.execute("CREATE TABLE t AS SELECT 'text ' || i AS s FROM range(2000) r(i)")

    def query(n):
        con.cursor().sql(f"SELECT ai_query('m', s || '{n}') FROM t LIMIT 300")

    threads = [threading.Thread(target=query, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.peak_in_flight == 37
    assert server.calls == 1200


def test_equal_configurations_share_answers_and_limits(connect, serve):
    server = serve(latency=0.01)
    settings = server.endpoint(max_concurrency=5)
    one, other = connect(m=settings), connect(m=settings)
    one.sql("SELECT ai_query('m', i::VARCHAR) FROM range(50) r(i)")
    other.sql("SELECT ai_query('m', i::VARCHAR) FROM range(50) r(i)")
    assert server.calls == 50
    assert server.peak_in_flight <= 5


def test_closing_twice_leaves_the_others_alone(connect, serve):
    server = serve()
    one, other = connect(m=server.endpoint()), connect(m=server.endpoint())
    one.close()
    one.close()
    del one
    assert other.sql("SELECT ai_query('m', 'q')").fetchall() == [("echo: q",)]


def test_answers_in_memory_end_with_the_last_connection(serve):
    server = serve()
    for _ in range(2):
        config = {"endpoints": {"m": server.endpoint()}, "cache": {"store": "memory:"}}
        with aiquery.connect(config=config) as con:
            con.sql("SELECT ai_query('m', 'q')")
    assert server.calls == 2


def test_no_further_requests_are_sent_after_the_first_failed_row(connect, serve):
    server = serve(lambda q: Answer(status=400) if q.prompt == "text 3" else Answer(), latency=0.01)
    con = connect(m=server.endpoint(max_concurrency=10))
    con.execute("CREATE TABLE t AS SELECT 'text ' || i AS s FROM range(20000) r(i)")
    with pytest.raises(RowError, match="HTTP 400"):
        con.sql("CREATE TABLE o AS SELECT ai_query('m', s) FROM t")
    time.sleep(0.2)
    assert server.calls < 200
    tables = con.sql("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'o'")
    assert tables.fetchall() == [(0,)]


def test_a_failed_row_in_try_does_not_stop_the_statement(connect, serve):
    server = serve(lambda q: Answer(status=400) if q.prompt.endswith("7") else Answer())
    con = connect(m=server.endpoint())
    con.execute("CREATE TABLE t AS SELECT i, 'text ' || i AS s FROM range(3000) r(i)")
    rows = con.sql("SELECT i, TRY(ai_query('m', s)) FROM t ORDER BY i").fetchall()
    expected = [(i, f"echo: text {i}") for i in range(3000)]
    expected[7::10] = [(i, None) for i in range(7, 3000, 10)]
    assert rows == expected
    assert server.calls == 3000


def interrupt_after(server, con, calls):
    """Interrupt ``con`` from another thread as soon as the endpoint has received ``calls`` calls."""

    def watch():
        while server.calls < calls:
            time.sleep(0.01)
        con.interrupt()

    threading.Thread(target=watch).start()


def wait_for_cancelled(con, endpoint, count):
    """Wait until ``count`` attempts are cancelled; the timeout of the test is the bound."""
    cancelled = 0
    while cancelled < count:
        time.sleep(0.01)
        totals = con.ledger.totals.get(endpoint)
        cancelled = totals.endings["cancelled"] if totals else 0


@pytest.mark.parametrize("temperature", [0.0, 0.7])
@pytest.mark.parametrize("rows", [10, 5000, 300_000])
def test_interrupt_from_another_thread(connect, serve, rows, temperature):
    server = serve(latency=30.0)
    con = connect(m=server.endpoint(max_concurrency=8))
    con.execute(f"CREATE TABLE t AS SELECT 'text ' || i AS s FROM range({rows}) r(i)")
    interrupt_after(server, con, calls=8)
    started = time.monotonic()
    call = f"ai_query('m', s, modelParameters => {{'temperature': {temperature}}})"
    with pytest.raises(duckdb.InterruptException):
        con.sql(f"CREATE TABLE o AS SELECT {call} FROM t")
    # less than the latency: the statement did not wait for an answer
    assert time.monotonic() - started < 20
    assert server.calls == 8
    wait_for_cancelled(con, "m", 8)


def test_an_interrupt_cancels_batches_of_texts(connect, serve):
    server = serve(latency=30.0)
    con = connect(e=server.endpoint(task="embedding", max_batch_size=10, max_concurrency=3))
    interrupt_after(server, con, calls=3)
    with pytest.raises(duckdb.InterruptException):
        con.sql("CREATE TABLE o AS SELECT ai_embed(i::VARCHAR, endpoint => 'e') FROM range(500) r(i)")
    assert server.calls == 3
    wait_for_cancelled(con, "e", 3)


def test_interrupt_of_a_plain_connection(plain, serve):
    server = serve(lambda question: Answer(latency_s=30.0 if question.number else 0))  # the first one is sent alone
    con = plain(m=server.endpoint(max_concurrency=8))
    interrupt_after(server, con, calls=9)
    with pytest.raises(duckdb.Error, match="nterrupted"):
        con.sql("SELECT ai_query('m', i::VARCHAR) FROM range(5000) r(i)").fetchall()
    assert server.calls == 9
    assert con.sql("SELECT 1").fetchall() == [(1,)]


def test_a_connection_is_usable_after_an_interrupt(connect, serve):
    server = serve(lambda q: Answer(latency_s=30.0 if "slow" in q.prompt else 0))
    con = connect(m=server.endpoint())
    interrupt_after(server, con, calls=1)
    with pytest.raises(duckdb.InterruptException):
        con.sql("SELECT ai_query('m', 'slow')")
    assert con.sql("SELECT ai_query('m', 'fast')").fetchall() == [("echo: fast",)]


def test_a_cursor_has_the_functions_after_register(plain, endpoint):
    con = plain(m=endpoint.endpoint())
    cursor = con.cursor()
    with pytest.raises(duckdb.CatalogException):
        cursor.sql("SELECT ai_query('m', 'q')")
    aiquery.register(cursor, {"endpoints": {"m": endpoint.endpoint()}})
    assert cursor.sql("SELECT ai_query('m', 'q')").fetchall() == [("echo: q",)]


def test_a_statement_reads_the_changes_of_the_open_transaction(tickets, endpoint):
    tickets.execute("BEGIN; DELETE FROM t WHERE id > 2")
    assert tickets.sql("SELECT count(ai_query('m', s)) FROM t").fetchall() == [(3,)]
    tickets.execute("ROLLBACK")
    assert endpoint.calls == 3


def test_rows_stay_in_order(connect, serve):
    server = serve(latency=lambda q: (int(q.prompt) * 7 % 13) / 1000)
    con = connect(m=server.endpoint(max_concurrency=64))
    rows = con.sql("SELECT ai_query('m', i::VARCHAR) FROM range(3000) r(i)").fetchall()
    assert rows == [(f"echo: {i}",) for i in range(3000)]


def test_a_statement_that_fails_in_the_prefetch_pass_still_runs(connect, serve):
    con = connect(m=serve(lambda q: q.prompt).endpoint())
    rows = con.sql("SELECT CASE WHEN r IS NULL THEN error('no answer yet') ELSE r END FROM "
                   "(SELECT ai_query('m', i::VARCHAR) AS r FROM range(3) t(i))").fetchall()  # fmt: skip
    assert rows == [("0",), ("1",), ("2",)]


def test_a_view_is_stored_as_it_was_written(tickets):
    tickets.sql("CREATE VIEW v AS SELECT id FROM t WHERE ai_query('m', s) = 'x' AND id = 3")
    views = tickets.sql("SELECT sql FROM duckdb_views() WHERE view_name = 'v'")
    ((stored,),) = views.fetchall()
    assert "volatile" not in stored
