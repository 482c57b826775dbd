"""One open HTTP connection, on which requests follow one another. httptools parses the replies.

Of a reply it reads the status, the relevant headers and the body.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any, NamedTuple

import httptools

from aiquery.limits import MAX_HEADER_BYTES, MAX_REPLY_BYTES
from aiquery.providers.http.content_encoding import (
    Decompressor,
    DoesNotDecompress,
    UnknownEncoding,
    find_decompressor,
)

MAX_IDLE_S = 30.0
"""A connection that was idle for longer is not used again: the server may be about to close it."""

_RELEVANT_HEADERS = (
    b"retry-after",
    b"location",
    b"content-length",
    b"content-encoding",
    b"transfer-encoding",
    b"keep-alive",
    b"x-ratelimit-",
    b"ratelimit-",
    b"anthropic-ratelimit-",
    b"x-amzn-bedrock-input-token-count",
)
"""The beginnings of the headers that a response has."""

_RATE_LIMITS = (b"x-ratelimit-", b"anthropic-ratelimit-")
_SWITCHING_PROTOCOLS = 101
_MIN_FINAL_STATUS = 200
_STATUSES_WITHOUT_BODY = frozenset({204, 304})
_KEEP_ALIVE = re.compile(rb"\b(timeout|max)\s*=\s*\"?(\d{1,9})")
_KEEP_ALIVE_SHARE = 0.9
"""Share of the server's idle timeout after which a connection is not used again."""

_CHUNK_OVERHEAD = 64
"""Bytes around one piece of a body that do not count as headers."""


class HTTPResponse(NamedTuple):
    """One reply.

    headers           the relevant headers, by name in lower case
    has_rate_limits   True if the headers name rate limits
    """

    status: int
    headers: dict[bytes, bytes]
    body: bytes | bytearray
    has_rate_limits: bool


class MalformedReply(Exception):
    """The bytes are not an HTTP reply, or end before the reply does."""


class ClosedBeforeReply(Exception):
    """The connection closed before the first byte of a reply."""


class ReplyTooLong(Exception):
    """The body or the headers of the reply are longer than the limit."""


class HTTPConnection(asyncio.Protocol):
    """One connection, used by one request at a time.

    A reply belongs to the request that is alone on the connection. Anything that makes this
    doubtful closes the connection: bytes without a request, a body where none is allowed, or a
    reply without a clear end.

    is_reusable   True if the connection may take another request
    was_used      True after the first reply
    max_idle_s    how long it may be idle, in seconds
    sent_at, received_at    when the last request was sent, and when the last bytes came, on the
                            loop's clock
    """

    def __init__(self, transport: asyncio.Transport, connection: Any) -> None:
        """Take over ``transport``, which is connected; ``connection`` is aiohttp's, to close it."""
        self._transport = transport
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._reply: asyncio.Future[HTTPResponse] | None = None
        self.is_reusable = True
        self.was_used = False
        self.max_idle_s = MAX_IDLE_S
        self.sent_at = 0.0
        self.received_at = 0.0
        transport.set_protocol(self)

    def post(
        self, head: bytes, body: bytes, max_reply_bytes: int = MAX_REPLY_BYTES
    ) -> asyncio.Future[HTTPResponse]:
        """Send one request and return the future of its reply.

        ``head`` ends with the name of the header Content-Length. A reply whose body is longer than
        ``max_reply_bytes`` is an error.
        """
        now = self._loop.time()
        reply = self._loop.create_future()
        self._parser = httptools.HttpResponseParser(self)
        self._max_reply_bytes = max_reply_bytes
        self._received = 0
        self._body_received = 0
        self._pieces = 0
        self._reply = reply
        self.is_reusable = False
        self.sent_at = now
        self.received_at = now
        if self._transport.is_closing():
            self.fail(ClosedBeforeReply("the connection was closed"))
        else:
            self._transport.write(b"%b%d\r\n\r\n%b" % (head, len(body), body))
        return reply

    @property
    def is_open(self) -> bool:
        """True if the connection may take another request and has not closed."""
        return self.is_reusable and not self._transport.is_closing()

    def close(self) -> None:
        """Close the connection at once."""
        self.is_reusable = False
        self._transport.abort()
        self._connection.close()

    def fail(self, error: Exception) -> None:
        """End the current request, if there is one, with an error."""
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(error)

    # --- called by the event loop

    def data_received(self, data: bytes) -> None:
        """Parse received bytes. Bytes without a request close the connection."""
        if self._reply is None or self._reply.done():
            self.close()
            return
        self.received_at = self._loop.time()
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            # The reply itself may be complete: then other bytes follow it.
            self.is_reusable = False
            self.fail(MalformedReply(f"the reply is not HTTP: {error}"))
        around_body = self._received - self._body_received
        if around_body > MAX_HEADER_BYTES + _CHUNK_OVERHEAD * self._pieces:
            self.is_reusable = False
            reason = (
                f"the headers of the reply are longer than {MAX_HEADER_BYTES} bytes"
            )
            self.fail(ReplyTooLong(reason))

    def eof_received(self) -> None:
        """End the reply: the server sends no more bytes."""
        self.connection_lost(None)

    def connection_lost(self, error: Exception | None) -> None:
        """End the current request: with its reply if the reply ends with the connection."""
        if self._reply is not None and not self._reply.done():
            self._end_reply(error)
        self.is_reusable = False

    def _end_reply(self, error: Exception | None) -> None:
        if not self._received:
            reason = str(error or "the connection was closed before a reply")
            self.fail(ClosedBeforeReply(reason))
        elif error is not None:
            self.fail(error)
        elif self._ends_with_stream:
            self.on_message_complete()
        else:
            reason = "the connection was closed before the reply was complete"
            self.fail(MalformedReply(reason))

    # --- called by httptools

    def on_message_begin(self) -> None:
        """Begin a reply: to the current request, after an interim reply, or without a request."""
        if self._reply is None or self._reply.done():
            self.is_reusable = False
            return
        self._headers: dict[bytes, bytes] = {}
        self._body = bytearray()
        self._decompressor: Decompressor | None = None
        self._ends_with_stream = False
        self._has_rate_limits = False
        self._status = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """Store a relevant header."""
        name = name.lower()
        if name.startswith(_RELEVANT_HEADERS):
            self._headers[name] = value
            self._has_rate_limits |= name.startswith(_RATE_LIMITS)

    def on_headers_complete(self) -> None:
        """Determine where the body ends."""
        self._status = self._parser.get_status_code()
        if b"content-encoding" in self._headers:
            self._set_decompressor(self._headers[b"content-encoding"])
        encoding = self._headers.get(b"transfer-encoding")
        if encoding is None:
            if b"content-length" not in self._headers:
                is_final = self._status >= _MIN_FINAL_STATUS
                may_have_body = self._status not in _STATUSES_WITHOUT_BODY
                self._ends_with_stream = is_final and may_have_body
        elif encoding.strip().lower() != b"chunked":
            coding = encoding.decode("latin-1")
            reason = f"transfer coding {coding!r}, which the request does not accept"
            self.fail(MalformedReply(reason))

    def _set_decompressor(self, encoding: bytes) -> None:
        try:
            self._decompressor = find_decompressor(encoding)
        except UnknownEncoding as error:
            self.fail(MalformedReply(str(error)))

    def on_body(self, body: bytes) -> None:
        """Store a part of the body, decompressed, up to the limit."""
        self._body_received += len(body)
        self._pieces += 1
        if self._reply is None or self._reply.done():
            return
        if self._decompressor is None:
            self._body += body
        else:
            self._decompress(self._decompressor, body)
        if max(len(self._body), self._body_received) > self._max_reply_bytes:
            self._body.clear()
            reason = f"the reply is longer than {self._max_reply_bytes} bytes"
            self.fail(ReplyTooLong(reason))

    def _decompress(self, decompressor: Decompressor, body: bytes) -> None:
        """Decompress a part of the body, to one byte more than the limit at most."""
        room = self._max_reply_bytes + 1 - len(self._body)
        try:
            self._body += decompressor.decompress(body, room)
        except DoesNotDecompress as error:
            self.fail(MalformedReply(f"the reply does not decompress: {error}"))

    def on_message_complete(self) -> None:
        """End the current request with its reply."""
        if self._reply is None or self._reply.done():
            return
        if self._status < _MIN_FINAL_STATUS:
            self._check_interim()
            return
        if self._decompressor is not None and not self._decompressor.is_complete:
            reason = "the reply does not decompress: its end is missing"
            self.fail(MalformedReply(reason))
            return
        self._update_reuse()
        self.was_used = True
        self._reply.set_result(
            HTTPResponse(self._status, self._headers, self._body, self._has_rate_limits)
        )

    # ---

    def _check_interim(self) -> None:
        """Accept an interim reply, which the final one follows, if it has no body."""
        if self._has_body() or self._status == _SWITCHING_PROTOCOLS:
            reason = f"HTTP {self._status} does not answer the request"
            self.fail(MalformedReply(reason))

    def _has_body(self) -> bool:
        """Return True if the headers announce a body, allowed or not."""
        if b"transfer-encoding" in self._headers:
            return True
        return self._headers.get(b"content-length", b"0").strip() != b"0"

    def _update_reuse(self) -> None:
        """Determine whether, and for how long, the connection may take another request."""
        has_extra_body = self._status in _STATUSES_WITHOUT_BODY and self._has_body()
        has_clear_end = not self._ends_with_stream and not has_extra_body
        # Keeping the connection is an extension of HTTP 1.0.
        is_current = self._parser.get_http_version() != "1.0"
        may_keep = self._parser.should_keep_alive()
        self.is_reusable = may_keep and has_clear_end and is_current
        if b"keep-alive" in self._headers:
            self._read_keep_alive(self._headers[b"keep-alive"])

    def _read_keep_alive(self, header: bytes) -> None:
        """Read how long the server keeps an idle connection, and the requests that it accepts."""
        for name, value in _KEEP_ALIVE.findall(header):
            if name == b"max":
                self.is_reusable = self.is_reusable and int(value) > 0
            else:
                idle_s = _KEEP_ALIVE_SHARE * int(value)
                self.max_idle_s = min(MAX_IDLE_S, idle_s)
