"""A text of a model, a server or a table cannot control the terminal that shows it."""

import json
import logging
import os
import pty
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import duckdb
import pytest

import aiquery
from aiquery.cli.output import write
from aiquery.errors import RequestFailed
from aiquery.outgoing_text import make_visible
from aiquery.reporting.progress import ProgressDisplay
from aiquery.testing import Answer

HARMFUL = {
    "OSC 52": "\x1b]52;c;cm0gLXJmIH4=\x07",
    "OSC 8": "\x1b]8;;https://evil.example\x1b\\click\x1b]8;;\x1b\\",
    "cursor": "\x1b[2J\x1b[1;1H",
    "C1": "\x9d52;c;eA==\x9c\x9b2J",
    "carriage return": "good\rbad",
    "backspaces": "bad\b\b\bgood",
    "bell": "\x07",
    "right to left": "\u202egpj.exe\u202c",
    "isolate": "\u2066abc\u2069",
    "delete": "\x7f",
    "separator": "a\u2028b",
}
ALL = " ".join(HARMFUL.values())


def has_control(text):
    """Return True if a text still has one of the characters. Colours are those of rich itself."""
    lines = text.replace("\r\n", "\n")
    return make_visible(lines) != lines


@pytest.mark.parametrize("name", HARMFUL)
def test_harmful_characters_become_escapes(name):
    shown = make_visible(HARMFUL[name])
    assert not has_control(shown)
    assert "\\x" in shown or "\\u" in shown


@pytest.mark.parametrize("text", ["", "plain", "a\tb\nc", "naïve 你好 👩‍👩‍👧 עברית العربية", "C:\\temp"])
def test_other_texts_stay_as_they_are(text):
    assert make_visible(text) == text


def test_a_line_break_of_windows_is_a_line_break():
    assert make_visible("a\r\nb") == "a\nb"


def test_errors_and_logs_hold_no_control_character(serve, caplog):
    server = serve(lambda _: Answer(status=400, text=ALL))
    config = {"endpoints": {"m": server.endpoint()}, "cache": {"store": "memory:"}, "runs": {"store": "memory:"}}
    with aiquery.connect(config=config) as con:
        ((shown,),) = con.sql("SELECT (ai_query('m', 'x', failOnError => false)).errorMessage").fetchall()
        with pytest.raises(RequestFailed) as error:
            con.sql("SELECT ai_query('m', 'y')")
        runs = con.sql("FROM aiquery_runs()").fetchall()
    for text in (shown, str(error.value), *map(str, runs[0])):
        assert not has_control(text)
    logging.getLogger("aiquery").warning("%s", ALL)
    assert not has_control(caplog.messages[-1])


def test_progress_holds_no_control_character():
    shown = []

    class Line:
        def show(self, text):
            shown.append(text)

        end = show

    class Figures:
        run = "r"
        state = "running"
        seconds = 10

        def __str__(self):
            return ALL

    display = ProgressDisplay(Line)
    display(Figures())
    Figures.state = "done"
    display(Figures())
    assert len(shown) == 2
    assert not any(map(has_control, shown))


def run_on_terminal(arguments, config):
    """Return what a command writes to a terminal, without the colours of rich."""
    main, side = pty.openpty()
    environment = {**os.environ, "AIQUERY_CONFIG": str(config), "NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "400"}
    command = [sys.executable, "-m", "aiquery", *arguments]
    with subprocess.Popen(command, stdin=side, stdout=side, stderr=side, env=environment) as process:
        os.close(side)
        shown = b""
        while data := _read(main):
            shown += data
        process.wait(60)
    os.close(main)
    return shown.decode("utf-8", "replace")


def _read(descriptor):
    try:
        return os.read(descriptor, 65536)
    except OSError:
        return b""  # the process has ended


COMMANDS = {
    "a table": ["sql", "SELECT ai_query('m', 'x')"],
    "csv": ["sql", "SELECT ai_query('m', 'x')", "--format", "csv"],
    "jsonl": ["sql", "SELECT ai_query('m', 'x')", "--format", "jsonl"],
    "a column's name": ["sql", f'SELECT 1 AS "{ALL}"'],
    "a server's error": ["sql", "SELECT ai_query('bad', 'x')"],
    "an error of DuckDB": ["sql", f"SELECT CAST('{ALL}' AS INTEGER)"],
    "endpoints test": ["endpoints", "test", "m"],
    "a failed test": ["endpoints", "test", "bad"],
    "estimate": ["estimate", f"SELECT ai_query('m', '{ALL}')"],
    "report": ["report"],
    "an unknown endpoint": ["endpoints", "test", ALL],
}


@pytest.fixture
def config(serve, tmp_path):
    server = serve(lambda q: Answer(status=400, text=ALL) if q.body["model"] == "bad" else Answer(text=ALL))
    endpoints = {name: server.endpoint(model=name, max_attempts=1) for name in ("m", "bad")}
    runs = tmp_path / "runs.sqlite"
    path = tmp_path / "aiquery.toml"
    lines = [f'[cache]\nstore = "memory:"\n[runs]\nstore = "{runs}"\ntexts = true\n']
    for name, endpoint in endpoints.items():
        settings = "\n".join(f"{key} = {json.dumps(value)}" for key, value in endpoint.items())
        lines.append(f"[endpoints.{name}]\n{settings}\n")
    path.write_text("".join(lines))
    return path


def test_commands_on_a_terminal_print_no_control_character(config):
    with ThreadPoolExecutor(4) as pool:
        texts = pool.map(lambda arguments: run_on_terminal(arguments, config), COMMANDS.values())
        shown = dict(zip(COMMANDS, texts, strict=True))
    assert {name: text for name, text in shown.items() if has_control(text)} == {}
    for name in ("a table", "csv", "a column's name", "a server's error", "endpoints test", "an error of DuckDB"):
        assert "\\x1b]52" in shown[name], name


def test_a_pipe_gets_the_data_as_it_is(config):
    command = [sys.executable, "-m", "aiquery", *COMMANDS["csv"]]
    environment = {**os.environ, "AIQUERY_CONFIG": str(config)}
    done = subprocess.run(command, capture_output=True, env=environment, check=True, timeout=100)
    assert b"\x1b]52" in done.stdout


# --- spreadsheets


def test_safe_csv_has_no_formula(tmp_path):
    path = tmp_path / "out.csv"
    sql = """SELECT a AS "=name", b, c, d::JSON AS d FROM (VALUES
        ('=cmd|x', -1, -0.5, '1'), ('+1', 2, 0.5, '2'), ('-1', 3, 1, '-3'), ('@a', 4, 1, '[]'),
        (chr(9) || 'x', 5, 1, '4'),
        ('a=b', 6, 1, '{}'), ('', 7, 1, '5'), (NULL, 8, 1, NULL)) t(a, b, c, d)"""
    command = [sys.executable, "-m", "aiquery", "sql", sql, "--output", str(path)]
    subprocess.run([*command, "--safe-csv"], check=True, timeout=100)
    assert path.read_text().splitlines() == [
        "'=name,b,c,d",
        "'=cmd|x,-1,-0.5,1",
        "'+1,2,0.5,2",
        "'-1,3,1.0,'-3",
        "'@a,4,1.0,[]",
        "'\tx,5,1.0,4",
        "a=b,6,1.0,{}",
        '"",7,1.0,5',
        ",8,1.0,",
    ]
    subprocess.run(command, check=True, timeout=100)
    assert path.read_text().splitlines()[1].startswith("=cmd|x")


def test_safe_csv_covers_every_type_with_texts(tmp_path):
    columns = "'=1'::VARIANT AS a, '=1'::BLOB AS b, '=1'::ENUM('=1') AS c, -1 AS d, '-1 day'::INTERVAL AS e"
    relation = duckdb.sql(f"SELECT {columns}")
    path = tmp_path / "out.csv"
    write(relation, "csv", path, safe_csv=True)
    assert path.read_text().splitlines()[1] == "'=1,'=1,'=1,-1,-1 day"


def test_safe_csv_is_refused_for_other_formats(tmp_path):
    command = [sys.executable, "-m", "aiquery", "sql", "SELECT 1", "--safe-csv", "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100, cwd=tmp_path)
    assert done.returncode == 2
    assert "--safe-csv is for the formats csv and tsv" in done.stderr
