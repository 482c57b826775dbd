"""``aiquery.update`` of Delta tables: whole commits, concurrent writers, and tables that are rejected."""

import json
import subprocess
import sys

import deltalake
import pyarrow as pa
import pytest

import aiquery
from aiquery import ConfigError
from aiquery.testing import Answer

OPTIONS = {"key": "ticket_id", "where": "sentiment IS NULL AND length(message) > 5"}
SET = "sentiment = ai_query('m', message)"


@pytest.fixture
def tickets(tmp_path):
    """Write a Delta table of 1,000 tickets, every tenth with a short message."""
    ids = range(1000)
    messages = ["short" if i % 10 == 0 else f"message {i}" for i in ids]
    rows = pa.table({"ticket_id": ids, "message": messages, "sentiment": pa.nulls(1000, pa.string())})
    path = tmp_path / "tickets"
    deltalake.write_deltalake(path, rows)
    return path


def read_sentiments(path):
    table = deltalake.DeltaTable(path).to_pyarrow_table()
    return [row["sentiment"] for row in table.sort_by("ticket_id").to_pylist()]


EXPECTED = [None if i % 10 == 0 else f"echo: message {i}" for i in range(1000)]


def test_pending_rows_are_updated_and_no_version_is_written_without_them(tickets, config):
    server, settings = config()
    report = aiquery.update(f"delta:{tickets}", SET, **OPTIONS, config=settings)
    assert (report.updated, report.left, report.requests) == (900, 0, 900)
    assert read_sentiments(tickets) == EXPECTED
    version = deltalake.DeltaTable(tickets).version()
    second = aiquery.update(f"delta:{tickets}", SET, **OPTIONS, config=settings)
    assert second.updated == 0
    assert deltalake.DeltaTable(tickets).version() == version
    assert server.calls == 900


def test_two_updates_at_once_lose_no_row_and_send_each_request_once(tickets, config, run_twice):
    server, settings = config(latency=0.01)

    def update():
        aiquery.update(
            f"delta:{tickets}", SET, **OPTIONS, config=settings, commit_every_rows=1, commit_every_seconds=0.0
        )

    assert run_twice(update) == []
    assert read_sentiments(tickets) == EXPECTED
    assert server.calls == 900


def test_two_processes_at_once_send_each_request_once(tickets, config, tmp_path):
    server, settings = config(latency=0.01)
    (tmp_path / "run.py").write_text(
        "import json, sys, aiquery\n"
        "options = json.loads(sys.argv[3])\n"
        "aiquery.update(sys.argv[1], sys.argv[2], **options, commit_every_rows=1, commit_every_seconds=0.0)\n"
    )
    options = json.dumps({**OPTIONS, "config": settings})
    command = [sys.executable, tmp_path / "run.py", f"delta:{tickets}", SET, options]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for process in processes:
        _, stderr = process.communicate()
        assert process.returncode == 0, stderr
    assert read_sentiments(tickets) == EXPECTED
    assert server.calls == 900


def test_refresh_and_source(tickets, config, tmp_path):
    server, settings = config()
    con = aiquery.connect(config=settings)
    con.execute("CREATE TABLE incoming AS SELECT 2000 + i AS ticket_id, 'new ' || i AS message FROM range(5) t(i)")
    report = aiquery.update(
        f"delta:{tickets}", {"message": "message", "sentiment": "ai_query('m', message)"},
        key="ticket_id", source="incoming", database=con,
    )  # fmt: skip
    assert report.updated == 5
    assert read_sentiments(tickets)[1000:] == [f"echo: new {i}" for i in range(5)]
    options = {**OPTIONS, "where": "length(message) > 5", "refresh_changed": True, "database": con}
    aiquery.update(f"delta:{tickets}", SET, **options)
    fields = deltalake.DeltaTable(tickets).schema().fields
    assert "aiquery_key" in [field.name for field in fields]
    assert server.calls == 905
    con.close()


def test_a_table_with_deletion_vectors_is_rejected(tickets, config, monkeypatch):
    _, settings = config()
    table = deltalake.DeltaTable(tickets)
    table.alter.add_feature(deltalake.table.TableFeatures.DeletionVectors, allow_protocol_versions_increase=True)
    with pytest.raises(ConfigError, match="deletionVectors"):
        aiquery.update(f"delta:{tickets}", SET, **OPTIONS, config=settings)


def test_a_table_that_does_not_exist_is_rejected(tmp_path, config):
    _, settings = config()
    with pytest.raises(ConfigError, match="is not a Delta table"):
        aiquery.update(f"delta:{tmp_path / 'none'}", SET, **OPTIONS, config=settings)


def test_a_failed_row_is_left(tickets, config):
    _, settings = config(lambda q: Answer(status=400) if q.prompt == "message 7" else Answer())
    report = aiquery.update(f"delta:{tickets}", SET, **OPTIONS, config=settings)
    assert (report.updated, report.failed, report.left) == (899, 1, 1)
