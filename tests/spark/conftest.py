"""Each test has its own configuration and its own endpoint; all share one local Spark session."""

import json

import pytest

pytestmark = pytest.mark.spark


class Spark:
    """A Spark session with one test server; ``collect`` returns tuples."""

    def __init__(self, session, server, endpoints):
        self.session = session
        self.server = server
        self.endpoints = endpoints

    def config(self, **tables):
        """Return the configuration as JSON. Answers are in the memory of each worker unless ``cache`` sets a store."""
        config = {
            "endpoints": self.endpoints,
            "defaults": {"chat": "m", "embedding": "e"},
            "cache": {"store": "memory:"},
        }
        return json.dumps({**config, **tables})

    def table(self, name, schema, rows):
        self.session.createDataFrame(rows, schema).createOrReplaceTempView(name)

    def type_of(self, sql):
        return self.session.sql(sql).schema[0].dataType.simpleString()

    def collect(self, sql):
        return [convert_row(row) for row in self.session.sql(sql).collect()]


def convert_row(row):
    """Return a row as a tuple, and the rows inside it as dictionaries."""
    return tuple(value.asDict(recursive=True) if hasattr(value, "asDict") else value for value in row)


@pytest.fixture
def spark(session, serve):
    """Return a function that starts a test server and returns Spark with the server as its default endpoints."""

    def start(*args, latency=0.0, **settings):
        server = serve(*args, latency=latency)
        embedding = server.endpoint(hedge=False, task="embedding")
        endpoints = {"m": server.endpoint(hedge=False, **settings), "e": embedding}
        sql = Spark(session, server, endpoints)
        session.conf.set("spark.aiquery.config", sql.config())
        return sql

    yield start
    session.conf.unset("spark.aiquery.config")
