"""Progress where somebody looks: a terminal's line, a notebook's one output, a log's records; nothing in a pipe."""

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
from aiquery.reporting import progress as line
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
    return {
        "endpoints": {"m": endpoint},
        "cache": {"store": str(tmp_path / "answers.sqlite")},
    }


@pytest.fixture(autouse=True)
def shown_nowhere_after():
    yield
    line.show_progress(None)


def test_a_terminal_shows_one_line_that_goes_away(config):
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT.format(config=config, rows=1500)],
        stderr=theirs,
        env={**os.environ, "COLUMNS": "160"},
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            data = os.read(ours, 65536)
        except OSError:  # the other side is closed
            break
        if not data:
            break
        shown += data
    assert process.wait() == 0
    os.close(ours)
    text = shown.decode()
    for figure in (
        "of 1,500 rows",
        "rows/s",
        "of 32 in flight",
        "tokens in",
        "USD",
        "s left",
    ):
        assert figure in text, figure


def test_a_pipe_stays_quiet(config):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(config=config, rows=1500)],
        check=True,
        capture_output=True,
    )
    assert done.stdout + done.stderr == b""


def test_ten_thousand_rows_in_a_notebook_leave_one_clean_output(serve, tmp_path):
    server = serve(latency=0.01)
    config = {
        "endpoints": {"m": server.endpoint(max_concurrency=64)},
        "cache": {"store": "memory:"},
    }
    cell = SCRIPT.format(config=config, rows=10_000).replace(
        "con.sql", "con.execute('SELECT 1'); _ = con.sql"
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
    NotebookClient(
        notebook, timeout=120, resources={"metadata": {"path": tmp_path}}
    ).execute()
    (output,) = notebook.cells[0].outputs
    assert output.output_type == "display_data"
    text = output.data["text/plain"]
    assert text.startswith("10,000 of 10,000 rows, ")
    assert "10,000 requests" in text
    assert "in flight" not in text


def test_a_log_has_a_record_every_thirty_seconds_and_at_the_end(caplog, monkeypatch):
    caplog.set_level(logging.INFO, "aiquery")
    now = [100.0]
    monkeypatch.setattr(line.time, "monotonic", lambda: now[0])
    lines = line.ProgressDisplay(line.LogLine)
    for second in range(1, 76):
        now[0] = 100.0 + second
        lines(progress(second, "running"))
    lines(progress(76, "done"))
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 3
    assert [text.partition(" ")[0] for text in said] == ["30", "60", "76"]


def test_what_takes_less_than_a_second_is_not_shown(caplog):
    caplog.set_level(logging.INFO, "aiquery")
    lines = line.ProgressDisplay(line.LogLine)
    lines(progress(0.5, "running"))
    lines(progress(0.6, "done"))
    assert not caplog.records


def test_where_to_show_is_one_of_three():
    with pytest.raises(
        ArgumentError, match="use 'terminal', 'notebook', 'log' or None"
    ):
        aiquery.show_progress("radio")
    aiquery.show_progress("log")
    aiquery.show_progress(None)


def progress(seconds, state):
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
