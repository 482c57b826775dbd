"""Connections: one whose endpoint answers in the process, by a rule, and records what it is asked; one with a table."""

import threading

import pytest

import aiquery
from aiquery.errors import RequestFailed
from aiquery.requests.request import Response
from in_process import InProcess, forget_answers


class Asked:
    """A connection with the endpoint ``m``; ``texts`` are the requests' contents, in the order in which they came.

    ``answer`` is the rule: a function from a text to the answer; an exception is an error of the row.
    """

    def __init__(self):
        self.answer = lambda _text: "true"
        self.texts = []
        self.con = None
        self.gate = threading.Lock()

    def complete(self, request):
        text = request.content if isinstance(request.content, str) else str(request.content)
        with self.gate:
            self.texts.append(text)
        try:
            return Response(text=self.answer(text))
        except ValueError as error:
            raise RequestFailed(str(error), status=400) from None

    def run(self, sql, **arguments):
        """Forget all answers, run a statement, and return its rows and the number of requests."""
        self.forget()
        relation = self.con.sql(sql, **arguments)
        rows = [] if relation is None else relation.fetchall()
        return rows, len(self.texts)

    def forget(self):
        """Forget the answers in memory, and what was asked."""
        forget_answers(self.con)
        self.texts.clear()


@pytest.fixture
def asked(monkeypatch):
    from aiquery import registry

    made = Asked()

    class Provider(InProcess):
        async def complete(self, request):
            return made.complete(request)

    provider = registry.provider
    monkeypatch.setattr(registry, "provider", lambda name: Provider if name == "fake" else provider(name))
    config = {
        "endpoints": {"m": {"provider": "fake", "hedge": False}},
        "defaults": {"chat": "m"},
        "cache": {"store": "memory:"},
        "runs": {"store": "memory:"},
    }
    with aiquery.connect(config=config) as made.con:
        yield made


@pytest.fixture
def con(connect, endpoint):
    """A connection to a server on loopback as ``m``, with a table ``t`` of five rows."""
    con = connect(m=endpoint.endpoint())
    con.execute("CREATE TABLE t AS SELECT i AS id, 'text ' || i AS s FROM range(5) r(i)")
    return con
