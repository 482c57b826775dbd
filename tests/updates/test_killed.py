"""``aiquery update`` continues after SIGKILL at any moment, and sends no request twice."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import deltalake
import duckdb
import pyarrow as pa
import pytest

from aiquery.testing import Answer

ROWS = 8_000
KILLS = 3
IN_FLIGHT = 64
UNWRITTEN = 128
"""The answers that may arrive within one writing interval of the cache, 20 ms."""


def write_config(folder, server, *settings, name="m"):
    base_url = server.endpoint()["base_url"]
    lines = [f"[endpoints.{name}]", f'base_url = "{base_url}"', *settings, ""]
    (folder / "aiquery.toml").write_text("\n".join(lines))


def start_update(target, tmp_path, *more):
    command = [
        "update",
        target,
        "--set",
        "answer = ai_query('m', 'row ' || id)",
        "--key",
        "id",
        "--commit-every-rows",
        "1",
    ]
    return subprocess.Popen(
        [sys.executable, "-m", "aiquery", *command, "--where", "answer IS NULL", *more],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


class DuckDBTable:
    def __init__(self, folder):
        self.target = "rows"
        self.path = folder / "my.db"
        self.options = ("--database", str(self.path))
        with duckdb.connect(self.path) as con:
            con.execute(f"CREATE TABLE rows AS SELECT i AS id, NULL::VARCHAR AS answer FROM range({ROWS}) t(i)")

    def read_answers(self):
        sql = "SELECT id, answer FROM rows WHERE answer IS NOT NULL"
        with duckdb.connect(self.path) as con:
            return dict(con.execute(sql).fetchall())


class DeltaTable:
    def __init__(self, folder):
        self.path = folder / "rows"
        self.target = f"delta:{self.path}"
        self.options = ()
        rows = pa.table({"id": range(ROWS), "answer": pa.nulls(ROWS, pa.string())})
        deltalake.write_deltalake(self.path, rows)

    def read_answers(self):
        rows = deltalake.DeltaTable(self.path).to_pyarrow_table().to_pylist()
        return {row["id"]: row["answer"] for row in rows if row["answer"] is not None}


@pytest.mark.parametrize("table_class", [DuckDBTable, DeltaTable])
def test_an_update_killed_at_random_moments_continues(table_class, tmp_path, serve):
    server = serve(latency=0.02, keep=False)
    endpoint = server.endpoint(hedge=False, max_concurrency=IN_FLIGHT)
    settings = [f"{name} = {json.dumps(value)}" for name, value in endpoint.items()]
    store = json.dumps(str(tmp_path / "answers.sqlite"))
    (tmp_path / "aiquery.toml").write_text("\n".join(["[cache]", f"store = {store}", "[endpoints.m]", *settings]))
    table = table_class(tmp_path)
    chance = random.Random(4711)
    for _ in range(KILLS):
        calls_before = server.calls
        process = start_update(table.target, tmp_path, *table.options)
        kill_at = calls_before + chance.randrange(ROWS // KILLS)
        while server.calls < kill_at and process.poll() is None:
            time.sleep(0.01)
        process.kill()
        process.communicate()
        answers = table.read_answers()
        # only whole slices are committed
        assert len(answers) % 2048 == 0 or len(answers) == ROWS
    process = start_update(table.target, tmp_path, *table.options)
    output, stderr = process.communicate()
    assert process.returncode == 0, stderr
    assert "0 failed, 0 left" in output
    assert table.read_answers() == {i: f"echo: row {i}" for i in range(ROWS)}
    assert ROWS <= server.calls <= ROWS + KILLS * (IN_FLIGHT + UNWRITTEN)


def test_after_ctrl_c_an_update_ends_at_once_with_its_committed_rows(tmp_path, serve):
    def reply(question):
        # not the first row of a slice: it may be the first request, which is sent alone
        is_slow = 2049 <= int(question.prompt.split()[1]) < 2057
        return Answer(latency_s=60.0 if is_slow else 0.0)

    server = serve(reply)
    # Without hedging: on a busy machine the slow requests would be sent twice before the third slice starts.
    write_config(tmp_path, server, "hedge = false")
    table = DuckDBTable(tmp_path)
    process = start_update(table.target, tmp_path, *table.options)
    while server.in_flight != 8 or server.calls < 3 * 2048:
        assert process.poll() is None
        time.sleep(0.01)
    time.sleep(1.0)  # the first slice is committed while the others wait
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=20)
    assert process.returncode == 130, stderr
    assert len(table.read_answers()) == 2048


def test_ctrl_c_in_the_last_slice_ends_an_update_at_once(tmp_path, serve):
    server = serve(lambda question: Answer(latency_s=60.0 if question.number else 0))  # the first one is sent alone
    write_config(tmp_path, server, "hedge = false", "max_concurrency = 8")
    with duckdb.connect(tmp_path / "my.db") as con:
        con.execute("CREATE TABLE rows AS SELECT i AS id, NULL::VARCHAR AS answer FROM range(100) t(i)")
    process = start_update("rows", tmp_path, "--database", "my.db")
    while server.in_flight != 8:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=20)
    assert process.returncode == 130, stderr
    assert server.calls == 9


def test_the_command_prints_its_results_and_its_errors(tmp_path, serve):
    server = serve(lambda q: Answer(status=400) if q.prompt == "row 7" else Answer())
    write_config(tmp_path, server)
    with duckdb.connect(tmp_path / "my.db") as con:
        con.execute("CREATE TABLE rows AS SELECT i AS id, NULL::VARCHAR AS answer FROM range(20) t(i)")
    options = ("--database", "my.db")
    process = start_update("rows", tmp_path, *options, "--commit-every-seconds", "30")
    output, stderr = process.communicate()
    assert output == "19 rows updated in 1 commits, 1 failed, 1 left; 20 requests.\n"
    assert "1 rows have no answer" in stderr
    process = start_update("rows", tmp_path, *options, "--commit-every-rows", "soon")
    _, stderr = process.communicate()
    assert "--commit-every-rows" in stderr
    assert process.returncode == 2
    for old, new in (("--every", "--commit-every-rows"), ("--refresh", "--refresh-changed")):
        process = start_update("rows", tmp_path, *options, old, "30")
        _, stderr = process.communicate()
        assert f"is now called {new}" in " ".join(stderr.split())
        assert process.returncode == 2


def test_the_example_sends_no_request_the_second_time(tmp_path, serve):
    server = serve()
    write_config(tmp_path, server, name="my-model")
    example = Path(__file__).parents[2] / "examples" / "incremental.py"
    first, second = (subprocess.check_output([sys.executable, example], cwd=tmp_path, text=True) for _ in range(2))
    assert first.startswith("20 rows updated")
    assert second.startswith("0 rows updated")
    assert server.calls == 20
