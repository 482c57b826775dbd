"""Random queries on Spark return the result of the same query with a SQL function in place of the AI function.

``AIQUERY_SPARK_STATEMENTS`` sets the number of queries, ``AIQUERY_SEED`` the seed.
"""

import json
import os
import re
import zlib
from itertools import count

import hypothesis
import pytest
from hypothesis import HealthCheck, given, settings
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from spark_statements import queries_for_spark

from aiquery.testing import Answer

pytestmark = pytest.mark.spark
QUERIES = int(os.environ.get("AIQUERY_SPARK_STATEMENTS", "30"))
SEED = int(os.environ.get("AIQUERY_SEED", "1"))
ANSWERS = ("yes", "no", "maybe", "7")
ORACLE = (
    "CREATE OR REPLACE TEMPORARY FUNCTION oracle(x STRING) RETURNS STRING RETURN CASE WHEN x IS NULL THEN NULL "
    "WHEN x LIKE '%BAD%' THEN raise_error('no answer to a bad text') "
    f"ELSE element_at(array{ANSWERS}, CAST(pmod(crc32(encode(x, 'UTF-8')), 4) + 1 AS INT)) END"
)
TABLES = {
    "t": "SELECT id, id % 3 AS g, 'text ' || (id % 7) AS s, CASE WHEN id % 4 = 0 THEN NULL ELSE CAST(id % 5 AS STRING) END AS n FROM range(12)",
    "u": "SELECT id, id % 2 AS k, CASE WHEN id = 3 THEN NULL ELSE 'v' || id END AS v FROM range(6)",
    "e": "SELECT id, id AS k, 'v' AS v FROM range(0)",
}
numbers = count()


def reply(question):
    if "BAD" in question.prompt:
        return Answer(status=400)
    return ANSWERS[zlib.crc32(question.prompt.encode()) % 4]


CALL = "ai_query('m', "
TOLERANT = ", failOnError => false"


def replace_calls(text):
    """Return a query with the SQL function in place of ``ai_query``."""
    while (start := text.find(CALL)) >= 0:
        first = start + len(CALL)
        end = find_closing_bracket(text, first)
        argument = text[first:end]
        call = f"oracle(CAST({argument.removesuffix(TOLERANT)} AS STRING))"
        if argument.endswith(TOLERANT):
            call = f"named_struct('result', try({call}))"
        text = text[:start] + call + text[end + 1 :]
    return text


def find_closing_bracket(text, first):
    """Return the position of the bracket that closes the one before ``first``."""
    depth = 1
    for position in range(first, len(text)):
        if is_quoted(text, position):
            continue
        depth += {"(": 1, ")": -1}.get(text[position], 0)
        if depth == 0:
            return position
    raise ValueError(text)


def is_quoted(text, position):
    return text[:position].count("'") % 2 == 1


class Sparks:
    """One session, whose tables are files of two partitions."""

    def __init__(self, session, server, folder):
        self.session = session
        self.server = server
        self.store = f"{folder}/answers.sqlite"
        for name, sql in TABLES.items():
            session.sql(sql).repartition(2).write.parquet(f"{folder}/{name}")
            session.read.parquet(f"{folder}/{name}").createOrReplaceTempView(name)
        session.sql(ORACLE)

    def configure(self):
        """Give each query a new model, which has no cached answers. The workers share the cache."""
        endpoint = self.server.endpoint(hedge=False, model=f"m{next(numbers)}")
        config = {"endpoints": {"m": endpoint}, "cache": {"store": self.store}, "runs": {"store": "memory:"}}
        self.session.conf.set("spark.aiquery.config", json.dumps(config))

    def run(self, text, ordered):
        try:
            frame = self.session.sql(text)
            rows = [tuple(row) for row in frame.collect()]
        except (PySparkException, Py4JJavaError) as error:
            return None, error
        if not ordered:
            rows.sort(key=repr)
        return (rows, [field.dataType for field in frame.schema]), None


@pytest.fixture
def sparks(session, serve, tmp_path):
    yield Sparks(session, serve(reply), tmp_path)
    session.conf.unset("spark.aiquery.config")


@hypothesis.seed(SEED)
@settings(
    max_examples=QUERIES,
    database=None,
    suppress_health_check=list(HealthCheck),
    report_multiple_bugs=False,
    deadline=None,
)
@given(queries_for_spark())
def check(sparks, drawn):
    text, ordered = drawn
    sparks.configure()
    sparks.server.forget()
    result, error = sparks.run(text, ordered)
    calls = dict(sparks.server.calls_by_prompt)
    expected, expected_error = sparks.run(replace_calls(text), ordered)
    plain = str(expected_error or expected)[:1500]
    actual = re.sub(r"\s+", " ", str(error or result))[:1500]
    hypothesis.note(f"query: {text}\nplain: {plain}\naiquery: {actual}")
    if expected_error is not None:
        assert error is not None or "bad text" in str(expected_error)
        return
    assert error is None, f"plain Spark answers {text}"
    assert result == expected, f"another result of {text}"
    assert max(calls.values(), default=0) <= 1, f"sent twice by {text}: {calls}"


@pytest.mark.timeout(3600)
def test_random_queries_return_the_result_of_plain_spark(sparks):
    check(sparks)
