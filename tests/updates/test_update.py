"""``aiquery.update``: only pending rows send requests, slices are committed whole, and no request is sent twice."""

import threading

import duckdb
import pytest

import aiquery
from aiquery import ArgumentError
from aiquery.testing import Answer

LONG = "sentiment IS NULL AND length(message) > 5"
SET = "sentiment = ai_query('m', message)"


@pytest.fixture
def tickets(serve, tmp_path):
    """Return a function that opens a database with a table of tickets and returns it with its server."""
    opened = []

    def make(reply=None, rows=100, server=None, **settings):
        server = server or serve(reply, **settings.pop("serve", {}))
        config = {
            "endpoints": {"m": server.endpoint(hedge=False, **settings)},
            "cache": {"store": str(tmp_path / "answers.sqlite")},
        }
        con = aiquery.connect(tmp_path / "my.db", config)
        con.execute(
            "CREATE TABLE IF NOT EXISTS tickets AS SELECT i AS ticket_id, "
            "CASE WHEN i % 10 = 0 THEN 'short' ELSE 'message ' || i END AS message, NULL::VARCHAR AS sentiment "
            f"FROM range({rows}) t(i)"
        )
        opened.append(con)
        return server, con

    yield make
    for con in opened:
        con.close()


def test_pending_rows_send_requests_and_a_second_update_sends_none(tickets):
    server, con = tickets()
    con.execute("UPDATE tickets SET sentiment = 'known' WHERE ticket_id < 20")
    report = aiquery.update("tickets", SET, key="ticket_id", where=LONG, database=con)
    assert (report.updated, report.failed, report.left) == (72, 0, 0)
    assert (report.commits, report.requests) == (1, 72)
    rows = con.execute("SELECT ticket_id, sentiment FROM tickets ORDER BY 1").fetchall()
    expected = {i: None if i % 10 == 0 else f"echo: message {i}" for i in range(100)}
    expected.update(dict.fromkeys(range(20), "known"))
    assert rows == list(expected.items())
    second = aiquery.update("tickets", SET, key="ticket_id", where=LONG, database=con)
    assert (second.updated, second.commits, second.requests) == (0, 0, 0)
    assert server.calls == 72


def test_commit_every_rows(tickets):
    _, con = tickets(rows=10_000)
    report = aiquery.update(
        "tickets", "sentiment = ai_query('m', message)", key="ticket_id", database=con, commit_every_rows=4096
    )
    assert (report.updated, report.commits) == (10_000, 3)


def test_a_failed_row_is_unchanged_and_requested_again_by_the_next_update(tickets):
    bad = {"message 3", "message 7"}
    server, con = tickets(lambda q: Answer(status=400) if q.prompt in bad else Answer(text="fine"))
    report = aiquery.update("tickets", SET, key="ticket_id", where=LONG, database=con)
    assert (report.updated, report.failed, report.left) == (88, 2, 2)
    bad.clear()
    report = aiquery.update("tickets", SET, key="ticket_id", where=LONG, database=con)
    assert (report.updated, report.failed, report.left, report.requests) == (2, 0, 0, 2)
    assert server.calls == 92


def test_a_failed_inner_call_fails_its_row(tickets):
    _, con = tickets(lambda q: Answer(status=400) if q.prompt == "message 3" else Answer())
    inner = "sentiment = ai_query('m', 'again ' || ai_query('m', message))"
    report = aiquery.update("tickets", inner, key="ticket_id", where=LONG, database=con)
    assert (report.updated, report.failed) == (89, 1)
    rows = con.execute("SELECT sentiment FROM tickets WHERE ticket_id = 4").fetchall()
    assert rows == [("echo: again echo: message 4",)]


def test_rows_rejected_by_the_budget_are_left_for_the_next_update(tickets):
    _, con = tickets(max_concurrency=4)
    options = {"key": "ticket_id", "where": LONG, "database": con}
    report = aiquery.update("tickets", SET, **options, budget={"max_requests": 30})
    assert (report.updated, report.left) == (30, 60)
    assert report.stopped is not None
    assert aiquery.update("tickets", SET, **options).updated == 60


def test_new_rows_of_a_source_are_inserted_into_a_new_table(tickets):
    server, con = tickets()
    options = {"source": "tickets", "key": "ticket_id", "where": "length(message) > 5", "database": con}
    qualified = {"message": "message", "answer": "ai_query('m', source.message)"}
    report = aiquery.update("answered", qualified, **options)
    assert (report.updated, report.left) == (90, 0)
    con.execute("INSERT INTO tickets VALUES (1000, 'message new', NULL)")
    plain = {"message": "message", "answer": "ai_query('m', message)"}
    report = aiquery.update("answered", plain, **options)
    assert (report.updated, report.requests) == (1, 1)
    rows = con.execute("SELECT * FROM answered WHERE ticket_id = 1000").fetchall()
    assert rows == [(1000, "message new", "echo: message new")]
    assert server.calls == 91


def test_refresh_requests_changed_rows_again(tickets):
    server, con = tickets()
    options = {"key": "ticket_id", "where": LONG, "database": con, "refresh_changed": True}
    assert aiquery.update("tickets", SET, **options).updated == 90
    assert aiquery.update("tickets", SET, **options).updated == 0
    con.execute("UPDATE tickets SET message = 'message changed' WHERE ticket_id = 11")
    assert aiquery.update("tickets", SET, **options).updated == 1
    assert server.calls == 91
    other = "sentiment = ai_query('m', 'In one word: ' || message)"
    assert aiquery.update("tickets", other, **options).updated == 90
    rows = con.execute("SELECT sentiment FROM tickets WHERE ticket_id = 11").fetchall()
    assert rows == [("echo: In one word: message changed",)]


def test_refresh_of_rows_from_a_source(tickets):
    _, con = tickets()
    options = {"source": "tickets", "key": "ticket_id", "database": con, "refresh_changed": True}
    columns = {"message": "message", "answer": "ai_query('m', message)"}
    assert aiquery.update("answered", columns, **options).updated == 100
    con.execute("UPDATE tickets SET message = 'message changed' WHERE ticket_id = 11")
    assert aiquery.update("answered", columns, **options).updated == 1
    sql = "SELECT message, answer FROM answered WHERE ticket_id = 11"
    assert con.execute(sql).fetchall() == [("message changed", "echo: message changed")]


def test_refresh_requests_all_rows_again_after_a_change_of_the_model(tickets):
    server, con = tickets()
    options = {"key": "ticket_id", "where": LONG, "refresh_changed": True}
    aiquery.update("tickets", SET, database=con, **options)
    con.close()
    server, con = tickets(server=server, model="another")
    assert aiquery.update("tickets", SET, database=con, **options).updated == 90
    assert server.calls == 180


def test_databricks_sql(tickets):
    server, con = tickets()
    report = aiquery.update(
        "tickets", "sentiment = ai_query('m', CONCAT('Ticket ', string(ticket_id), ': ', `message`))",
        key="ticket_id", where="`sentiment` IS NULL AND len(message) > 5", database=con, dialect="databricks",
    )  # fmt: skip
    assert report.updated == 90
    assert "Ticket 1: message 1" in server.prompts
    options = {"key": "ticket_id", "database": con, "dialect": "databricks"}
    with pytest.raises(ArgumentError, match="where"):
        aiquery.update("tickets", SET, where="(", **options)


def test_several_columns_and_several_keys(tickets):
    _, con = tickets()
    con.execute("ALTER TABLE tickets ADD COLUMN day DATE DEFAULT DATE '2026-01-01'")
    con.execute("ALTER TABLE tickets ADD COLUMN length INT")
    columns = [SET, "length = ai_query('m', '7' || left(message, 0), returnType => 'INT')"]
    report = aiquery.update("tickets", columns, key=["day", "ticket_id"], where=LONG, database=con)
    assert report.failed == 0
    assert con.execute("SELECT count(sentiment) FROM tickets").fetchall() == [(90,)]


def test_a_change_of_another_connection_is_not_lost(tickets):
    server, con = tickets(lambda _: Answer(latency_s=0.3), rows=50)
    other = duckdb.DuckDBPyConnection.cursor(con.raw)

    def change():
        while server.calls < 10:
            pass
        other.execute("UPDATE tickets SET message = 'changed meanwhile' WHERE ticket_id = 5")

    thread = threading.Thread(target=change)
    thread.start()
    aiquery.update("tickets", SET, key="ticket_id", where=LONG, database=con)
    thread.join()
    sql = "SELECT message, sentiment FROM tickets WHERE ticket_id = 5"
    assert con.execute(sql).fetchall() == [("changed meanwhile", "echo: message 5")]


@pytest.mark.parametrize(
    ("column", "message"),
    [("sentiment", "no|parse|COLUMN"), ("sentiment = upper(message)", "no AI function"), ("a = (", "parse")],
)
def test_a_malformed_assignment_is_rejected_before_any_call(tickets, column, message):
    server, con = tickets()
    with pytest.raises(ArgumentError, match=message):
        aiquery.update("tickets", column, key="ticket_id", database=con)
    assert server.calls == 0


EXPRESSIONS = {
    "a = CASE WHEN id > 1 THEN ai_query('m', s) END": [None, None, "old", "echo: x3"],
    "a = ai_query('m', s)": ["echo: x0", None, "old", "echo: x3"],
    "a = coalesce(ai_query('m', s), 'none')": ["echo: x0", "none", "old", "echo: x3"],
    "a = ai_query('m', ai_query('m', s))": ["echo: echo: x0", None, "old", "echo: echo: x3"],
}


@pytest.fixture
def four(connect, serve):
    """A connection with a table of four rows; the request of one row fails."""
    server = serve(lambda q: Answer(status=400) if "BAD" in q.prompt else Answer())
    con = connect(m=server.endpoint(hedge=False))
    con.execute(
        "CREATE TABLE four AS SELECT i AS id, CASE i WHEN 1 THEN NULL WHEN 2 THEN 'BAD' ELSE 'x' || i END AS s, "
        "'old' AS a, 'old' AS b FROM range(4) r(i)"
    )
    return con


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_a_null_value_is_written_and_a_failed_row_is_unchanged(four, expression):
    report = aiquery.update("four", expression, key="id", database=four)
    assert (report.updated, report.failed) == (3, 1)
    rows = four.execute("SELECT a FROM four ORDER BY id").fetchall()
    assert [a for (a,) in rows] == EXPRESSIONS[expression]


def test_a_row_with_one_failed_call_is_not_written_in_part(four):
    report = aiquery.update("four", "a = ai_query('m', s), b = ai_query('m', id)", key="id", database=four)
    assert (report.updated, report.failed) == (3, 1)
    rows = four.execute("SELECT a, b FROM four ORDER BY id").fetchall()
    assert rows == [("echo: x0", "echo: 0"), (None, "echo: 1"), ("old", "old"), ("echo: x3", "echo: 3")]
