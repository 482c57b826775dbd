"""EndpointServer: a real HTTP server on loopback that speaks OpenAI's wire format and does as it is told.

It runs in a thread of its own with its own event loop. The HTTP is httptools and a plain asyncio protocol, so that it
can break the rules on purpose and stays well below what it measures (about 100 us per request).
"""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

import httptools
import msgspec

from aiquery.runtime.event_loop import new_loop
from aiquery.testing.answer import (
    BLOCK_TOKENS,
    CHARACTERS_PER_TOKEN,
    Answer,
    Question,
    blocks,
    document,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiquery.testing.replica import Replica

_PHRASES = {200: "OK", 307: "Temporary Redirect", 400: "Bad Request", 401: "Unauthorized", 429: "Too Many Requests",
            500: "Internal Server Error", 503: "Service Unavailable"}  # fmt: skip
_MINUTE = 60.0
_PIECES = 10
_IDLE_TURNS = 5


class EndpointServer:
    """See the module. Use it as a context manager.

    reply                 Question -> text or ``Answer``; default: echo, or the smallest document of a schema
    latency               seconds, or Question -> seconds (see ``lognormal``)
    replica               instead of latencies: a model of a server that batches continuously (see ``Replica``)
    capacity              requests in flight above which it answers 429
    requests_per_minute   above which it answers 429; sent as ``x-ratelimit-*`` headers
    api_key               expected as a bearer token; anything else is a 401
    dimensions            length of an embedding
    keep                  whether to keep every ``Question`` in ``requests``
    """

    def __init__(  # noqa: PLR0913  one keyword per thing that can be scripted
        self,
        reply: Callable[[Question], str | Answer] | None = None,
        *,
        latency: float | Callable[[Question], float] = 0.0,
        replica: Replica | None = None,
        capacity: int | None = None,
        requests_per_minute: int | None = None,
        api_key: str | None = None,
        dimensions: int = 8,
        keep: bool = True,
        port: int = 0,
    ) -> None:
        """See the class."""
        self.reply = reply
        self.latency = latency
        self.replica = replica
        self.capacity = capacity
        self.requests_per_minute = requests_per_minute
        self.api_key = api_key
        self.dimensions = dimensions
        self.keep = keep
        self.requests: list[Question] = []
        self.calls = 0
        self.calls_by_prompt: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self.usage: Counter[str] = Counter()
        self.in_flight = 0
        self.peak_in_flight = 0
        self.arrivals_in_minute: list[float] = []
        self._port = port
        self._last_prompt = ""
        self._iterating: float | None = None
        self._numbers = itertools.count()
        self._loop = new_loop()
        self._thread = threading.Thread(
            target=self._run, name="aiquery-test-endpoint", daemon=True
        )
        self._ready = threading.Event()
        self._connections: set[_Connection] = set()

    # --- for the test ----------------------------------------------------------------------------------------------

    @property
    def base_url(self) -> str:
        """What goes into the configuration: ``http://127.0.0.1:PORT/v1``."""
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def prompts(self) -> list[str]:
        """The prompts in the order they arrived."""
        return [question.prompt for question in self.requests]

    def endpoint(self, **settings: object) -> dict[str, object]:
        """Return the configuration row of this endpoint, with ``settings`` added."""
        return {"provider": "openai", "base_url": self.base_url, **settings}

    def forget(self) -> None:
        """Start counting anew."""
        self.requests.clear()
        self.calls_by_prompt.clear()
        self.statuses.clear()
        self.calls = 0
        self.peak_in_flight = self.in_flight

    def __enter__(self) -> EndpointServer:  # noqa: PYI034  not made to be inherited from
        """Start serving."""
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *exception: object) -> None:
        """Close every connection and stop."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    # --- on the server's loop --------------------------------------------------------------------------------------

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            self._loop.create_server(
                lambda: _Connection(self), "127.0.0.1", self._port, backlog=4096
            )
        )
        self._port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        self._loop.run_until_complete(self._abort_all())
        self._loop.close()

    async def _abort_all(self) -> None:
        # A connection may be accepted already and not be known yet: the loop needs some turns to announce it, and
        # some more to let go of one that was aborted. uvloop can't be closed before.
        idle = 0
        while idle < _IDLE_TURNS:
            idle = 0 if self._connections else idle + 1
            for connection in list(self._connections):
                connection.reset()
            await asyncio.sleep(0.001)

    def receive(
        self, path: str, headers: dict[str, str], raw: bytes
    ) -> tuple[Question, Answer, dict[str, str]]:
        """Count a request and decide its answer and the headers to send with it."""
        question = Question(next(self._numbers), time.monotonic(), path, headers, raw)
        self.calls += 1
        self.in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
        self.calls_by_prompt[question.prompt] += 1
        if self.keep:
            self.requests.append(question)
        limit_headers, refused = self._rate_limit(question)
        if (
            self.api_key is not None
            and headers.get("authorization") != f"Bearer {self.api_key}"
        ):
            return question, Answer(status=401, latency_s=0), {}
        if refused or (self.capacity is not None and self.in_flight > self.capacity):
            return question, Answer(status=429, latency_s=0), limit_headers
        answer = self.reply(question) if self.reply is not None else Answer()
        return (
            question,
            Answer(text=answer) if isinstance(answer, str) else answer,
            limit_headers,
        )

    def _rate_limit(self, question: Question) -> tuple[dict[str, str], bool]:
        limit = self.requests_per_minute
        if limit is None:
            return {}, False
        recent = [at for at in self.arrivals_in_minute if at > question.at_s - _MINUTE]
        refused = len(recent) >= limit
        if not refused:
            recent.append(question.at_s)
        self.arrivals_in_minute = recent
        headers = {
            "x-ratelimit-limit-requests": str(limit),
            "x-ratelimit-remaining-requests": str(limit - len(recent)),
            "x-ratelimit-reset-requests": f"{recent[0] + _MINUTE - question.at_s:.3f}s",
        }
        if refused:
            headers["Retry-After"] = f"{recent[0] + _MINUTE - question.at_s:.3f}"
        return headers, refused

    def wait_s(self, question: Question, answer: Answer) -> float:
        """Return how long this answer takes, in seconds."""
        if answer.latency_s is not None:
            return answer.latency_s
        return self.latency(question) if callable(self.latency) else self.latency

    def begin(
        self, question: Question, answer: Answer, finish: Callable[[], None]
    ) -> None:
        """Call ``finish`` when the answer is due: after its latency, or when the replica has generated it."""
        if self.replica is not None and answer.latency_s is None:
            tokens_out = len(answer.text or question.prompt) // CHARACTERS_PER_TOKEN
            self.replica.arrive(
                self._loop.time(), finish, blocks(question.prompt), tokens_out
            )
            self._follow()
        elif (wait_s := self.wait_s(question, answer)) > 0:
            self._loop.call_later(wait_s, finish)
        else:
            finish()

    def _follow(self) -> None:
        ends_at = self.replica.ends_at if self.replica is not None else None
        if ends_at is not None and ends_at != self._iterating:
            self._iterating = ends_at
            self._loop.call_at(ends_at, self._iterate)

    def _iterate(self) -> None:
        for finish, _ in self.replica.advance() if self.replica is not None else ():
            finish()
        self._follow()

    def body(self, question: Question, answer: Answer) -> bytes:
        """Return the bytes of the reply."""
        if answer.body is not None:
            return answer.body
        if answer.status != 200:  # noqa: PLR2004
            message = answer.text or f"scripted {answer.status}"
            return msgspec.json.encode(
                {"error": {"message": message, "code": answer.status}}
            )
        if question.path.endswith("/models"):
            return msgspec.json.encode(
                {"object": "list", "data": [{"id": "test", "object": "model"}]}
            )
        if question.path.endswith("/stats"):
            return msgspec.json.encode(self.stats())
        shared = (
            _common_prefix(self._last_prompt, question.prompt) // CHARACTERS_PER_TOKEN
        )
        self._last_prompt = question.prompt
        cached = shared // BLOCK_TOKENS * BLOCK_TOKENS
        reply = document(question, answer, cached, self.dimensions)
        if (
            answer.cut_after is None and answer.content_length is None
        ):  # nobody learns what a reply cost that never comes
            usage = reply.get("usage", {})
            self.usage.update(
                {
                    name: tokens
                    for name, tokens in usage.items()
                    if isinstance(tokens, int)
                }
            )
            self.usage.update(usage.get("prompt_tokens_details", {}))
        return msgspec.json.encode(reply)

    def stats(self) -> dict[str, Any]:
        """Return what was counted: calls, distinct prompts, peak in flight, replies by status."""
        distinct = len(self.calls_by_prompt)
        statuses = {str(status): count for status, count in self.statuses.items()}
        return {
            "calls": self.calls,
            "distinct": distinct,
            "peak_in_flight": self.peak_in_flight,
            "statuses": statuses,
        }


class _Connection(asyncio.Protocol):
    """One client connection: requests one after another, each answered when its time has come."""

    def __init__(self, server: EndpointServer) -> None:
        self._server = server
        self._parser = httptools.HttpRequestParser(self)
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._server._connections.add(self)  # noqa: SLF001

    def connection_lost(self, _: Exception | None) -> None:
        self._server._connections.discard(self)  # noqa: SLF001

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.reset()

    # --- called by httptools

    def on_message_begin(self) -> None:
        self._url, self._headers, self._chunks = b"", {}, []  # type: tuple[bytes, dict[str, str], list[bytes]]

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._chunks.append(body)

    def on_message_complete(self) -> None:
        path = self._url.decode("latin-1")
        if path.endswith("/stats"):
            self._send(Question(-1, 0.0, path, {}, b""), Answer(), {})
            return
        question, answer, headers = self._server.receive(
            path, self._headers, b"".join(self._chunks)
        )
        if answer.fate == "silence":
            return
        self._server.begin(
            question, answer, partial(self._finish, question, answer, headers)
        )

    # --- replies

    def _finish(
        self, question: Question, answer: Answer, headers: dict[str, str]
    ) -> None:
        self._server.in_flight -= 1
        self._server.statuses[answer.status] += 1
        if answer.fate == "reset":
            self.reset()
        elif not self._transport.is_closing():
            self._send(question, answer, headers)

    def _send(
        self, question: Question, answer: Answer, headers: dict[str, str]
    ) -> None:
        body = self._server.body(question, answer)
        length = len(body) if answer.content_length is None else answer.content_length
        fields = {
            "Content-Type": "application/json",
            "Content-Length": str(length),
            **headers,
            **answer.headers,
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        head = f"HTTP/1.1 {answer.status} {_PHRASES.get(answer.status, 'Status')}\r\n{lines}\r\n".encode()
        if answer.cut_after is not None:
            self._transport.write(head + body[: answer.cut_after])
            self._loop.call_later(0.01, self.reset)
        elif answer.drip_s is not None:
            self._transport.write(head)
            self._drip(body, max(len(body) // _PIECES, 1), answer.drip_s)
        else:
            self._transport.write(head + body)
            if length > len(body):
                self._transport.close()

    def _drip(self, body: bytes, size: int, pause_s: float) -> None:
        if not self._transport.is_closing():
            self._transport.write(body[:size])
            if body[size:]:
                self._loop.call_later(pause_s, self._drip, body[size:], size, pause_s)

    def reset(self) -> None:
        """Close with RST."""
        self._transport.abort()


def _common_prefix(a: str, b: str) -> int:
    limit = min(len(a), len(b))
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        if a[:middle] == b[:middle]:
            low = middle
        else:
            high = middle - 1
    return low
