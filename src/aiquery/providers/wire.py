"""Wire: one open connection on which requests follow one another; parsed by httptools.

What is read of a reply is its status, the few headers that matter here, and its body.
"""

from __future__ import annotations

import asyncio
import re
import zlib
from typing import Any, NamedTuple

import httptools

BODY_LIMIT = 32 * 1024 * 1024
"""A reply of more bytes than this is an error, not an answer."""

KEEPALIVE_S = 30.0
"""A connection that was idle for longer is not used again: the other side may be about to close it."""

_KEPT = (
    b"retry-after", b"content-length", b"content-encoding", b"transfer-encoding", b"keep-alive",
    b"x-ratelimit-", b"ratelimit-", b"anthropic-ratelimit-",
)  # fmt: skip
_SWITCHING, _FINAL = 101, 200
_EMPTY = frozenset({204, 304})
"""Statuses of replies that have no body, whatever their headers say."""

_KEEP_ALIVE = re.compile(rb"\b(timeout|max)\s*=\s*\"?(\d+)")
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
"""zlib's code for: see from the first bytes which of the two it is."""


class HTTPResponse(NamedTuple):
    """Status, headers by lower-case name (only those that matter), body; whether headers name rate limits."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes
    names_limits: bool


class BadReply(Exception):
    """The bytes are no HTTP reply, or end before the reply does; the text says which."""


class ClosedBeforeReply(Exception):
    """The connection was closed, and no byte of a reply had come."""


class TooLong(Exception):
    """The reply is longer than ``BODY_LIMIT``."""


class HTTPConnection(asyncio.Protocol):
    """One connection. ``post`` is awaited by one request at a time; then ``is_open`` says whether for another.

    A reply belongs to the request that is alone on the connection. So whatever leaves that in doubt, bytes that nobody
    asked for, a body where there must be none, an end that is not clear, closes the connection.
    """

    def __init__(self, transport: asyncio.Transport, connection: Any) -> None:
        """Take over a transport that is connected."""
        self._transport = transport
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._reply: asyncio.Future[HTTPResponse] | None = None
        self.reusable = True
        self.was_used = False
        self.keep_s = KEEPALIVE_S
        self.sent_at = self.heard_at = 0.0
        transport.set_protocol(self)

    def post(self, head: bytes, body: bytes) -> asyncio.Future[HTTPResponse]:
        """Send one request and return its reply to come."""
        self._parser = httptools.HttpResponseParser(self)
        self._heard = False
        self._size = 0
        self.reusable = False
        self.sent_at = self.heard_at = self._loop.time()
        self._reply = reply = self._loop.create_future()
        if self._transport.is_closing():
            self.fail(ClosedBeforeReply("the connection was closed"))
        else:
            self._transport.write(b"%b%d\r\n\r\n%b" % (head, len(body), body))
        return reply

    @property
    def is_open(self) -> bool:
        """Say whether the other side still holds the connection, as far as is known."""
        return self.reusable and not self._transport.is_closing()

    def close(self) -> None:
        """Let go of the connection at once."""
        self.reusable = False
        self._transport.abort()
        self._connection.close()

    def fail(self, error: Exception) -> None:
        """End the reply that is waited for, if any, with an error."""
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(error)

    # --- called by the event loop

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        if self._reply is None or self._reply.done():
            self.close()  # bytes that nobody asked for
            return
        self.heard_at = self._loop.time()
        self._heard = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.reusable = (
                False  # also where the reply itself was complete: something follows it
            )
            self.fail(BadReply(f"the reply is not HTTP: {error}"))

    def eof_received(self) -> None:
        """See ``connection_lost``."""
        self.connection_lost(None)

    def connection_lost(self, error: Exception | None) -> None:
        """End what was on its way: with the reply, if it has no other end than this, else with an error."""
        if self._reply is not None and not self._reply.done():
            if not self._heard:
                self.fail(
                    ClosedBeforeReply(
                        str(error or "the connection was closed before a reply")
                    )
                )
            elif error is None and self._ends_with_stream:
                self.on_message_complete()
            else:
                self.fail(
                    error
                    or BadReply(
                        "the connection was closed before the reply was complete"
                    )
                )
        self.reusable = False

    # --- called by httptools

    def on_message_begin(self) -> None:
        """Begin a reply: the one that is waited for, the next after an interim one, or one that nobody asked for."""
        if self._reply is None or self._reply.done():
            self.reusable = False
            return
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._ends_with_stream = False
        self._names_limits = False
        self._status = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep what matters."""
        name = name.lower()
        if name.startswith(_KEPT):
            self._headers[name] = value
            self._names_limits = self._names_limits or name.startswith(b"x-")

    def on_headers_complete(self) -> None:
        """Note whether the body has an end of its own."""
        self._status = self._parser.get_status_code()
        encoding = self._headers.get(b"transfer-encoding")
        if encoding is None:
            if b"content-length" not in self._headers:
                self._ends_with_stream = (
                    self._status >= _FINAL and self._status not in _EMPTY
                )
        elif encoding.strip().lower() != b"chunked":
            self.fail(
                BadReply(
                    f"transfer coding {encoding.decode('latin-1')!r}, which nobody asked for"
                )
            )

    def on_body(self, body: bytes) -> None:
        """Collect the body, up to the limit."""
        self._size += len(body)
        self._body.append(body)
        if self._size > BODY_LIMIT:
            self._body.clear()
            self.fail(TooLong(f"the reply is longer than {BODY_LIMIT} bytes"))

    def on_message_complete(self) -> None:
        """Hand the reply over."""
        if self._reply is None or self._reply.done():
            return
        if self._status < _FINAL:
            if self._has_body() or self._status == _SWITCHING:
                self.fail(
                    BadReply(f"HTTP {self._status} is no reply to a request of ours")
                )
            return
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        if self._headers.get(b"content-encoding") in {b"gzip", b"deflate"}:
            try:
                body = zlib.decompress(body, _GZIP_OR_ZLIB)
            except zlib.error as error:
                self.fail(BadReply(f"the reply does not decompress: {error}"))
                return
        is_clear = not self._ends_with_stream and not (
            self._status in _EMPTY and self._has_body()
        )
        is_current = (
            self._parser.get_http_version() != "1.0"
        )  # where keeping a connection is an extension
        self.reusable = self._parser.should_keep_alive() and is_clear and is_current
        self.was_used = True
        if b"keep-alive" in self._headers:
            self._note_keep_alive(self._headers[b"keep-alive"])
        self._reply.set_result(
            HTTPResponse(self._status, self._headers, body, self._names_limits)
        )

    # ---

    def _has_body(self) -> bool:
        """Say whether the headers name a body, whether or not there may be one."""
        return (
            b"transfer-encoding" in self._headers
            or self._headers.get(b"content-length", b"0").strip() != b"0"
        )

    def _note_keep_alive(self, said: bytes) -> None:
        """Believe the other side how long it keeps an idle connection, and how many requests it still takes."""
        for name, value in _KEEP_ALIVE.findall(said):
            if name == b"max":
                self.reusable = self.reusable and int(value) > 0
            else:
                self.keep_s = min(
                    KEEPALIVE_S, 0.9 * int(value)
                )  # it may close a moment before we send
