"""``aiquery.update`` of Delta tables: whole commits, concurrent writers, and what cannot be read right."""

import json
import subprocess
import sys

import deltalake
import pyarrow as pa
import pytest

import aiquery
from aiquery import ConfigError
from aiquery.testing import Answer

GIVEN = {"key": "ticket_id", "where": "sentiment IS NULL AND length(message) > 5"}
SET = "sentiment = ai_query('m', message)"


@pytest.fixture
def tickets(tmp_path):
    """Write a Delta table of 1,000 tickets, every tenth with a short message."""
    ids = range(1000)
    messages = ["short" if i % 10 == 0 else f"message {i}" for i in ids]
    rows = pa.table(
        {
            "ticket_id": ids,
            "message": messages,
            "sentiment": pa.nulls(1000, pa.string()),
        }
    )
    path = tmp_path / "tickets"
    deltalake.write_deltalake(path, rows)
    return path


def contents(path):
    rows = (
        deltalake.DeltaTable(path).to_pyarrow_table().sort_by("ticket_id").to_pylist()
    )
    return [row["sentiment"] for row in rows]


RIGHT = [None if i % 10 == 0 else f"echo: message {i}" for i in range(1000)]


def test_only_rows_that_need_it_and_no_new_version_without_them(tickets, config):
    server, given = config()
    report = aiquery.update(f"delta:{tickets}", SET, **GIVEN, config=given)
    assert (report.updated, report.left, report.requests) == (900, 0, 900)
    assert contents(tickets) == RIGHT
    version = deltalake.DeltaTable(tickets).version()
    assert aiquery.update(f"delta:{tickets}", SET, **GIVEN, config=given).updated == 0
    assert deltalake.DeltaTable(tickets).version() == version
    assert server.calls == 900


def test_two_updaters_at_once_lose_nothing_and_pay_nothing_twice(
    tickets, config, twice_at_once
):
    server, given = config(latency=0.01)
    assert (
        twice_at_once(
            lambda: aiquery.update(
                f"delta:{tickets}",
                SET,
                **GIVEN,
                config=given,
                commit_every_rows=1,
                commit_every_seconds=0.0,
            )
        )
        == []
    )
    assert contents(tickets) == RIGHT
    assert server.calls == 900


def test_two_processes_at_once_pay_for_each_row_once(tickets, config, tmp_path):
    server, given = config(latency=0.01)
    (tmp_path / "run.py").write_text(
        "import json, sys, aiquery\n"
        "options = json.loads(sys.argv[3])\n"
        "aiquery.update(sys.argv[1], sys.argv[2], **options, commit_every_rows=1, commit_every_seconds=0.0)\n"
    )
    arguments = [f"delta:{tickets}", SET, json.dumps({**GIVEN, "config": given})]
    started = [
        subprocess.Popen(
            [sys.executable, tmp_path / "run.py", *arguments],
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in started:
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    assert contents(tickets) == RIGHT
    assert server.calls == 900


def test_refresh_and_source(tickets, config, tmp_path):
    server, given = config()
    con = aiquery.connect(config=given)
    con.execute(
        "CREATE TABLE incoming AS SELECT 2000 + i AS ticket_id, 'new ' || i AS message FROM range(5) t(i)"
    )
    report = aiquery.update(
        f"delta:{tickets}", {"message": "message", "sentiment": "ai_query('m', message)"},
        key="ticket_id", source="incoming", database=con,
    )  # fmt: skip
    assert report.updated == 5
    assert contents(tickets)[1000:] == [f"echo: new {i}" for i in range(5)]
    changed = {
        **GIVEN,
        "where": "length(message) > 5",
        "refresh_changed": True,
        "database": con,
    }
    aiquery.update(f"delta:{tickets}", SET, **changed)
    assert "aiquery_key" in [
        field.name for field in deltalake.DeltaTable(tickets).schema().fields
    ]
    assert server.calls == 905
    con.close()


def test_deletion_vectors_are_refused_by_name(tickets, config, monkeypatch):
    _, given = config()
    table = deltalake.DeltaTable(tickets)
    table.alter.add_feature(
        deltalake.table.TableFeatures.DeletionVectors,
        allow_protocol_versions_increase=True,
    )
    with pytest.raises(ConfigError, match="deletionVectors"):
        aiquery.update(f"delta:{tickets}", SET, **GIVEN, config=given)


def test_what_is_no_table_is_refused(tmp_path, config):
    _, given = config()
    with pytest.raises(ConfigError, match="is not a Delta table"):
        aiquery.update(f"delta:{tmp_path / 'none'}", SET, **GIVEN, config=given)


def test_a_failed_row_is_left(tickets, config):
    _, given = config(
        lambda q: Answer(status=400) if q.prompt == "message 7" else Answer()
    )
    report = aiquery.update(f"delta:{tickets}", SET, **GIVEN, config=given)
    assert (report.updated, report.failed, report.left) == (899, 1, 1)
