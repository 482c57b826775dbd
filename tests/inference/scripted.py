"""The fake provider with a script of failures, and the requests of the unit tests of client and endpoint worker."""

from aiquery.config.endpoint import Endpoint
from aiquery.errors import RequestFailed
from aiquery.inference.in_flight import InFlightRequest
from aiquery.inference.query_context import BatchFuture, QueryContext
from aiquery.providers.fake import FakeProvider
from aiquery.requests.parsing import TextParser
from aiquery.requests.request import Request, RequestTemplate


class ScriptedProvider(FakeProvider):
    """The fake provider. The errors of ``script`` come first, in order; None in it is an answer."""

    remote = True

    def __init__(self, endpoint, script=(), wait_s=1.0):
        super().__init__(endpoint)
        self.script = list(script)
        self.wait_s = wait_s
        self.in_flight = 0
        self.peak = 0
        self.texts = []

    async def complete(self, request):
        self.texts.append(request.content)
        error = self.script.pop(0) if self.script else None
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        try:
            response = await super().complete(request)
        finally:
            self.in_flight -= 1
        if error is not None:
            raise error
        return response


def server_error(status=500, **more):
    return RequestFailed(f"HTTP {status}", status=status, retryable=True, **more)


def rejection():
    return RequestFailed("HTTP 400: bad request", status=400)


def make_endpoint(**settings):
    defaults = {"name": "m", "provider": "fake", "max_concurrency": 4, "hedge": False}
    return Endpoint(**{**defaults, **settings})


def make_template(endpoint, parser=None, **settings):
    return RequestTemplate(
        endpoint=endpoint.name, model="model", parser=parser or TextParser(), function="ai_query", **settings
    )


def make_requests(template, count, prefix="text"):
    return [Request(template, f"{prefix} {i}") for i in range(count)]


def make_future(count, context=None, **settings):
    options = {"keep": True, "strict": True, **settings}
    return BatchFuture(count, context or QueryContext(), **options)


def in_flight(request, context=None):
    """Return a request in flight with one future that waits for it."""
    return InFlightRequest(request, request.key(), make_future(1, context), 0)
