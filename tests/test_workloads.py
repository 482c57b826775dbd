"""What users write, unchanged, through ``aiquery sql --dialect databricks``: the examples always, and the shared
workloads 01, 02 and 06 where they are present; on the test endpoint and on the local model."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import duckdb

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"
WORKLOADS = SHARED / "workloads"
needs_shared = pytest.mark.skipif(
    not WORKLOADS.exists(), reason="the shared workloads are not beside this checkout"
)
ENDPOINT = "databricks-meta-llama-3-1-70b-instruct"
LOCAL = "local:smollm2-135m-instruct"


def aiquery_sql(*arguments):
    command = [
        sys.executable,
        "-m",
        "aiquery",
        "sql",
        "--dialect",
        "databricks",
        *map(str, arguments),
    ]
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def tables(path, tickets):
    with duckdb.connect(str(path)) as con:
        con.execute(
            "CREATE TABLE support_tickets(ticket_id BIGINT, customer_message VARCHAR, timestamp TIMESTAMP)"
        )
        con.execute(f"""INSERT INTO support_tickets SELECT i, CASE WHEN i % 5 = 4 THEN NULL
            ELSE 'My name is Ana Ruiz, ana' || (i % 7) || '@example.com. I was charged twice!' END,
            current_date - INTERVAL 1 DAY * CASE WHEN i % 2 = 0 THEN 1 ELSE 30 END FROM range({tickets}) r(i)""")
        con.execute("CREATE TABLE products AS SELECT i AS product_id, 'A lamp, model ' || (i % 3) AS description_en "
                    "FROM range(5) r(i)")  # fmt: skip


def column(path, sql):
    with duckdb.connect(str(path)) as con:
        return [row[0] for row in con.sql(sql).fetchall()]


@needs_shared
class TestOnTheEndpoint:
    def run(self, server, tmp_path, file, tickets=300):
        database = tmp_path / "w.duckdb"
        tables(database, tickets)
        out = aiquery_sql("-f", WORKLOADS / file, "--database", database, "--endpoint", f"{ENDPOINT}={server.base_url}",
                          "--format", "json")  # fmt: skip
        return database, out

    def test_01_only_the_last_week_each_message_once_and_the_select_asks_nothing(
        self, serve, tmp_path
    ):
        server = serve()
        database, out = self.run(server, tmp_path, "01_basic_batch_classification.sql")
        recent = column(
            database,
            "SELECT count(*) FROM support_tickets WHERE timestamp >= current_date - INTERVAL 7 DAY",
        )
        answered = column(
            database,
            "SELECT sentiment FROM support_tickets_classified ORDER BY ticket_id",
        )
        assert len(answered) == recent[0] == 150
        assert server.calls == 7  # distinct messages; NULLs are not asked
        assert None in answered
        assert all(
            a is None or a.startswith("echo: Classify sentiment") for a in answered
        )
        assert len(json.loads(out)) == 10

    def test_02_at_most_100_calls_and_json_without_fences(self, serve, tmp_path):
        server = serve(
            lambda _: '```json\n{"name": "Ana", "email": null, "category": "card"}\n```'
        )
        _, out = self.run(server, tmp_path, "02_structured_output_with_json.sql")
        rows = json.loads(out)
        assert len(rows) == 100
        assert server.calls <= 100
        answers = [
            row["extracted_entities"]
            for row in rows
            if row["extracted_entities"] is not None
        ]
        assert {json.loads(answer)["name"] for answer in answers} == {"Ana"}

    def test_06_two_calls_per_description_both_languages_in_flight(
        self, serve, tmp_path
    ):
        server = serve(latency=0.3)
        database, _ = self.run(server, tmp_path, "06_batch_translation.sql")
        assert server.calls == 6
        assert server.peak_in_flight == 6
        assert column(database, "SELECT count(description_es) + count(description_fr) "
                                "FROM product_descriptions_translated") == [10]  # fmt: skip


@needs_shared
@pytest.mark.local_model
@pytest.mark.parametrize(
    "file",
    [
        "01_basic_batch_classification",
        "02_structured_output_with_json",
        "06_batch_translation",
    ],
)
def test_on_the_local_model(tmp_path, file):
    database = tmp_path / "w.duckdb"
    tables(database, 5)
    out = aiquery_sql("-f", WORKLOADS / f"{file}.sql", "--database", database, "--endpoint", f"{ENDPOINT}={LOCAL}",
                      "--format", "json")  # fmt: skip
    if file.startswith("01"):
        answers = column(
            database,
            "SELECT sentiment FROM support_tickets_classified WHERE customer_message IS NOT NULL",
        )
        assert len(answers) == 2
        assert all(answers)
    elif file.startswith("02"):
        answers = [
            row["extracted_entities"]
            for row in json.loads(out)
            if row["extracted_entities"] is not None
        ]
        assert len(answers) == 4
        assert all(
            {"name", "email", "category"} <= json.loads(answer).keys()
            for answer in answers
        )
    else:
        assert (
            len(
                column(
                    database,
                    "SELECT description_es FROM product_descriptions_translated",
                )
            )
            == 5
        )


@pytest.mark.skipif(
    not SHARED.exists(), reason="the shared texts are not beside this checkout"
)
def test_ten_thousand_texts_one_answer_each_in_order(serve, tmp_path):
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


@pytest.mark.parametrize("name", ["classify", "extract", "translate"])
def test_examples_on_the_endpoint(serve, name):
    server = serve()
    rows = json.loads(
        aiquery_sql(
            "-f",
            ROOT / "examples" / f"{name}.sql",
            "--endpoint",
            f"my-model={server.base_url}",
            "--format",
            "json",
        )
    )
    assert (len(rows), server.calls) == {
        "classify": (4, 2),
        "extract": (2, 2),
        "translate": (3, 4),
    }[name]


@pytest.mark.local_model
def test_examples_on_the_local_model():
    out = aiquery_sql(
        "-f",
        ROOT / "examples" / "extract.sql",
        "--endpoint",
        f"my-model={LOCAL}",
        "--format",
        "json",
    )
    rows = json.loads(out)
    assert [row["error"] for row in rows] == [None, None]
    assert all(row["name"] is not None and row["topic"] is not None for row in rows)
