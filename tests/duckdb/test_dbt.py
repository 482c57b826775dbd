"""A small dbt project: table, incremental and view models with ai_query, through the plugin."""

import json
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

pytestmark = pytest.mark.dbt

MODELS = {
    "tickets.sql": "SELECT i AS id, 'ticket ' || (i % 40) AS message FROM range({{ var('rows') }}) r(i)",
    "classified.sql": """{{ config(materialized='table') }}
        SELECT id, ai_query('m', 'Classify: ' || message) AS label FROM {{ ref('tickets') }}""",
    "growing.sql": """{{ config(materialized='incremental', unique_key='id') }}
        SELECT id, ai_query('m', 'New: ' || id) AS label FROM {{ ref('tickets') }}
        {% if is_incremental() %} WHERE id > (SELECT max(id) FROM {{ this }}) {% endif %}""",
}


@pytest.fixture
def project(tmp_path, endpoint):
    (tmp_path / "models").mkdir()
    for name, sql in MODELS.items():
        (tmp_path / "models" / name).write_text(sql)
    (tmp_path / "dbt_project.yml").write_text("name: shop\nversion: '1.0.0'\nprofile: shop\nvars: {rows: 300}\n")
    settings = endpoint.endpoint().items()
    lines = "\n".join(f"{key} = {json.dumps(value)}" for key, value in settings)
    (tmp_path / "aiquery.toml").write_text(f"[endpoints.m]\n{lines}\n")
    (tmp_path / "profiles.yml").write_text(
        "shop:\n  target: dev\n  outputs:\n    dev:\n      type: duckdb\n      path: shop.duckdb\n      threads: 4\n"
        "      plugins:\n        - module: aiquery.dbt\n          config: {config: aiquery.toml}\n"
    )
    return tmp_path


def run_dbt(project, *arguments):
    command = [str(Path(sys.executable).parent / "dbt"), "--no-send-anonymous-usage-stats", "run", *arguments]
    process = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stdout + process.stderr


def test_table_and_incremental(project, endpoint):
    run_dbt(project)
    assert endpoint.calls_by_prompt["Classify: ticket 7"] == 1
    assert endpoint.calls == 40 + 300
    with duckdb.connect(str(project / "shop.duckdb")) as con:
        labels = con.sql("SELECT label FROM classified WHERE id = 7").fetchall()
    assert labels == [("echo: Classify: ticket 7",)]
    endpoint.forget()
    run_dbt(project, "--select", "tickets", "growing", "--vars", "{rows: 310}")
    assert sorted(endpoint.prompts) == sorted(f"New: {i}" for i in range(300, 310))
    sql = "SELECT count(*), count(DISTINCT id), count(label) FROM growing"
    with duckdb.connect(str(project / "shop.duckdb")) as con:
        assert con.sql(sql).fetchall() == [(310, 310, 310)]
