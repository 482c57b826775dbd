"""Statements of Databricks SQL: the same rows, types and requests on DuckDB and on Spark.

``tests/equivalence/databricks_statements.sql`` has them.
"""

import json
import re
import sys
from pathlib import Path

import pytest

import aiquery
from aiquery.sql.databricks.python.texts import type_name
from aiquery.testing import Answer

TESTS = Path(__file__).parents[1]
sys.path.insert(0, str(TESTS / "dialect"))

from recorded import normalize, normalize_struct, sort_rows  # noqa: E402  a module of other tests

pytestmark = pytest.mark.spark

TICKETS = """
SELECT CAST(id AS BIGINT) AS id, message, team, CAST(amount AS DECIMAL(10, 2)) AS amount, day, tags, raw
FROM VALUES
  (1, 'The app crashes 3 times', 'app', 10.5, DATE'2024-05-01', array('vip', 'new'), '{"kind": "bug", "n": 1, "list": [1, 2]}'),
  (2, 'Please refund 50% of it', 'web', 99.99, DATE'2024-05-02', array('old'), '{"kind": "billing", "n": 2, "list": [3]}'),
  (3, 'Where is my order?', 'web', 0.0, DATE'2024-05-03', array(), '{"kind": null, "list": []}'),
  (4, 'The App is great', 'app', 5.25, DATE'2024-06-30', array('vip'), '{"n": 4}'),
  (5, 'Where is my order?', 'shop', 70.0, DATE'2024-12-31', array('b', 'a', 'c'), 'not json')
  AS t(id, message, team, amount, day, tags, raw)"""


def read_scripts():
    text = (TESTS / "equivalence" / "databricks_statements.sql").read_text("utf-8")
    parts = re.split(r"^-- (.+)$", text.split("\n\n", 1)[1], flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], (part.strip() for part in parts[1::2]), strict=True))


SCRIPTS = read_scripts()


def fill(schema, text):
    """Return a document of a JSON schema, which the text of the question decides."""
    if "anyOf" in schema:
        return fill(schema["anyOf"][0], text)
    if "enum" in schema:
        return schema["enum"][len(text) % len([one for one in schema["enum"] if one is not None])]
    kinds = schema.get("type")
    kind = kinds[0] if isinstance(kinds, list) else kinds
    match kind:
        case "object":
            if "entities" in schema["properties"]:
                return {"entities": []}
            return {name: fill(field, text) for name, field in schema["properties"].items()}
        case "array":
            return [fill(schema["items"], text)] if "items" in schema else []
        case "integer" | "number":
            return len(text) % 7
        case "boolean":
            return len(text) % 2 == 0
    return text[:6]


def reply(question):
    if "BAD" in question.prompt:
        return Answer(status=400)
    form = question.body.get("response_format") or {}
    if form.get("type") == "json_schema":
        return json.dumps(fill(form["json_schema"]["schema"], question.prompt.strip()))
    return f"<{question.prompt[-20:]}>"


@pytest.fixture
def engines(spark):
    """Spark and a DuckDB connection with the same endpoints and the same table."""
    sql = spark(reply)
    sql.session.conf.set("spark.sql.session.timeZone", "UTC")
    sql.session.sql(f"CREATE OR REPLACE TEMP VIEW tickets AS {TICKETS}")
    with aiquery.connect(config={**json.loads(sql.config()), "runs": {"store": "memory:"}}) as con:
        con.execute("SET TimeZone = 'UTC'")
        con.sql(f"CREATE TABLE tickets AS {TICKETS}", dialect="databricks")
        yield sql, con
    sql.session.conf.unset("spark.sql.session.timeZone")


def read_requests(server):
    return sorted({json.dumps(request.body, sort_keys=True) for request in server.requests})


def run_on_spark(sql, script):
    for statement in script.split(";\n"):
        frame = sql.session.sql(statement)
    types = [field.dataType.simpleString() for field in frame.schema]
    return types, [tuple(map(plain, row)) for row in frame.collect()]


def plain(value):
    """Return a VARIANT as the JSON text that DuckDB has."""
    if hasattr(value, "toJson"):
        return value.toJson()
    return value


def convert(name):
    """Return the name of a type; DuckDB has JSON where Spark has VARIANT."""
    return name.replace("json", "variant")


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_statement_has_the_same_rows_types_and_requests(engines, name):
    sql, con = engines
    script = SCRIPTS[name]
    relation = con.sql(script, dialect="databricks")
    types = [convert(type_name(str(kind))) for kind in relation.types]
    rows = relation.fetchall()
    requests = read_requests(sql.server)
    sql.server.forget()
    spark_types, spark_rows = run_on_spark(sql, script)
    assert types == spark_types
    expected = sort_rows([[normalize(value) for value in row] for row in spark_rows])
    as_maps = sort_rows([[normalize(value) for value in row] for row in rows])
    as_structs = sort_rows([[normalize_struct(value) for value in row] for row in rows])
    assert expected in (as_maps, as_structs)
    assert requests == read_requests(sql.server)
