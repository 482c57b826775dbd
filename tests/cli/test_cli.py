"""The commands: plain output in a pipe, errors on stderr, and no secret in any output."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from types import SimpleNamespace
from unittest.mock import patch

import duckdb
import pytest

from aiquery.cli.main import main
from aiquery.testing import EndpointServer

SECRET = "sk-very-secret"


def run_process(*arguments):
    """Run the command in a process of its own; return its output. The command must succeed."""
    argv = [sys.executable, "-m", "aiquery", *map(str, arguments)]
    return subprocess.run(argv, capture_output=True, text=True, check=True)


def run(*arguments, status=0, **variables):
    """Run the command in this process, which saves the seconds of its imports; return its output."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    argv = ["aiquery", *map(str, arguments)]
    environment = {**os.environ, **variables}
    with (
        patch.object(sys, "argv", argv), patch.dict(os.environ, environment),
        redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended,
    ):  # fmt: skip
        main()
    output = SimpleNamespace(stdout=out.buffer.getvalue().decode(), stderr=err.buffer.getvalue().decode())
    assert (ended.value.code or 0) == status, output
    assert SECRET not in output.stdout + output.stderr
    return output


def run_sql(server, statement, *options, **settings):
    """Run ``aiquery sql`` with the endpoint m."""
    return run("sql", statement, "--endpoint", f"m={server.base_url}", *options, **settings)


def test_sql_reads_files_as_duckdb_does(endpoint, tmp_path):
    (tmp_path / "t.csv").write_text("id,s\n1,a\n2,b\n")
    output = run_process(
        "sql", "SELECT id, ai_query('m', s) AS r FROM 't.csv'", "--endpoint", f"m={endpoint.base_url}",
        "--format", "csv",
    )  # fmt: skip
    assert output.stdout.splitlines() == ["id,r", "1,echo: a", "2,echo: b"]
    assert output.stderr == ""  # a pipe shows no progress


@pytest.mark.parametrize("suffix", ["csv", "json", "parquet"])
def test_output_files(endpoint, tmp_path, suffix):
    path = tmp_path / f"out.{suffix}"
    statement = "SELECT 1 AS a, {'x': ai_query('m', 'q')} AS b"
    run_sql(endpoint, statement, "--output", path)
    rows = duckdb.sql(f"FROM '{path}'").fetchall()
    assert rows[0][0] == 1
    assert "echo: q" in str(rows[0][1])


def test_several_statements_write_a_database(endpoint, tmp_path):
    statements = ["CREATE TABLE t AS SELECT 'a' AS s", "CREATE TABLE o AS SELECT ai_query('m', s) r FROM t", "FROM o"]
    (tmp_path / "all.sql").write_text(";\n".join(statements))
    endpoint_option = ("--endpoint", f"m={endpoint.base_url}")
    output = run("sql", "-f", "all.sql", "--database", "x.duckdb", *endpoint_option)
    assert output.stdout.split() == ["r", "echo:", "a"]
    with duckdb.connect(str(tmp_path / "x.duckdb")) as con:
        assert con.sql("FROM o").fetchall() == [("echo: a",)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sql", "SELECT ai_query('nope', 'q')"], "endpoint 'nope' is not configured"),
        (["sql", "SELECT FROM WHERE"], "does not parse"),
        (["sql", "SELECT * FROM nothing"], "nothing"),
        (["sql", "SELECT 1", "--config", "none.toml"], "none.toml"),
        (["sql", "-f", "none.sql"], "none.sql"),
        (["endpoints", "test", "nope"], "endpoint 'nope' is not configured"),
    ],
)
def test_an_error_is_one_message_and_status_1(arguments, message):
    stderr = run(*arguments, status=1).stderr
    assert message in stderr
    assert "Traceback" not in stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["sql"],
        ["sql", "SELECT 1", "-f", "x.sql"],
        ["sql", "SELECT 1", "--format", "xml"],
        ["sql", "SELECT 1", "--dialect", "oracle"],
        ["sql", "SELECT 1", "--endpoint", "m"],
        ["nonsense"],
    ],
)
def test_wrong_usage_is_status_2(arguments):
    assert run(*arguments, status=2).stderr


def test_endpoints_and_config_show_no_secret(tmp_path):
    (tmp_path / "aiquery.toml").write_text(
        '[endpoints.big]\nbase_url = "http://h/v1"\napi_key_env = "BIG_KEY"\nheaders = { X-Team = "sk-very-secret" }\n'
        '[cache]\nstore = "redis://:sk-very-secret@localhost:6379/0"\n'
    )
    listed = run("endpoints", BIG_KEY=SECRET).stdout
    assert "big" in listed
    assert "BIG_KEY (set)" in listed
    assert "NOT SET" in run("endpoints").stdout
    shown = run("config", BIG_KEY=SECRET).stdout
    assert "endpoints.big.base_url" in shown
    assert "aiquery.toml" in shown
    assert "built-in default" in shown
    assert "***" in shown


def test_endpoints_test_sends_one_request(endpoint, tmp_path):
    (tmp_path / "aiquery.toml").write_text(f'[endpoints.m]\nbase_url = "{endpoint.base_url}"\n')
    for calls in (1, 2):  # the second test does not use the cache
        assert "m answered: echo:" in run("endpoints", "test", "m").stdout
        assert endpoint.calls == calls


def test_endpoints_test_gives_a_server_up_that_is_down(tmp_path):
    with EndpointServer() as server:
        pass  # from now on its port is closed
    (tmp_path / "aiquery.toml").write_text(f'[endpoints.m]\nbase_url = "{server.base_url}"\n')
    stderr = run("endpoints", "test", "m", status=1).stderr
    assert "endpoint 'm'" in stderr
    assert "connect" in stderr.lower()


def test_ctrl_c_stops_and_is_status_130(serve):
    server = serve(latency=60.0)
    command = [sys.executable, "-m", "aiquery", "sql", "SELECT ai_query('m', i::VARCHAR) FROM range(5000) r(i)",
               "--endpoint", f"m={server.base_url}"]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not server.calls:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 130
    assert "interrupted" in process.stderr.read()
    process.stderr.close()


def test_brackets_in_rows_are_not_markup(serve):
    server = serve(lambda _: "[red]not markup[/red]")
    output = run_sql(server, "SELECT ai_query('m', 'q')").stdout
    assert "[red]not markup[/red]" in output


def test_json_is_one_array(endpoint):
    statement = "SELECT ai_query('m', i::VARCHAR) AS r FROM range(2) r(i)"
    output = run_sql(endpoint, statement, "--format", "json").stdout
    assert json.loads(output) == [{"r": "echo: 0"}, {"r": "echo: 1"}]


@pytest.mark.local_model
def test_demo_prints_answers_of_the_model():
    output = run_process("demo").stdout
    assert output.count("20 of 20 rows, ") == output.count(" 20 requests, ") == 1
    assert output.count("10 of 10 rows, ") == output.count(" 10 requests, ") == 1
    assert max(map(len, output.splitlines())) <= 120
    rows = [line for line in output.splitlines() if line[:2].strip().isdigit() and not line.startswith("9 of")]
    assert len(rows) == 10
    for row in rows:
        assert any(label in row for label in ("positive", "negative", "neutral"))


def test_cached_answers_are_counted_exported_and_cleared(serve, tmp_path):
    run_sql(serve(), "SELECT ai_query('m', 'a'), ai_query('m', 'b')")
    exported = tmp_path / "a.parquet"
    assert "m " in run("cache").stdout
    assert "2 answers written" in run("cache", "export", str(exported)).stdout
    sql = f"SELECT endpoint, answer FROM '{exported}' ORDER BY answer"
    rows = duckdb.sql(sql).fetchall()
    assert rows == [("m", '"echo: a"'), ("m", '"echo: b"')]
    assert "0 answers removed" in run("cache", "prune").stdout
    assert "2 answers removed" in run("cache", "clear").stdout


def test_estimate_counts_the_requests_of_sql_and_sends_none(serve, tmp_path):
    server = serve()
    lines = ["s", *(f"text {i % 20}" for i in range(100))]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    statement = "SELECT ai_query('m', s) AS a FROM 't.csv'"
    options = (statement, "--endpoint", f"m={server.base_url}")
    output = run("estimate", *options).stdout
    assert "20 distinct requests, 0 cached, 20 to send" in output
    assert server.calls == 0
    run("sql", *options)
    output = run("estimate", *options).stdout
    assert "20 distinct requests, 20 cached, 0 to send" in output
    assert server.calls == 20


def test_a_budget_on_the_command_line(serve):
    server = serve()
    statement = "SELECT count(ai_query('m', 'row ' || i)) FROM range(50) r(i)"
    options = ("--max-requests", "20", "--format", "csv")
    stderr = run_sql(server, statement, *options, status=1).stderr
    assert "Left to send: at least 30" in " ".join(stderr.split())
    assert server.calls == 20
    output = run_sql(server, statement, *options, "--on-budget", "null").stdout
    assert output.split()[-1] == "40"
    assert server.calls == 40


def test_runs_and_report_describe_a_statement(serve, tmp_path):
    server = serve()
    options = ("--endpoint", f"m={server.base_url}", "--log")
    assert "is not known; the newest are: none" in run("report", status=1).stderr
    statement = "SELECT ai_query('m', 'row ' || i % 30) AS a FROM range(90) r(i)"
    logged = run_process("sql", statement, *options).stderr
    # a statement of less than a second is not logged
    assert logged == "" or "90 of 90 rows" in logged
    listed = run("runs").stdout
    assert "SELECT ai_query('m', '…' || i % 30) AS a FROM range(90) r(i)" in listed
    name = listed.splitlines()[1].split()[0]
    report = run("report", name[:-2]).stdout
    assert f"{name}: done, duckdb, " in report
    assert "90 of 90 rows" in report
    assert "30 answered" in report
    page = tmp_path / "page.html"
    assert str(page) in run("report", "last", "--html", page).stdout
    with patch.dict(sys.modules, {"aiquery.reporting.html": None}):  # the extra is not installed
        assert run("report", name[:-2]).stdout == report
    assert f"Run {name}" in page.read_text("utf-8")


def test_runs_in_memory_cannot_be_listed(tmp_path):
    (tmp_path / "aiquery.toml").write_text('[cache]\nstore = "memory:"\n')
    assert "set [runs] store" in " ".join(run("runs", status=1).stderr.split())


def test_a_statement_above_the_threshold_needs_confirmation(serve, tmp_path):
    server = serve()
    (tmp_path / "aiquery.toml").write_text(
        f'[budget]\nconfirm_above_usd = 0.001\n[endpoints.m]\nbase_url = "{server.base_url}"\nmax_tokens = 10\n'
        "price = { input = 1.0, output = 10.0 }\n"
    )
    statement = "SELECT count(ai_query('m', 'row ' || i)) FROM range({}) r(i)"
    assert run("sql", statement.format(5)).stdout.split()[-1] == "5"
    error = " ".join(run("sql", statement.format(50), status=1).stderr.split())
    advice = "may cost more than confirm_above_usd = 0.001; nothing was sent. Use --yes"
    assert "50 distinct requests, 5 cached, 45 to send" in error
    assert advice in error
    assert server.calls == 5
    assert run("sql", statement.format(50), "--yes").stdout.split()[-1] == "50"


def test_endpoints_show_list_prices_with_their_date(tmp_path):
    (tmp_path / "aiquery.toml").write_text(
        '[endpoints.big]\nbase_url = "https://api.openai.com/v1"\nmodel = "gpt-4o-mini"\n'
        '[endpoints.mine]\nbase_url = "http://vllm:8000/v1"\nmodel = "gpt-4o-mini"\n'
        '[endpoints.own]\nbase_url = "https://api.openai.com/v1"\nmodel = "gpt-4o-mini"\nprice = { input = 1.0 }\n'
    )
    listed = {line.split()[0]: line for line in run("endpoints").stdout.splitlines()}
    assert "0.15 in, 0.6 out (list of 2026-" in listed["big"]
    assert " in, " not in listed["mine"]  # a self-hosted server has no list price
    assert listed["own"].rstrip().endswith("1 in, 0 out")


def test_markup_and_emoji_codes_are_printed_unchanged():
    assert ":smile: [red]x" in run("sql", "SELECT ':smile: [red]x' AS a").stdout
    assert ":smile:" in run("sql", 'SELECT 1 AS ":smile:"').stdout


def test_statements_from_standard_input():
    argv = [sys.executable, "-m", "aiquery", "sql", "-f", "-", "--format", "csv"]
    process = subprocess.run(argv, input="SELECT 1 AS a", capture_output=True, text=True, check=True)
    assert process.stdout == "a\n1\n"


ROW = "SELECT 1 AS a, '{\"b\": [1]}'::JSON AS j, 'x,y' AS s, 'nan'::DOUBLE AS n, '101'::BIT AS bits, [0.5::DOUBLE] AS l"
WRITTEN = {
    "o.tsv": 'a\tj\ts\tn\tbits\tl\n1\t"{""b"": [1]}"\tx,y\tnan\t101\t[0.5]\n',
    "o.csv": 'a,j,s,n,bits,l\n1,"{""b"": [1]}","x,y",nan,101,[0.5]\n',
    "o.jsonl": '{"a":1,"j":{"b":[1]},"s":"x,y","n":"nan","bits":"101","l":[0.5]}\n',
    "o.ndjson": '{"a":1,"j":{"b":[1]},"s":"x,y","n":"nan","bits":"101","l":[0.5]}\n',
    "o.json": '[\n\t{"a":1,"j":{"b":[1]},"s":"x,y","n":"nan","bits":"101","l":[0.5]}\n]\n',
}


@pytest.mark.parametrize("name", WRITTEN)
def test_the_suffix_of_a_file_selects_its_format(tmp_path, name):
    run("sql", ROW, "--output", tmp_path / name)
    assert (tmp_path / name).read_text() == WRITTEN[name]


def test_the_error_of_an_unsupported_format_names_the_supported_ones(tmp_path):
    unknown = run("sql", "SELECT 1", "--output", tmp_path / "o.xyz", status=2)
    assert ".jsonl" in unknown.stderr
    statement = "SELECT ['nan'::DOUBLE] AS x"
    not_json = run("sql", statement, "--format", "json", status=2)
    assert "write csv or parquet" in not_json.stderr
