"""The HTTP client of the providers. It raises every failure as the fitting ``RowError``.

aiohttp connects (names, TLS, proxies), httptools parses, and uvloop moves the bytes. A general
client creates a request object, headers, cookies, timers and a stream for every request, which cost
more than the rest of this project's client together (figures in benchmarks/README.md). Here the
head of a request is built once per URL. A request is one write and one reply on an
``HTTPConnection``.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol, TypeVar

import aiohttp
import msgspec
from aiohttp.helpers import strip_auth_from_url
from yarl import URL

from aiquery.config.credentials import AUTHORIZATION
from aiquery.errors import InvalidResponse, RequestFailed
from aiquery.limits import MAX_CONTAINERS, MAX_REPLY_BYTES
from aiquery.providers.http.connection import (
    ClosedBeforeReply,
    HTTPConnection,
    HTTPResponse,
    MalformedReply,
    ReplyTooLong,
)
from aiquery.providers.http.errors import (
    build_broken_error,
    build_connect_error,
    build_status_error,
    excerpt_body,
    raise_if_broken,
    unreachable,
)
from aiquery.providers.http.key_renewal import KeyRenewal
from aiquery.providers.http.lenient_reply import (
    IncompleteStream,
    UnreadableReply,
    read_leniently,
)
from aiquery.providers.http.proxies import find_proxy
from aiquery.providers.http.rate_limits import read_rate_limits
from aiquery.providers.http.redirects import MAX_REDIRECTS, REDIRECTS, find_target
from aiquery.providers.http.tls import build_tls_context
from aiquery.requests.parsing import has_too_many_containers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiquery.config.credentials import Credentials
    from aiquery.config.endpoint import Endpoint
    from aiquery.requests.request import RateLimits

    Sign = Callable[[URL, bytes], bytes]

NO_ERROR = msgspec.Raw(b"null")
"""The default of a reply's field ``error``."""


class _HasError(Protocol):
    error: msgspec.Raw


Document = TypeVar("Document", bound=_HasError)

_OK = 200
_ANSWERED = frozenset({200, 201, 202, 203})
_UNAUTHORIZED = 401
_HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "gzip, deflate",
    "Content-Type": "application/json",
    "User-Agent": "aiquery",
}
_CHECKS_PER_TIMEOUT = 20
_MIN_CHECK_S = 0.01
_LENGTH = b"Content-Length: "
"""The last header: its value is that of each request."""


class _Route:
    """What all requests to one URL share: the connection's target, and the head of the request."""

    def __init__(
        self,
        url: str,
        endpoint: Endpoint,
        credentials: Credentials,
        headers: Mapping[str, str],
    ) -> None:
        """Raise ``ValueError`` if ``url`` is not an HTTP URL."""
        parsed = URL(url)
        if parsed.scheme not in {"http", "https"}:
            raise ValueError("it must start with http:// or https://")
        proxy = None
        proxy_auth = None
        address = find_proxy(endpoint, parsed)
        if address is not None:
            proxy, proxy_auth = strip_auth_from_url(URL(address))
        self.url = url
        self.credentials = credentials
        self.request = aiohttp.ClientRequest(
            "POST",
            parsed,
            loop=asyncio.get_running_loop(),
            headers=headers,
            proxy=proxy,
            proxy_auth=proxy_auth,
            response_class=aiohttp.ClientResponse,
        )
        is_forwarded = proxy is not None and not self.request.is_ssl()
        target = url if is_forwarded else self.request.url.raw_path_qs
        lines = [f"POST {target} HTTP/1.1\r\n"]
        for name, value in self.request.headers.items():
            if name != "Content-Length":
                lines.append(f"{name}: {value}\r\n")
        if is_forwarded and proxy_auth is not None:
            lines.append(f"Proxy-Authorization: {proxy_auth.encode()}\r\n")
        self.start = "".join(lines).encode()
        self.head = self.start + _LENGTH


class HTTPClient:
    """POSTs JSON to one endpoint. It follows redirects to the same server only: a key never leaves its host.

    ``rate_limits`` are the limits that the last reply named; None: the endpoint names none.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        credentials: Credentials,
        *,
        key_header: str = AUTHORIZATION,
        headers: Mapping[str, str] | None = None,
        sign: Sign | None = None,
    ) -> None:
        """Create the connection pool on the running loop. Raises ``ConfigError``.

        key_header   the header of the key; in Authorization it is a bearer token
        headers      sent with every request, unless the endpoint has other ones of the same names
        sign         returns further header lines of a request, from its URL and its body
        """
        timeout = endpoint.timeout
        find_proxy(
            endpoint, URL(endpoint.base_url or "")
        )  # an error is the statement's
        self.endpoint = endpoint
        self.rate_limits: RateLimits | None = None
        self._renewal = KeyRenewal(endpoint, credentials)
        self._key_header = key_header
        self._sign = sign
        self._headers = {**_HEADERS, **(headers or {})}
        self._timeout = aiohttp.ClientTimeout(sock_connect=timeout.connect_s)
        self._connect_s = min(timeout.connect_s + timeout.read_s, timeout.attempt_s)
        self._connector = aiohttp.TCPConnector(
            limit=0, ssl=build_tls_context(endpoint), keepalive_timeout=30
        )
        self._loop = asyncio.get_running_loop()
        self._routes: dict[str, _Route] = {}
        self._idle: list[HTTPConnection] = []
        self._busy: set[HTTPConnection] = set()
        self._has_connected = False
        self._closed_before_reply: set[int] = set()
        """Hashes of the requests that were sent on a connection which closed before a reply."""
        self._timer: asyncio.TimerHandle | None = None
        shortest_s = min(timeout.read_s, timeout.attempt_s)
        self._check_s = max(shortest_s / _CHECKS_PER_TIMEOUT, _MIN_CHECK_S)

    async def post(
        self,
        url: str,
        payload: dict[str, object],
        document_type: type[Document],
        max_reply_bytes: int = MAX_REPLY_BYTES,
        received: dict[bytes, bytes] | None = None,
    ) -> Document:
        """Return the reply as a ``document_type``, which has a field ``error``.

        ``received`` gets the relevant headers of the reply. Raises ``RowError``.
        """
        route = self._routes.get(url) or self._add_route(url)
        body = _encode(payload)
        reply = await self._send(route, body, max_reply_bytes)
        if reply.status == _UNAUTHORIZED and await self._has_new_key(route):
            route = self._routes.get(url) or self._add_route(url)
            reply = await self._send(route, body, max_reply_bytes)
        if reply.status in REDIRECTS:
            reply = await self._follow(route.url, reply, body, max_reply_bytes)
        if reply.has_rate_limits:
            self.rate_limits = read_rate_limits(reply.headers)
        if received is not None:
            received.update(reply.headers)
        if reply.status not in _ANSWERED:
            raise build_status_error(reply)
        document = self._decode(reply.body, document_type)
        error = getattr(document, "error", NO_ERROR)  # a list has none
        if error is not NO_ERROR:
            raise_if_broken(error)
        return document

    async def close(self) -> None:
        """Close the connections."""
        if self._timer is not None:
            self._timer.cancel()
        for connection in (*self._idle, *self._busy):
            connection.close()
        self._idle.clear()
        await self._connector.close()

    async def _follow(
        self, url: str, reply: HTTPResponse, body: bytes, max_reply_bytes: int
    ) -> HTTPResponse:
        """Send a request to where the redirect in ``reply`` leads, and return the reply."""
        for _ in range(MAX_REDIRECTS):
            url = find_target(reply, url)
            route = self._routes.get(url) or self._add_route(url)
            reply = await self._send(route, body, max_reply_bytes)
            if reply.status not in REDIRECTS:
                return reply
        message = f"more than {MAX_REDIRECTS} redirects, the last one to {url}"
        raise RequestFailed(message, status=reply.status).mark_fatal()

    async def _has_new_key(self, rejected: _Route) -> bool:
        """Return True if a request that got HTTP 401 can be sent with another key."""
        if not await self._renewal.renew(rejected.credentials):
            return False
        if self._routes.get(rejected.url) is rejected:
            self._routes.clear()
        return True

    # --- sending

    async def _send(
        self, route: _Route, body: bytes, max_reply_bytes: int
    ) -> HTTPResponse:
        """Send a request on an idle or a new connection and return the reply.

        A request that was sent on an idle connection which closed before a reply uses a new
        connection in its next attempt.
        """
        needs_new = False
        if self._closed_before_reply:
            needs_new = hash(body) in self._closed_before_reply
            self._closed_before_reply.discard(hash(body))
        connection = None if needs_new else self._take_idle()
        if connection is None:
            connection = await self._connect(route)
        was_used = connection.was_used
        try:
            return await self._exchange(connection, route, body, max_reply_bytes)
        except ClosedBeforeReply as error:
            failed = build_broken_error(route.url, error)
            failed.sendable_again = was_used
            if was_used:
                self._closed_before_reply.add(hash(body))
            raise failed from None

    def _take_idle(self) -> HTTPConnection | None:
        now = self._loop.time()
        while self._idle:
            connection = self._idle.pop()
            idle_s = now - connection.received_at
            if connection.is_open and idle_s < connection.max_idle_s:
                return connection
            connection.close()
        return None

    async def _connect(self, route: _Route) -> HTTPConnection:
        """Return a new connection. Raises ``RequestFailed``."""
        try:
            # Names, TLS and a proxy's reply included.
            async with asyncio.timeout(self._connect_s):
                connection = await self._connector.connect(
                    route.request, [], self._timeout
                )
        except TimeoutError:
            timeouts = _describe_timeouts(self.endpoint)
            message = f"{route.url}: no connection in time ({timeouts})"
            raise unreachable(message) from None
        except (aiohttp.ClientError, OSError) as error:
            raise build_connect_error(
                route.url, error, has_connected=self._has_connected
            ) from None
        self._has_connected = True
        transport = connection.transport
        if transport is None:
            raise unreachable(f"{route.url}: the connection was closed at once")
        return HTTPConnection(transport, connection)

    async def _exchange(
        self,
        connection: HTTPConnection,
        route: _Route,
        body: bytes,
        max_reply_bytes: int,
    ) -> HTTPResponse:
        """Send on a connection and return the reply. Returns the connection to the pool."""
        self._busy.add(connection)
        self._start_timer()
        try:
            head = route.head
            if self._sign is not None:
                lines = self._sign(route.request.url, body)
                head = b"".join((route.start, lines, _LENGTH))
            return await connection.post(head, body, max_reply_bytes)
        except TimeoutError:
            timeouts = _describe_timeouts(self.endpoint)
            message = f"{route.url}: no reply in time ({timeouts})"
            raise RequestFailed(message, retryable=True) from None
        except ReplyTooLong as error:
            raise InvalidResponse(str(error), status=_OK) from None
        except (MalformedReply, OSError) as error:
            raise build_broken_error(route.url, error) from None
        finally:
            self._busy.discard(connection)
            if connection.is_open:
                self._idle.append(connection)
            else:
                connection.close()

    def _add_route(self, url: str) -> _Route:
        try:
            credentials = self._renewal.credentials
            revealed = credentials.reveal_headers(self._key_header)
            headers = {**self._headers, **revealed}
            route = _Route(url, self.endpoint, credentials, headers)
        except ValueError as error:
            raise RequestFailed(
                f"{url!r} is not a URL ({error}); check base_url"
            ) from None
        self._routes[url] = route
        return route

    def _decode(
        self, body: bytes | bytearray, document_type: type[Document]
    ) -> Document:
        if has_too_many_containers(body):
            raise InvalidResponse(
                f"the reply has more than {MAX_CONTAINERS} objects and arrays",
                status=_OK,
            )
        try:
            return msgspec.json.decode(body, type=document_type)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._decode_leniently(body, document_type)

    def _decode_leniently(
        self, body: bytes | bytearray, document_type: type[Document]
    ) -> Document:
        try:
            return read_leniently(body, document_type)
        except RecursionError:
            raise InvalidResponse(
                "the JSON of the reply is nested too deep", status=_OK
            ) from None
        except IncompleteStream as error:
            raise InvalidResponse(str(error), retryable=True, status=_OK) from None
        except UnreadableReply as error:
            shown = excerpt_body(body)
            raise InvalidResponse(
                f"the reply cannot be read ({error}): {shown!r}",
                retryable=True,
                status=_OK,
            ) from None

    # --- timeouts

    def _start_timer(self) -> None:
        """Check all timeouts with one timer: a timer per request costs more than the request."""
        if self._timer is None:
            self._timer = self._loop.call_later(self._check_s, self._check_timeouts)

    def _check_timeouts(self) -> None:
        self._timer = None
        now = self._loop.time()
        timeout = self.endpoint.timeout
        for connection in self._busy:
            is_silent = now - connection.received_at > timeout.read_s
            if is_silent or now - connection.sent_at > timeout.attempt_s:
                connection.fail(TimeoutError())
        if self._busy:
            self._start_timer()


def _encode(payload: dict[str, object]) -> bytes:
    try:
        return msgspec.json.encode(payload)
    except UnicodeEncodeError:
        raise RequestFailed(
            "the text holds lone surrogates, which UTF-8 cannot carry; clean it first"
        ) from None


def _describe_timeouts(endpoint: Endpoint) -> str:
    timeout = endpoint.timeout
    return (
        f"connect {timeout.connect_s:g} s, read {timeout.read_s:g} s, "
        f"attempt {timeout.attempt_s:g} s"
    )
