"""Each test has its own configuration and its own endpoint; all share one local Spark session."""

import json

import pytest

pytestmark = pytest.mark.spark


class Spark:
    """Tables and statements over one endpoint; ``collect`` gives tuples."""

    def __init__(self, session, server, endpoints):
        self.session, self.server, self.endpoints = session, server, endpoints

    def config(self, **tables):
        """Give the configuration as JSON; answers live in each worker's memory unless ``cache`` sets a store."""
        defaults = {"chat": "m", "embedding": "e"}
        return json.dumps(
            {
                "endpoints": self.endpoints,
                "defaults": defaults,
                "cache": {"store": "memory:"},
                **tables,
            }
        )

    def table(self, name, schema, rows):
        self.session.createDataFrame(rows, schema).createOrReplaceTempView(name)

    def type_of(self, sql):
        return self.session.sql(sql).schema[0].dataType.simpleString()

    def collect(self, sql):
        return [plain(row) for row in self.session.sql(sql).collect()]


def plain(value):
    """Rows as tuples, those inside of others as dictionaries."""
    return tuple(
        inner.asDict(recursive=True) if hasattr(inner, "asDict") else inner
        for inner in value
    )


@pytest.fixture
def spark(session, serve):
    """Give a Spark whose default endpoints are one test server; the server is its attribute."""

    def start(*args, latency=0.0, **settings):
        server = serve(*args, latency=latency)
        embedding = server.endpoint(hedge=False, task="embedding")
        endpoints = {"m": server.endpoint(hedge=False, **settings), "e": embedding}
        found = Spark(session, server, endpoints)
        session.conf.set("spark.aiquery.config", found.config())
        return found

    yield start
    session.conf.unset("spark.aiquery.config")
