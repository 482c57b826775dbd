"""EndpointServer: a real HTTP server on loopback with OpenAI's API, which follows a script.

It runs in its own thread with its own event loop.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec

from aiquery.providers.fake import CHARACTERS_PER_TOKEN
from aiquery.runtime.event_loop import new_loop
from aiquery.testing.answer import Answer, Question
from aiquery.testing.client_connection import ClientConnection
from aiquery.testing.documents import (
    BLOCK_TOKENS,
    MODELS,
    build_document,
    build_error,
    count_common_characters,
    hash_blocks,
)
from aiquery.testing.formats import PATHS, is_known, stream_chat

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiquery.testing.replica import Replica

log = logging.getLogger(__name__)
_OK = 200
_LISTS = ("/models", "/stats")
"""Paths that ask nothing of a model: they are not counted."""

_MINUTE_S = 60.0
_BACKLOG = 4096
_IDLE_TURNS = 5
_TURN_S = 0.001


class EndpointServer:
    """A test endpoint, to use as a context manager. Its attributes count while it serves.

    Parameters
    ----------
    reply
        Returns the text or the ``Answer`` to a ``Question``; default: it echoes the prompt, or returns the
        smallest document of the schema, as it also does for None. An exception is a reply with HTTP 400.
    latency
        Seconds until the reply, or a function that returns them for a ``Question`` (see ``lognormal``).
    replica
        Instead of a latency: a server that batches continuously (see ``Replica``).
    capacity
        Requests in flight above which it answers 429.
    requests_per_minute
        Requests above which it answers 429; it sends ``x-ratelimit-*`` headers.
    api_key
        The bearer token that it expects; it answers 401 to any other.
    dimensions
        Length of an embedding.
    keep
        True: store every ``Question`` in ``requests``.
    port
        0: a free port.

    Attributes
    ----------
    requests
        The questions, in order of arrival.
    calls
        The number of requests.
    calls_by_prompt
        The number of requests by prompt.
    statuses
        The number of replies by HTTP status.
    usage
        The tokens of all replies.
    in_flight
        Requests in flight now.
    peak_in_flight
        The highest number of requests in flight.

    Examples
    --------
    >>> import aiquery
    >>> from aiquery.testing import EndpointServer
    >>> with EndpointServer(reply=lambda question: question.prompt.upper()) as server:
    ...     config = {"endpoints": {"m": server.endpoint()}}
    ...     with aiquery.connect(config=config) as con:
    ...         rows = con.sql("SELECT ai_query('m', 'hello')").fetchall()
    >>> rows, server.calls
    ([('HELLO',)], 1)
    """

    def __init__(  # noqa: PLR0913  one argument per behaviour
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
        """Create the server. It starts when the context is entered."""
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
        self.connections: set[ClientConnection] = set()
        self._port = port
        self._arrivals_in_minute: list[float] = []
        self._last_prompt = ""
        self._iteration_ends_at: float | None = None
        self._numbers = itertools.count()
        self._loop = new_loop()
        self._thread = threading.Thread(
            target=self._run, name="aiquery-test-endpoint", daemon=True
        )
        self._ready = threading.Event()

    # --- for the test

    @property
    def base_url(self) -> str:
        """The URL for the configuration: ``http://127.0.0.1:PORT/v1``."""
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def prompts(self) -> list[str]:
        """The prompts in order of arrival."""
        return [question.prompt for question in self.requests]

    def endpoint(self, **settings: object) -> dict[str, object]:
        """Return the configuration row of this endpoint, with ``settings`` added."""
        return {"provider": "openai", "base_url": self.base_url, **settings}

    def forget(self) -> None:
        """Reset the counts, except ``usage``."""
        self.requests.clear()
        self.calls_by_prompt.clear()
        self.statuses.clear()
        self.calls = 0
        self.peak_in_flight = self.in_flight

    def stats(self) -> dict[str, Any]:
        """Return the counts: calls, distinct prompts, peak in flight, replies by status."""
        statuses = {str(status): count for status, count in self.statuses.items()}
        return {
            "calls": self.calls,
            "distinct": len(self.calls_by_prompt),
            "peak_in_flight": self.peak_in_flight,
            "statuses": statuses,
        }

    def __enter__(self) -> EndpointServer:  # noqa: PYI034  it has no subclasses
        """Start serving."""
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *exception: object) -> None:
        """Close every connection and stop."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    # --- the thread

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        listening = self._loop.create_server(
            lambda: ClientConnection(self), "127.0.0.1", self._port, backlog=_BACKLOG
        )
        server = self._loop.run_until_complete(listening)
        self._port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        self._loop.run_until_complete(self._reset_all())
        self._loop.close()

    async def _reset_all(self) -> None:
        # A connection may be accepted without being registered yet: the loop needs several turns to
        # register it, and more to release one that was reset. uvloop cannot be closed before.
        idle_turns = 0
        while idle_turns < _IDLE_TURNS:
            idle_turns += 1
            if self.connections:
                idle_turns = 0
            for connection in list(self.connections):
                connection.reset()
            await asyncio.sleep(_TURN_S)

    # --- called by the connections, on the server's loop

    def receive(
        self, path: str, headers: dict[str, str], raw: bytes
    ) -> tuple[Question, Answer, dict[str, str]]:
        """Count a request; return it with its answer and the headers of the reply."""
        question = Question(
            number=next(self._numbers),
            at_s=time.monotonic(),
            path=path,
            headers=headers,
            raw=raw,
        )
        if path.partition("?")[0].endswith(_LISTS):
            self.in_flight += 1
            return question, Answer(latency_s=0), {}
        self.calls += 1
        self.in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
        self.calls_by_prompt[question.prompt] += 1
        if self.keep:
            self.requests.append(question)
        limit_headers = self._count_in_minute(question)
        is_throttled = "Retry-After" in limit_headers
        if not self._is_authorized(headers):
            return question, Answer(status=401, latency_s=0), {}
        if is_throttled or self._is_full():
            return question, Answer(status=429, latency_s=0), limit_headers
        answer = self._answer(question)
        is_scripted = answer != Answer()
        if not is_scripted and not is_known(path):
            message = (
                f"no such path: {path}. There are paths that end in {', '.join(PATHS)}"
            )
            answer = Answer(status=404, text=message)
        return question, answer, limit_headers

    def _answer(self, question: Question) -> Answer:
        if self.reply is None:
            return Answer()
        try:
            answer = self.reply(question)
        except Exception as error:
            log.exception("the reply function of the test endpoint failed")
            reason = f"the reply function raised {type(error).__name__}: {error}"
            return Answer(status=400, text=reason)
        if isinstance(answer, str):
            return Answer(text=answer)
        return answer or Answer()

    def _is_authorized(self, headers: dict[str, str]) -> bool:
        if self.api_key is None:
            return True
        return headers.get("authorization") == f"Bearer {self.api_key}"

    def _is_full(self) -> bool:
        return self.capacity is not None and self.in_flight > self.capacity

    def _count_in_minute(self, question: Question) -> dict[str, str]:
        """Count a request in the sliding minute, and return the headers of the reply.

        A request above the limit does not count. Its headers have ``Retry-After``.
        """
        limit = self.requests_per_minute
        if limit is None:
            return {}
        start = question.at_s - _MINUTE_S
        recent = [at for at in self._arrivals_in_minute if at > start]
        is_throttled = len(recent) >= limit
        if not is_throttled:
            recent.append(question.at_s)
        self._arrivals_in_minute = recent
        reset_s = recent[0] + _MINUTE_S - question.at_s
        headers = {
            "x-ratelimit-limit-requests": str(limit),
            "x-ratelimit-remaining-requests": str(limit - len(recent)),
            "x-ratelimit-reset-requests": f"{reset_s:.3f}s",
        }
        if is_throttled:
            headers["Retry-After"] = f"{reset_s:.3f}"
        return headers

    def schedule(
        self, question: Question, answer: Answer, finish: Callable[[], None]
    ) -> None:
        """Call ``finish`` when the answer is due: after its latency, or that of the replica."""
        if self.replica is not None and answer.latency_s is None:
            tokens_out = len(answer.text or question.prompt) // CHARACTERS_PER_TOKEN
            blocks = hash_blocks(question.prompt)
            self.replica.arrive(self._loop.time(), finish, blocks, tokens_out)
            self._schedule_iteration()
            return
        wait_s = self._wait_s(question, answer)
        if wait_s > 0:
            self._loop.call_later(wait_s, finish)
        else:
            finish()

    def _wait_s(self, question: Question, answer: Answer) -> float:
        if answer.latency_s is not None:
            return answer.latency_s
        return self.latency(question) if callable(self.latency) else self.latency

    def _schedule_iteration(self) -> None:
        ends_at = self.replica.ends_at if self.replica is not None else None
        if ends_at is not None and ends_at != self._iteration_ends_at:
            self._iteration_ends_at = ends_at
            self._loop.call_at(ends_at, self._end_iteration)

    def _end_iteration(self) -> None:
        if self.replica is not None:
            for finish, _ in self.replica.advance():
                finish()
        self._schedule_iteration()

    def finish(self, answer: Answer) -> None:
        """Count an answer that is due."""
        self.in_flight -= 1
        self.statuses[answer.status] += 1

    def encode(self, question: Question, answer: Answer) -> bytes:
        """Return the body of the reply."""
        if answer.body is not None:
            return answer.body
        reply = self._build_reply(question, answer)
        if "choices" in reply and question.body.get("stream"):
            options = question.body.get("stream_options") or {}
            return stream_chat(reply, with_usage=bool(options.get("include_usage")))
        return msgspec.json.encode(reply)

    def _build_reply(self, question: Question, answer: Answer) -> dict[str, Any]:
        if answer.status != _OK:
            return build_error(answer)
        if question.path.partition("?")[0].endswith("/models"):
            return MODELS
        if question.path.endswith("/stats"):
            return self.stats()
        common = count_common_characters(self._last_prompt, question.prompt)
        blocks = common // CHARACTERS_PER_TOKEN // BLOCK_TOKENS
        self._last_prompt = question.prompt
        reply = build_document(question, answer, blocks * BLOCK_TOKENS, self.dimensions)
        if answer.cut_after is None and answer.content_length is None:
            self._count_usage(reply)
        return reply

    def _count_usage(self, reply: dict[str, Any]) -> None:
        """Count the tokens of a reply that arrives whole."""
        usage = reply.get("usage", {})
        for name, tokens in usage.items():
            if isinstance(tokens, int):
                self.usage[name] += tokens
        self.usage.update(usage.get("prompt_tokens_details", {}))
