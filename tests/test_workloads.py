"""Statements of users run unchanged with ``aiquery sql --dialect databricks``, on the test endpoint and a local model.

The examples always run; the shared workloads 01, 02 and 06 run if they are present.
"""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"
WORKLOADS = SHARED / "workloads"
needs_shared = pytest.mark.skipif(not WORKLOADS.exists(), reason="the shared workloads are not beside this checkout")
ENDPOINT = "databricks-meta-llama-3-1-70b-instruct"
LOCAL = "local:smollm2-135m-instruct"


def run_aiquery_sql(*arguments):
    command = [sys.executable, "-m", "aiquery", "sql", "--dialect", "databricks", *map(str, arguments)]
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    process = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert process.returncode == 0, process.stderr
    return process.stdout


def create_tables(path, tickets):
    with duckdb.connect(str(path)) as con:
        con.execute("CREATE TABLE support_tickets(ticket_id BIGINT, customer_message VARCHAR, timestamp TIMESTAMP)")
        con.execute(f"""INSERT INTO support_tickets SELECT i, CASE WHEN i % 5 = 4 THEN NULL
            ELSE 'My name is Ana Ruiz, ana' || (i % 7) || '@example.com. I was charged twice!' END,
            current_date - INTERVAL 1 DAY * CASE WHEN i % 2 = 0 THEN 1 ELSE 30 END FROM range({tickets}) r(i)""")
        con.execute("CREATE TABLE products AS SELECT i AS product_id, 'A lamp, model ' || (i % 3) AS description_en "
                    "FROM range(5) r(i)")  # fmt: skip


def read_column(path, sql):
    with duckdb.connect(str(path)) as con:
        return [value for (value,) in con.sql(sql).fetchall()]


def read_entities(rows):
    """Return the documents of the answers that are not NULL."""
    answers = [row["extracted_entities"] for row in rows]
    return [json.loads(answer) for answer in answers if answer is not None]


@needs_shared
class TestOnTheEndpoint:
    def run(self, server, tmp_path, file, tickets=300):
        database = tmp_path / "w.duckdb"
        create_tables(database, tickets)
        output = run_aiquery_sql(
            "-f", WORKLOADS / file, "--database", database, "--endpoint", f"{ENDPOINT}={server.base_url}",
            "--format", "json",
        )  # fmt: skip
        return database, output

    def test_01_each_message_of_the_last_week_is_sent_once_and_none_by_the_select(self, serve, tmp_path):
        server = serve()
        database, output = self.run(server, tmp_path, "01_basic_batch_classification.sql")
        recent = read_column(
            database, "SELECT count(*) FROM support_tickets WHERE timestamp >= current_date - INTERVAL 7 DAY"
        )
        answers = read_column(database, "SELECT sentiment FROM support_tickets_classified ORDER BY ticket_id")
        assert len(answers) == recent[0] == 150
        assert server.calls == 7  # distinct messages; NULL sends no request
        assert None in answers
        for answer in answers:
            assert answer is None or answer.startswith("echo: Classify sentiment")
        assert len(json.loads(output)) == 10

    def test_02_at_most_100_calls_and_json_without_fences(self, serve, tmp_path):
        server = serve(lambda _: '```json\n{"name": "Ana", "email": null, "category": "card"}\n```')
        _, output = self.run(server, tmp_path, "02_structured_output_with_json.sql")
        rows = json.loads(output)
        assert len(rows) == 100
        assert server.calls <= 100
        assert {document["name"] for document in read_entities(rows)} == {"Ana"}

    def test_06_the_calls_for_both_languages_are_in_flight_at_once(self, serve, tmp_path):
        server = serve(latency=0.3)
        database, _ = self.run(server, tmp_path, "06_batch_translation.sql")
        assert server.calls == 6
        assert server.peak_in_flight >= 5  # the first request to an endpoint is sent alone
        counts = "count(description_es) + count(description_fr)"
        sql = f"SELECT {counts} FROM product_descriptions_translated"
        assert read_column(database, sql) == [10]


@needs_shared
@pytest.mark.local_model
@pytest.mark.parametrize(
    "file", ["01_basic_batch_classification", "02_structured_output_with_json", "06_batch_translation"]
)
def test_on_the_local_model(tmp_path, file):
    database = tmp_path / "w.duckdb"
    create_tables(database, 5)
    output = run_aiquery_sql(
        "-f", WORKLOADS / f"{file}.sql", "--database", database, "--endpoint", f"{ENDPOINT}={LOCAL}",
        "--format", "json",
    )  # fmt: skip
    if file.startswith("01"):
        answers = read_column(
            database, "SELECT sentiment FROM support_tickets_classified WHERE customer_message IS NOT NULL"
        )
        assert len(answers) == 2
        assert all(answers)
    elif file.startswith("02"):
        answers = [row["extracted_entities"] for row in json.loads(output)]
        # The prompt is free text, and a model of this size may write the document twice.
        documents = [json.JSONDecoder().raw_decode(answer)[0] for answer in answers if answer is not None]
        assert len(documents) == 4
        for document in documents:
            assert {"name", "email", "category"} <= document.keys()
    else:
        sql = "SELECT description_es FROM product_descriptions_translated"
        assert len(read_column(database, sql)) == 5


@pytest.mark.skipif(not SHARED.exists(), reason="the shared texts are not beside this checkout")
def test_ten_thousand_texts_have_one_answer_each_in_order(serve, tmp_path):
    server = serve()
    source = SHARED / "data" / "banking77_train.csv"
    target = tmp_path / "out.parquet"
    statement = f"SELECT text, ai_query('m', text) AS answer FROM '{source}'"
    command = [sys.executable, "-m", "aiquery", "sql", statement, "--endpoint", f"m={server.base_url}",
               "--output", str(target)]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    with source.open(newline="") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    rows = duckdb.sql(f"FROM '{target}'").fetchall()
    assert rows == [(text, f"echo: {text}") for text in texts]
    assert server.calls == len(set(texts))
    assert len(rows) == 10_003


def run_example(name, endpoint):
    file = ROOT / "examples" / f"{name}.sql"
    options = ("--endpoint", f"my-model={endpoint}", "--format", "json")
    return json.loads(run_aiquery_sql("-f", file, *options))


@pytest.mark.parametrize(
    ("name", "expected_rows", "expected_calls"), [("classify", 4, 2), ("extract", 2, 2), ("translate", 3, 4)]
)
def test_examples_on_the_endpoint(serve, name, expected_rows, expected_calls):
    server = serve()
    rows = run_example(name, server.base_url)
    assert len(rows) == expected_rows
    assert server.calls == expected_calls


@pytest.mark.local_model
def test_examples_on_the_local_model():
    rows = run_example("extract", LOCAL)
    assert [row["error"] for row in rows] == [None, None]
    assert all(row["name"] is not None and row["topic"] is not None for row in rows)
