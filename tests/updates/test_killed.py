"""``aiquery update`` that is killed with SIGKILL at any moment goes on where it stopped, and pays nothing twice."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import deltalake
import pyarrow as pa
import pytest

import duckdb
from aiquery.testing import Answer

ROWS, KILLS, IN_FLIGHT = 8_000, 3, 64
WRITING = 128
"""Answers that may have come in since the last were written: an interval of 20 ms."""


def update(target, tmp_path, *more):
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
        self.target, self.more, self.path = (
            "rows",
            ("--database", str(folder / "my.db")),
            folder / "my.db",
        )
        with duckdb.connect(self.path) as con:
            con.execute(
                f"CREATE TABLE rows AS SELECT i AS id, NULL::VARCHAR AS answer FROM range({ROWS}) t(i)"
            )

    def answers(self):
        with duckdb.connect(self.path) as con:
            return dict(
                con.execute(
                    "SELECT id, answer FROM rows WHERE answer IS NOT NULL"
                ).fetchall()
            )


class DeltaTable:
    def __init__(self, folder):
        self.target, self.more, self.path = (
            f"delta:{folder / 'rows'}",
            (),
            folder / "rows",
        )
        deltalake.write_deltalake(
            self.path,
            pa.table({"id": range(ROWS), "answer": pa.nulls(ROWS, pa.string())}),
        )

    def answers(self):
        rows = deltalake.DeltaTable(self.path).to_pyarrow_table().to_pylist()
        return {row["id"]: row["answer"] for row in rows if row["answer"] is not None}


@pytest.mark.parametrize("kind", [DuckDBTable, DeltaTable])
def test_killed_at_random_moments(kind, tmp_path, serve):
    server = serve(latency=0.02, keep=False)
    endpoint = server.endpoint(hedge=False, max_concurrency=IN_FLIGHT)
    rows = [f"{name} = {json.dumps(value)}" for name, value in endpoint.items()]
    store = json.dumps(str(tmp_path / "answers.sqlite"))
    (tmp_path / "aiquery.toml").write_text(
        "\n".join(["[cache]", f"store = {store}", "[endpoints.m]", *rows])
    )
    table = kind(tmp_path)
    chance = random.Random(4711)
    for _ in range(KILLS):
        running, before = update(table.target, tmp_path, *table.more), server.calls
        until = before + chance.randrange(ROWS // KILLS)
        while server.calls < until and running.poll() is None:
            time.sleep(0.01)
        running.kill()
        running.communicate()
        answers = table.answers()
        assert (
            len(answers) % 2048 == 0 or len(answers) == ROWS
        )  # slices, and only whole ones
    last = update(table.target, tmp_path, *table.more)
    said, errors = last.communicate()
    assert last.returncode == 0, errors
    assert "0 failed, 0 left" in said
    assert table.answers() == {i: f"echo: row {i}" for i in range(ROWS)}
    assert ROWS <= server.calls <= ROWS + KILLS * (IN_FLIGHT + WRITING)


def test_ctrl_c_ends_at_once_and_keeps_what_was_committed(tmp_path, serve):
    server = serve(
        lambda q: Answer(
            latency_s=60.0 if 2048 <= int(q.prompt.split()[1]) < 2056 else 0.0
        )
    )
    endpoint = server.endpoint()
    # Not hedged: on a busy machine the slow ones would be asked twice before the third slice is there.
    settings = f'[endpoints.m]\nbase_url = "{endpoint["base_url"]}"\nhedge = false\n'
    (tmp_path / "aiquery.toml").write_text(settings)
    table = DuckDBTable(tmp_path)
    running = update(table.target, tmp_path, *table.more)
    while server.in_flight != 8 or server.calls < 3 * 2048:
        assert running.poll() is None
        time.sleep(0.01)
    time.sleep(1.0)  # the first slice is committed while the others wait
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=20)
    assert running.returncode == 130, errors
    assert len(table.answers()) == 2048


def test_the_command_says_what_it_did_and_what_is_wrong(tmp_path, serve):
    server = serve(lambda q: Answer(status=400) if q.prompt == "row 7" else Answer())
    (tmp_path / "aiquery.toml").write_text(
        f'[endpoints.m]\nbase_url = "{server.endpoint()["base_url"]}"\n'
    )
    with duckdb.connect(tmp_path / "my.db") as con:
        con.execute(
            "CREATE TABLE rows AS SELECT i AS id, NULL::VARCHAR AS answer FROM range(20) t(i)"
        )
    said, errors = update(
        "rows", tmp_path, "--database", "my.db", "--commit-every-seconds", "30"
    ).communicate()
    assert said == "19 rows updated in 1 commits, 1 failed, 1 left; 20 requests.\n"
    assert "1 rows have no answer" in errors
    wrong = update(
        "rows", tmp_path, "--database", "my.db", "--commit-every-rows", "soon"
    )
    assert "--commit-every-rows" in wrong.communicate()[1]
    assert wrong.returncode == 2
    for old, new in (
        ("--every", "--commit-every-rows"),
        ("--refresh", "--refresh-changed"),
    ):
        renamed = update("rows", tmp_path, "--database", "my.db", old, "30")
        assert f"is now called {new}" in " ".join(renamed.communicate()[1].split())
        assert renamed.returncode == 2


def test_the_example_asks_nothing_the_second_time(tmp_path, serve):
    server = serve()
    (tmp_path / "aiquery.toml").write_text(
        f'[endpoints.my-model]\nbase_url = "{server.endpoint()["base_url"]}"\n'
    )
    example = Path(__file__).parents[2] / "examples" / "incremental.py"
    said = [
        subprocess.check_output([sys.executable, example], cwd=tmp_path, text=True)
        for _ in range(2)
    ]
    assert said[0].startswith("20 rows updated")
    assert said[1].startswith("0 rows updated")
    assert server.calls == 20
