"""One behaviour per file, run through every entrance. An engine is what takes SQL and gives rows."""

from dataclasses import dataclass

import duckdb
import pyarrow as pa
import pytest

import aiquery


@dataclass
class Engine:
    """A table ``t`` and SQL over it, whatever the engine."""

    name: str
    con: object

    def table(self, **columns):
        frame = pa.table(columns)  # noqa: F841  read by name in the statement below
        self.con.execute("CREATE OR REPLACE TABLE t AS FROM frame")

    def rows(self, sql):
        return self.con.sql(sql).fetchall()

    def types(self, sql):
        return [str(kind) for kind in self.con.sql(sql).types]


@pytest.fixture(params=["duckdb", "duckdb-registered"])
def engine(request):
    """Give an engine whose endpoints are the keyword arguments, ``defaults`` and ``budget`` those tables."""
    opened = []

    def start(defaults=None, budget=None, **endpoints):
        config = {"endpoints": endpoints, "defaults": defaults or {}, "budget": budget or {}}
        if request.param == "duckdb":
            con = aiquery.connect(config=config)
        else:
            con = duckdb.connect()
            aiquery.register(con, config)
        opened.append(con)
        return Engine(request.param, con)

    yield start
    for con in opened:
        con.close()
