"""Fixtures of the tests of reported statements: an endpoint that answers by the last letter, and a connection."""

import pytest

import aiquery
from aiquery.testing import Answer


def reply(question):
    if "BAD" in question.prompt:
        return Answer(status=400)
    return "yes" if question.prompt[-1:] in "02468" else "no"


@pytest.fixture
def server(serve):
    return serve(reply)


@pytest.fixture
def con(server):
    config = {
        "endpoints": {"m": server.endpoint(hedge=False)},
        "defaults": {"chat": "m"},
        "cache": {"store": "memory:"},
    }
    with aiquery.connect(config=config) as con:
        con.execute("CREATE TABLE t AS SELECT i AS id, 'text ' || i AS s, i % 4 AS g FROM range(12) r(i)")
        yield con
