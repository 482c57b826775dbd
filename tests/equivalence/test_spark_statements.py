"""Random queries on Spark give what the same query gives with a SQL function in the place of the AI function.

``AIQUERY_SPARK_STATEMENTS`` says how many are tried, ``AIQUERY_SEED`` which ones.
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
TRIED = int(os.environ.get("AIQUERY_SPARK_STATEMENTS", "30"))
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


def without_us(text):
    """Return a query with the SQL function in the place of ours, whatever brackets stand within a call."""
    while (start := text.find("ai_query('m', ")) >= 0:
        first = start + len("ai_query('m', ")
        depth, end = 1, first
        while depth:
            depth += (
                {"(": 1, ")": -1}.get(text[end], 0) if not _quoted(text, end) else 0
            )
            end += 1
        inside, after = text[first : end - 1], text[end:]
        tolerant = inside.endswith(", failOnError => false")
        inside = inside.removesuffix(", failOnError => false")
        call = f"oracle(CAST({inside} AS STRING))"
        text = (
            text[:start]
            + (f"named_struct('result', try({call}))" if tolerant else call)
            + after
        )
    return text


def _quoted(text, position):
    return text[:position].count("'") % 2 == 1


class Sparks:
    """One session, whose tables are files of two partitions."""

    def __init__(self, session, server, folder):
        self.session, self.server, self.store = (
            session,
            server,
            f"{folder}/answers.sqlite",
        )
        for name, sql in TABLES.items():
            session.sql(sql).repartition(2).write.parquet(f"{folder}/{name}")
            session.read.parquet(f"{folder}/{name}").createOrReplaceTempView(name)
        session.sql(ORACLE)

    def configure(self):
        """Give each query an endpoint that was not asked before: a new model. Workers share what was answered."""
        endpoint = self.server.endpoint(hedge=False, model=f"m{next(numbers)}")
        config = {
            "endpoints": {"m": endpoint},
            "cache": {"store": self.store},
            "runs": {"store": "memory:"},
        }
        self.session.conf.set("spark.aiquery.config", json.dumps(config))

    def run(self, text, ordered):
        try:
            frame = self.session.sql(text)
            rows = [tuple(row) for row in frame.collect()]
        except (PySparkException, Py4JJavaError) as error:
            return None, error
        return (
            rows if ordered else sorted(rows, key=repr),
            [field.dataType for field in frame.schema],
        ), None


@pytest.fixture
def sparks(session, serve, tmp_path):
    found = Sparks(session, serve(reply), tmp_path)
    yield found
    session.conf.unset("spark.aiquery.config")


@hypothesis.seed(SEED)
@settings(
    max_examples=TRIED,
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
    seen, error = sparks.run(text, ordered)
    asked = dict(sparks.server.calls_by_prompt)
    wanted, refused = sparks.run(without_us(text), ordered)
    shown = re.sub(r"\s+", " ", str(error or seen))[:1500]
    hypothesis.note(
        f"query: {text}\nplain: {str(refused or wanted)[:1500]}\nours: {shown}"
    )
    if refused is not None:
        assert error is not None or "bad text" in str(refused)
        return
    assert error is None, f"plain Spark answers {text}"
    assert seen == wanted, f"another result of {text}"
    assert max(asked.values(), default=0) <= 1, f"asked twice by {text}: {asked}"


@pytest.mark.timeout(3600)
def test_random_queries_give_what_plain_spark_gives(sparks):
    check(sparks)
