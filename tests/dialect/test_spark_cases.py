"""Random values through each function that is changed: the results that Spark gave.

``scripts/record_spark_cases.py`` records ``records/cases.jsonl`` for the functions in ``cases.txt`` and the values of
``records/values.sql``.
"""

import pytest
from recorded import RECORDS, normalize, normalize_struct, read

import aiquery


@pytest.fixture(scope="module")
def con():
    with aiquery.connect(config={"cache": {"store": "memory:"}}) as connection:
        connection.raw.execute("SET TimeZone = 'UTC'")
        values = (RECORDS / "values.sql").read_text("utf-8")
        connection.sql(f"CREATE TABLE v AS {values}", dialect="databricks")
        yield connection


@pytest.mark.parametrize("record", read("cases.jsonl"), ids=lambda record: record["case"][:50])
def test_a_function_gives_what_spark_gives(con, record):
    rows = con.sql(f"SELECT {record['case']} AS r FROM v ORDER BY i", dialect="databricks").fetchall()
    assert [normalize(row[0]) for row in rows] == record["results"] or [
        normalize_struct(row[0]) for row in rows
    ] == record["results"]
