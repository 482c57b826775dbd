"""The examples that Spark documents for its functions: the same result on DuckDB, or a refusal.

``records/functions.jsonl`` has what Spark answered (``scripts/record_spark_functions.py``), ``records/refused.txt`` the
statements that are refused; ``AIQUERY_WRITE_REFUSED=1`` writes that file. ``statements.txt`` has statements of ours,
none of which is refused.
"""

import os
from collections import defaultdict

import duckdb
import pytest
from recorded import RECORDS, normalize, normalize_struct, read, sort_rows

import aiquery
from aiquery.errors import AIQueryError

BY_FUNCTION = defaultdict(list)
for record in read("functions.jsonl"):
    BY_FUNCTION[record["function"]].append(record)
REFUSED = set((RECORDS / "refused.txt").read_text("utf-8").splitlines())


@pytest.fixture(scope="module")
def con():
    config = {"endpoints": {"m": {"provider": "fake"}}, "cache": {"store": "memory:"}}
    with aiquery.connect(config=config) as connection:
        connection.raw.execute("SET TimeZone = 'UTC'")
        yield connection


def is_refused(con, record):
    """Return True if a statement is refused; assert that its rows are Spark's otherwise."""
    try:
        rows = con.sql(record["sql"], dialect="databricks").fetchall()
    except (AIQueryError, duckdb.Error):
        return True
    as_maps = sort_rows([[normalize(value) for value in row] for row in rows])
    as_structs = sort_rows([[normalize_struct(value) for value in row] for row in rows])
    assert record["rows"] in (as_maps, as_structs), record["sql"]
    return False


@pytest.mark.parametrize("function", BY_FUNCTION)
def test_the_examples_of_a_function(con, function, capfd):
    for record in BY_FUNCTION[function]:
        refused = is_refused(con, record)
        if not os.environ.get("AIQUERY_WRITE_REFUSED"):
            assert refused == (record["sql"] in REFUSED), record["sql"]
    assert not capfd.readouterr().err


@pytest.mark.parametrize("record", read("statements.jsonl"), ids=lambda record: record["sql"][:60])
def test_a_statement_has_the_result_that_spark_gives(con, record):
    assert not is_refused(con, record), record["sql"]


@pytest.mark.skipif("AIQUERY_WRITE_REFUSED" not in os.environ, reason="it writes the file of refused statements")
def test_write_the_refused_statements(con):
    records = [record for records in BY_FUNCTION.values() for record in records]
    refused = [record["sql"] for record in records if is_refused(con, record)]
    (RECORDS / "refused.txt").write_text("\n".join(refused) + "\n", "utf-8")


def test_most_examples_are_the_same():
    records = [record["sql"] for records in BY_FUNCTION.values() for record in records]
    same = sum(sql not in REFUSED for sql in records)
    assert same >= 950
