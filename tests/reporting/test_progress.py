"""Progress: one line in a terminal, one output in a notebook, records in a log, and nothing in a pipe."""

import logging
import os
import pty
import subprocess
import sys

import nbformat
import pytest
from nbclient import NotebookClient

import aiquery
from aiquery.errors import ArgumentError
from aiquery.reporting import progress as reporting
from aiquery.tracking.run import Progress

SCRIPT = """
import aiquery
con = aiquery.connect(config={config!r})
con.sql("SELECT ai_query('m', 'text ' || i) FROM range({rows}) t(i)")
con.close()
"""


@pytest.fixture
def config(serve, tmp_path):
    server = serve(latency=0.05)
    endpoint = server.endpoint(max_concurrency=32, price={"input": 1.0})
    return {"endpoints": {"m": endpoint}, "cache": {"store": str(tmp_path / "answers.sqlite")}}


@pytest.fixture(autouse=True)
def hide_progress_after_the_test():
    yield
    reporting.show_progress(None)


def read_all(terminal):
    """Return the output to a terminal until its other side is closed."""
    output = b""
    while True:
        try:
            data = os.read(terminal, 65536)
        except OSError:  # the other side is closed
            return output
        if not data:
            return output
        output += data


def test_a_terminal_shows_one_line_of_progress(config):
    terminal, other_side = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT.format(config=config, rows=1500)],
        stderr=other_side,
        env={**os.environ, "COLUMNS": "160"},
    )
    os.close(other_side)
    output = read_all(terminal)
    assert process.wait() == 0
    os.close(terminal)
    text = output.decode()
    for figure in ("of 1,500 rows", "rows/s", "of 32 in flight", "tokens in", "USD", "s left"):
        assert figure in text, figure


def test_nothing_is_written_to_a_pipe(config):
    process = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(config=config, rows=1500)], check=True, capture_output=True
    )
    assert process.stdout + process.stderr == b""


def test_ten_thousand_rows_in_a_notebook_leave_one_clean_output(serve, tmp_path):
    server = serve(latency=0.01)
    config = {"endpoints": {"m": server.endpoint(max_concurrency=64)}, "cache": {"store": "memory:"}}
    cell = SCRIPT.format(config=config, rows=10_000).replace("con.sql", "con.execute('SELECT 1'); _ = con.sql")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
    resources = {"metadata": {"path": tmp_path}}
    NotebookClient(notebook, timeout=120, resources=resources).execute()
    (output,) = notebook.cells[0].outputs
    assert output.output_type == "display_data"
    text = output.data["text/plain"]
    assert text.startswith("10,000 of 10,000 rows, ")
    assert "10,000 requests" in text
    assert "in flight" not in text


def test_a_log_has_a_record_every_thirty_seconds_and_at_the_end(caplog, monkeypatch):
    caplog.set_level(logging.INFO, "aiquery")
    now = [100.0]
    monkeypatch.setattr(reporting.time, "monotonic", lambda: now[0])
    display = reporting.ProgressDisplay(reporting.LogLine)
    for second in range(1, 76):
        now[0] = 100.0 + second
        display(make_progress(second, "running"))
    display(make_progress(76, "done"))
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 3
    assert [text.partition(" ")[0] for text in messages] == ["30", "60", "76"]


def test_a_statement_of_less_than_a_second_is_not_shown(caplog):
    caplog.set_level(logging.INFO, "aiquery")
    display = reporting.ProgressDisplay(reporting.LogLine)
    display(make_progress(0.5, "running"))
    display(make_progress(0.6, "done"))
    assert not caplog.records


def test_show_progress_rejects_an_unknown_display():
    message = "use 'terminal', 'notebook', 'log' or None"
    with pytest.raises(ArgumentError, match=message):
        aiquery.show_progress("radio")
    aiquery.show_progress("log")
    aiquery.show_progress(None)


def make_progress(seconds, state):
    return Progress(
        run="r",
        engine="duckdb",
        statement=None,
        state=state,
        started_at=0.0,
        seconds=seconds,
        rows=int(seconds),
        rows_total=100,
    )
