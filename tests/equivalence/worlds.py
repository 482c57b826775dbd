"""The same statements on aiquery, and on plain DuckDB with an ordinary function in place of the AI function.

In both, an answer is the same pure function of the request's text, and the requests are recorded.
"""

import hashlib
from contextlib import suppress

import duckdb
import pandas as pd
import pyarrow as pa

import aiquery
from aiquery.errors import RequestFailed
from aiquery.requests.request import Response
from in_process import InProcess, forget_answers

TABLES = (
    "CREATE OR REPLACE TABLE t AS SELECT i AS id, i % 3 AS g, 'text ' || (i % 7) AS s, "
    "CASE WHEN i % 4 = 0 THEN NULL ELSE (i % 5)::VARCHAR END AS n FROM range({rows}) r(i)",
    "CREATE OR REPLACE TABLE u AS SELECT i AS id, i % 2 AS k, CASE WHEN i = 3 THEN NULL ELSE 'v' || i END AS v "
    "FROM range(6) r(i)",
    "CREATE OR REPLACE TABLE e(id BIGINT, k BIGINT, v VARCHAR)",
    "CREATE OR REPLACE TABLE o AS SELECT 1::BIGINT AS id, 2::BIGINT AS k, 'old' AS v",
    "DROP TABLE IF EXISTS made",
    "CREATE OR REPLACE SEQUENCE sq",
)
FIXED = (
    "CREATE OR REPLACE MACRO tm(x) AS TABLE SELECT i AS id, i % 2 AS k, 'm' || i AS v FROM range(x) r(i)",
    "COPY (SELECT i AS id, i % 2 AS g, 'text ' || i AS s, NULL::VARCHAR AS n FROM range(5) r(i)) TO 'p.parquet'",
)
STATE = ("FROM t ORDER BY ALL", "FROM o ORDER BY ALL", "FROM u ORDER BY ALL", "SELECT nextval('sq')")
ANSWERS = ("yes", "no", "maybe", "7")
FRAME = pd.DataFrame(
    {"id": [0, 1, 2, 5], "g": [1, 2, 0, 1], "s": ["text 1", "x", "text 1", "yes"], "n": ["1", None, "a", "2"]}
)


def answer(prompt):
    """Return the answer to a text; a text with BAD raises ValueError."""
    if "BAD" in prompt:
        raise ValueError("no answer to a bad text")
    return ANSWERS[hashlib.blake2b(prompt.encode()).digest()[0] % len(ANSWERS)]


class Provider(InProcess):
    """An endpoint in the process; ``received`` are the texts of its requests."""

    received: list[str] = []

    async def complete(self, request):
        self.received.append(request.content)
        try:
            return Response(text=answer(request.content))
        except ValueError as error:
            raise RequestFailed(str(error), status=400) from None


class World:
    """Runs statements on the tables of one connection."""

    def __init__(self, con):
        self.con = con
        for statement in FIXED:
            con.execute(statement)
        con.register("fr", FRAME)
        con.register("ar", pa.Table.from_pandas(FRAME))

    def reset(self, rows):
        for statement in TABLES:
            self.con.execute(statement.format(rows=rows))

    def state(self):
        return [self.con.execute(sql).fetchall() for sql in STATE]

    def run(self, statements, ordered):
        """Return the result and the error. The result is that of the last statement with rows, and the tables."""
        result = None
        try:
            for statement in statements:
                result = self.execute(statement) or result
        except (duckdb.Error, aiquery.AIQueryError) as error:
            self.roll_back()
            return ("error", self.state()), error
        if result is not None and not ordered:
            result = (sorted(result[0], key=repr), *result[1:])
        return (result, self.state()), None

    def roll_back(self):
        with suppress(duckdb.TransactionException):
            self.con.execute("ROLLBACK")


class Plain(World):
    """Plain DuckDB. ``volatile`` declares side effects, so that DuckDB does not move the calls."""

    def __init__(self, *, volatile):
        super().__init__(duckdb.connect())
        self.requests = set()
        self.con.create_function("_answer", self._answer, ["VARCHAR"], "VARCHAR", type="arrow", side_effects=volatile)
        self.con.create_function(
            "_answer_or_null",
            self._answer_or_null,
            ["VARCHAR"],
            "VARCHAR",
            type="arrow",
            null_handling="special",
            side_effects=volatile,
        )
        self.con.execute(
            "CREATE MACRO ai_query(endpoint, request) AS _answer(CAST(request AS VARCHAR)), "
            "(endpoint, request, failOnError) AS {'result': _answer_or_null(CAST(request AS VARCHAR))}"
        )

    def _answer(self, column):
        texts = self._record(column)
        answers = [None if text is None else answer(text) for text in texts]
        return pa.array(answers, pa.string())

    def _answer_or_null(self, column):
        texts = self._record(column)
        answers = [None if text is None or "BAD" in text else answer(text) for text in texts]
        return pa.array(answers, pa.string())

    def _record(self, column):
        texts = column.to_pylist()
        self.requests.update(text for text in texts if text is not None)
        return texts

    def execute(self, statement):
        relation = self.con.sql(statement)
        if relation is None:
            return None
        names = relation.columns
        types = [str(dtype) for dtype in relation.types]
        rows = relation.fetchall()
        if names == ["Count"] and not returns_rows(statement):
            return None
        return rows, names, types


def returns_rows(statement):
    """Return False if the result of plain DuckDB is only the number of rows that it wrote."""
    is_query = statement.startswith(("SELECT", "WITH", "FROM", "("))
    return is_query or "RETURNING" in statement


class Aiquery(World):
    """A connection of aiquery with ``Provider`` as its endpoint."""

    def __init__(self):
        config = {
            "endpoints": {"m": {"provider": "fake", "hedge": False}},
            "cache": {"store": "memory:"},
            "runs": {"store": "memory:"},
        }
        super().__init__(aiquery.connect(config=config))

    def reset(self, rows):
        super().reset(rows)
        forget_answers(self.con)
        Provider.received.clear()

    @property
    def requests(self):
        return list(Provider.received)

    def execute(self, statement):
        relation = self.con.sql(statement)
        if relation is None:
            return None
        types = [str(dtype) for dtype in relation.types]
        return relation.fetchall(), relation.columns, types
