"""One client connection of the test endpoint, on httptools and a plain asyncio protocol.

A plain protocol can break the rules of HTTP on purpose, and its cost (about 100 us per request) is
small beside that of the clients that it measures.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import httptools

from aiquery.testing.answer import Answer, Question

if TYPE_CHECKING:
    from collections.abc import Callable

_PHRASES = {
    200: "OK",
    307: "Temporary Redirect",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
_PIECES = 10
_RESET_DELAY_S = 0.01


class Server(Protocol):
    """What a connection needs of its server."""

    connections: set[ClientConnection]

    def receive(
        self, path: str, headers: dict[str, str], raw: bytes
    ) -> tuple[Question, Answer, dict[str, str]]:
        """Count a request; return it with its answer and the headers of the reply."""

    def schedule(
        self, question: Question, answer: Answer, finish: Callable[[], None]
    ) -> None:
        """Call ``finish`` when the answer is due."""

    def finish(self, answer: Answer) -> None:
        """Count an answer that is due."""

    def encode(self, question: Question, answer: Answer) -> bytes:
        """Return the body of the reply."""


class ClientConnection(asyncio.Protocol):
    """One connection. It answers each request when its answer is due."""

    def __init__(self, server: Server) -> None:
        """``server`` is called on the running loop."""
        self._server = server
        self._parser = httptools.HttpRequestParser(self)
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: Any) -> None:
        """Register the connection with the server."""
        self._transport = transport
        self._server.connections.add(self)

    def connection_lost(self, _: Exception | None) -> None:
        """Remove the connection from the server."""
        self._server.connections.discard(self)

    def data_received(self, data: bytes) -> None:
        """Parse received bytes; reset the connection if they are not HTTP."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.reset()

    def reset(self) -> None:
        """Close with RST."""
        self._transport.abort()

    # --- called by httptools

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._url = b""
        self._headers: dict[str, str] = {}
        self._chunks: list[bytes] = []

    def on_url(self, url: bytes) -> None:
        """Append a part of the URL."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Store a header."""
        key = name.decode("latin-1").lower()
        self._headers[key] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        """Store a part of the body."""
        self._chunks.append(body)

    def on_message_complete(self) -> None:
        """Schedule the answer of a request."""
        path = self._url.decode("latin-1")
        if path.endswith("/stats"):
            question = Question(number=-1, at_s=0.0, path=path, headers={}, raw=b"")
            self._send(question, Answer(), {})
            return
        body = b"".join(self._chunks)
        question, answer, headers = self._server.receive(path, self._headers, body)
        if answer.fate == "silence":
            return
        finish = partial(self._finish, question, answer, headers)
        self._server.schedule(question, answer, finish)

    # --- replies

    def _finish(
        self, question: Question, answer: Answer, headers: dict[str, str]
    ) -> None:
        self._server.finish(answer)
        if answer.fate == "reset":
            self.reset()
        elif not self._transport.is_closing():
            self._send(question, answer, headers)

    def _send(
        self, question: Question, answer: Answer, headers: dict[str, str]
    ) -> None:
        body = self._server.encode(question, answer)
        length = answer.content_length
        if length is None:
            length = len(body)
        if body.startswith(b"data: "):
            headers = {"Content-Type": "text/event-stream", **headers}
        head = _build_head(answer, headers, length)
        if answer.cut_after is not None:
            self._transport.write(head + body[: answer.cut_after])
            self._loop.call_later(_RESET_DELAY_S, self.reset)
        elif answer.drip_s is not None:
            self._transport.write(head)
            size = max(len(body) // _PIECES, 1)
            self._drip(body, size, answer.drip_s)
        else:
            self._transport.write(head + body)
            if length > len(body):
                self._transport.close()

    def _drip(self, body: bytes, size: int, pause_s: float) -> None:
        if self._transport.is_closing():
            return
        self._transport.write(body[:size])
        rest = body[size:]
        if rest:
            self._loop.call_later(pause_s, self._drip, rest, size, pause_s)


def _build_head(answer: Answer, headers: dict[str, str], length: int) -> bytes:
    fields = {
        "Content-Type": "application/json",
        "Content-Length": str(length),
        **headers,
        **answer.headers,
    }
    phrase = _PHRASES.get(answer.status, "Status")
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {answer.status} {phrase}\r\n{lines}\r\n".encode()
