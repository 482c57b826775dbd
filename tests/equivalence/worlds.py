"""The same statements in two worlds: ours, and plain DuckDB in which the AI function is an ordinary function.

In both an answer is the same pure function of the request's text, and requests are noted.
"""

import hashlib
import threading
from contextlib import suppress

import pandas as pd
import pyarrow as pa

import aiquery
import duckdb
from aiquery.errors import RequestFailed
from aiquery.requests.request import Response
from in_process import InProcess

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
ONCE = (
    "CREATE OR REPLACE MACRO tm(x) AS TABLE SELECT i AS id, i % 2 AS k, 'm' || i AS v FROM range(x) r(i)",
    "COPY (SELECT i AS id, i % 2 AS g, 'text ' || i AS s, NULL::VARCHAR AS n FROM range(5) r(i)) TO 'p.parquet'",
)
STATE = (
    "FROM t ORDER BY ALL",
    "FROM o ORDER BY ALL",
    "FROM u ORDER BY ALL",
    "SELECT nextval('sq')",
)
ANSWERS = ("yes", "no", "maybe", "7")
FRAME = pd.DataFrame(
    {
        "id": [0, 1, 2, 5],
        "g": [1, 2, 0, 1],
        "s": ["text 1", "x", "text 1", "yes"],
        "n": ["1", None, "a", "2"],
    }
)


def answer(prompt):
    """Return the answer to a text; one that says BAD has none."""
    if "BAD" in prompt:
        raise ValueError("no answer to a bad text")
    return ANSWERS[hashlib.blake2b(prompt.encode()).digest()[0] % len(ANSWERS)]


class Provider(InProcess):
    """An endpoint in the process; ``asked`` are the texts of its requests."""

    asked: list[str] = []

    async def complete(self, request):
        self.asked.append(request.content)
        try:
            return Response(text=answer(request.content))
        except ValueError as error:
            raise RequestFailed(str(error), status=400) from None


class World:
    """Tables, and what statements gave."""

    def __init__(self, con):
        self.con = con
        for statement in ONCE:
            con.execute(statement)
        con.register("fr", FRAME)
        con.register("ar", pa.Table.from_pandas(FRAME))

    def reset(self, rows):
        for statement in TABLES:
            self.con.execute(statement.format(rows=rows))

    def state(self):
        return [self.con.execute(sql).fetchall() for sql in STATE]

    def run(self, statements, ordered):
        """Return rows, names and types of the last statement that has them, or that an error ended it; and the tables."""
        result = None
        try:
            for statement in statements:
                found = self.execute(statement)
                result = result if found is None else found
        except (duckdb.Error, aiquery.AIQueryError) as error:
            self.undo()
            return ("error", self.state()), error
        if result is not None and not ordered:
            result = (sorted(result[0], key=repr), *result[1:])
        return (result, self.state()), None

    def undo(self):
        with suppress(duckdb.TransactionException):
            self.con.execute("ROLLBACK")


class Plain(World):
    """Plain DuckDB; ``volatile`` keeps calls where they stand, as a function with side effects."""

    def __init__(self, *, volatile):
        super().__init__(duckdb.connect())
        self.asked = set()
        self.con.create_function(
            "_answer",
            self._answer,
            ["VARCHAR"],
            "VARCHAR",
            type="arrow",
            side_effects=volatile,
        )
        self.con.create_function(
            "_failed",
            self._failed,
            ["VARCHAR"],
            "VARCHAR",
            type="arrow",
            null_handling="special",
            side_effects=volatile,
        )
        self.con.execute(
            "CREATE MACRO ai_query(endpoint, request) AS _answer(CAST(request AS VARCHAR)), "
            "(endpoint, request, failOnError) AS {'result': _failed(CAST(request AS VARCHAR))}"
        )

    def _answer(self, column):
        texts = column.to_pylist()
        self.asked.update(text for text in texts if text is not None)
        return pa.array(
            [None if text is None else answer(text) for text in texts], pa.string()
        )

    def _failed(self, column):
        texts = column.to_pylist()
        self.asked.update(text for text in texts if text is not None)
        return pa.array(
            [None if text is None or "BAD" in text else answer(text) for text in texts],
            pa.string(),
        )

    def execute(self, statement):
        relation = self.con.sql(statement)
        if relation is None:
            return None
        names, types = relation.columns, [str(kind) for kind in relation.types]
        rows = relation.fetchall()
        if (
            names == ["Count"]
            and not statement.startswith(("SELECT", "WITH", "FROM", "("))
            and "RETURNING" not in statement
        ):
            return None
        return rows, names, types


class Ours(World):
    """A connection of ours over ``Provider``."""

    def __init__(self):
        super().__init__(
            aiquery.connect(
                config={
                    "endpoints": {"m": {"provider": "fake", "hedge": False}},
                    "cache": {"store": "memory:"},
                    "runs": {"store": "memory:"},
                }
            )
        )

    def reset(self, rows):
        super().reset(rows)
        client, done = self.con._session.client, threading.Event()
        from aiquery.runtime.event_loop import event_loop

        def clear():
            client.cache._memory.clear()
            done.set()

        event_loop().loop.call_soon_threadsafe(clear)
        assert done.wait(10)
        Provider.asked.clear()

    @property
    def asked(self):
        return list(Provider.asked)

    def execute(self, statement):
        relation = self.con.sql(statement)
        if relation is None:
            return None
        return (
            relation.fetchall(),
            relation.columns,
            [str(kind) for kind in relation.types],
        )
