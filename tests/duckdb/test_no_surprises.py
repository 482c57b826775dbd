"""aiquery changes nothing of the process, works as DuckDB's connection does, and leaves no noise on stderr."""

import subprocess
import sys
import textwrap

import duckdb
import pytest

import aiquery
from aiquery.errors import ConnectionInUse, RequestFailed
from aiquery.testing import Answer

SNAPSHOT = """
    import asyncio, duckdb, logging, os, signal, sys, time, warnings
    import numpy, pandas, pyarrow  # libraries that change the filters of warnings

    def snapshot():
        wakeup = signal.set_wakeup_fd(-1)
        signal.set_wakeup_fd(wakeup)
        return {
            "environment": dict(os.environ),
            "interrupt": duckdb.DuckDBPyConnection.interrupt,
            "methods": {name: getattr(duckdb.DuckDBPyConnection, name) for name in dir(duckdb.DuckDBPyConnection)},
            "handlers": {number: signal.getsignal(number) for number in signal.valid_signals()},
            "wakeup": wakeup,
            "excepthook": sys.excepthook,
            "warnings": list(warnings.filters),
            "logging": (list(logging.root.handlers), logging.root.level),
            "loop policy": type(asyncio.get_event_loop_policy()),
            "path": list(sys.path),
        }

    def compare(step):
        now = snapshot()
        for name, value in before.items():
            assert name in ("interrupt", "handlers") or now[name] == value, (step, name)
            assert now[name] == value, (step, name, value, now[name])

    before = snapshot()
"""

CONFIG = {"endpoints": {"m": {"provider": "fake"}}, "cache": {"store": "memory:"}}


def run_script(*parts, status=0):
    """Run a script in a process of its own; return what it wrote to stderr."""
    script = "\n".join(textwrap.dedent(part) for part in parts)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == status, done.stderr
    return done.stderr


def test_import_connect_and_a_statement_leave_the_process_as_it_was():
    stderr = run_script(
        SNAPSHOT,
        f"""
        import aiquery
        compare("import")
        con = aiquery.connect(config={CONFIG})
        compare("connect")
        con.sql("SELECT ai_query('m', 'text ' || i) FROM range(100) r(i)").fetchall()
        compare("sql")
        con.execute("SELECT ai_query('m', 'hi')").fetchall()
        compare("execute")
        con.close()
        compare("close")
        """,
    )
    assert stderr == ""


def test_a_registered_plain_connection_leaves_the_process_as_it_was():
    stderr = run_script(
        SNAPSHOT,
        f"""
        import aiquery
        con = duckdb.connect()
        aiquery.register(con, {CONFIG})
        compare("register")
        con.sql("SELECT ai_query('m', 'text ' || i) FROM range(100) r(i)").fetchall()
        until = time.monotonic() + 20
        while signal.set_wakeup_fd(-1) != -1 and time.monotonic() < until:
            time.sleep(0.1)
        compare("sql")
        """,
    )
    assert stderr == ""


@pytest.mark.parametrize(
    ("text", "params"),
    [
        ("SELECT ai_query('m', ?) || $2", ["hi", "!"]),
        ("SELECT ai_query('m', $1) || $2", ["hi", "!"]),
        ("SELECT ai_query('m', $text) || $mark", {"text": "hi", "mark": "!"}),
    ],
)
def test_params_are_those_of_duckdb(text, params):
    text = text.replace("?) || $2", "?) || ?")
    with aiquery.connect(config=CONFIG) as con:
        assert con.sql(text, params=params).fetchall() == [("echo: hi!",)]
        assert con.execute(text, params).fetchall() == [("echo: hi!",)]


def test_execute_plans_as_sql_does(serve):
    server = serve(lambda question: Answer(status=400) if "7" in question.prompt else Answer(), latency=0.01)
    config = {"endpoints": {"m": server.endpoint(max_concurrency=64)}, "cache": {"store": "memory:"}}
    with aiquery.connect(config=config) as con:
        con.execute("CREATE TABLE t AS SELECT 'row ' || i % 5 AS s, i FROM range(9000) r(i)")
        query = "SELECT ai_query('m', s || i) FROM t WHERE ai_query('m', s) <> '' AND i = {}"
        assert con.execute(query.format(8)).fetchall() == [("echo: row 38",)]
        assert server.calls == 2  # the cheap condition comes first
        with pytest.raises(RequestFailed):  # our own error, not DuckDB's
            con.execute(query.format(7))


def test_a_cursor_of_a_plain_connection_can_be_registered():
    plain = duckdb.connect()
    cursor = plain.cursor()
    aiquery.register(cursor, CONFIG)
    assert cursor.sql("SELECT ai_query('m', 'hi')").fetchall() == [("echo: hi",)]
    with pytest.raises(duckdb.CatalogException):
        plain.sql("SELECT ai_query('m', 'hi')")
    aiquery.register(plain, CONFIG)
    assert plain.sql("SELECT ai_query('m', 'hi')").fetchall() == [("echo: hi",)]


def test_a_connection_used_by_two_threads_names_cursor(serve):
    import threading

    server = serve(latency=1.0)
    config = {"endpoints": {"m": server.endpoint()}, "cache": {"store": "memory:"}}
    with aiquery.connect(config=config) as con:
        thread = threading.Thread(target=con.sql, args=("SELECT ai_query('m', 'hi')",))
        thread.start()
        while not server.in_flight:
            pass
        with pytest.raises(ConnectionInUse, match=r"con\.cursor\(\)"):
            con.sql("SELECT 1")
        with pytest.raises(ConnectionInUse, match=r"con\.cursor\(\)"):
            con.execute("SELECT 1")
        assert con.cursor().sql("SELECT 1").fetchall() == [(1,)]
        thread.join()


@pytest.mark.parametrize("form", ["con.sql", "con.execute", "plain.sql"])
def test_a_failing_statement_prints_its_error_and_nothing_else(form):
    failing = {"m": {"provider": "fake", "options": {"fail": "7"}}}
    stderr = run_script(
        f"""
        import aiquery, duckdb
        config = {{"endpoints": {failing}, "cache": {{"store": "memory:"}}}}
        con = aiquery.connect(config=config)
        plain = duckdb.connect()
        aiquery.register(plain, config)
        {form}("SELECT ai_query('m', 'text ' || i) FROM range(50) r(i)").fetchall()
        """,
        status=1,
    )
    assert "nanobind" not in stderr
    assert "leaked" not in stderr
    assert stderr.count("Traceback") == 1
    assert "scripted failure" in stderr.splitlines()[-1]


def test_a_process_that_ends_after_an_interrupt_prints_nothing(serve):
    server = serve(lambda question: Answer(latency_s=60.0 if question.number else 0))
    config = {"endpoints": {"m": server.endpoint(max_concurrency=64)}, "cache": {"store": "memory:"}}
    stderr = run_script(
        f"""
        import aiquery, duckdb
        con = aiquery.connect(config={config})
        con.sql("SELECT ai_query('m', 'the first one is sent alone')")
        aiquery.on_progress(lambda figures: con.interrupt() if figures.in_flight == 50 else None)
        try:
            con.sql("SELECT ai_query('m', 'text ' || i) FROM range(50) r(i)")
        except duckdb.InterruptException as error:
            assert "Interrupted" in str(error)
        assert aiquery.last_run().rows == 0
        """
    )
    assert stderr == ""
    assert server.calls == 51
