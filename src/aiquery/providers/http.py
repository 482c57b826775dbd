"""HTTP for the providers that need it, and every failure as the right ``RowError``.

aiohttp connects (names, TLS, proxies), httptools parses, uvloop carries. What lies between in a general client (a
request object, headers, cookies, timers and a stream for every request) cost more than the rest of the client together
(figures in benchmarks/README.md). Here the head of a request is built once per URL, and a request is one write and one
reply on a ``HTTPConnection``.
"""

from __future__ import annotations

import asyncio
import math
import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol, TypeVar

import aiohttp
import msgspec
from aiohttp.helpers import strip_auth_from_url
from yarl import URL

from aiquery.errors import ConfigError, InvalidResponse, RequestFailed, excerpt
from aiquery.providers.for_good import says_for_good
from aiquery.providers.too_long import too_long
from aiquery.providers.waits import wait_s
from aiquery.providers.wire import (
    BadReply,
    ClosedBeforeReply,
    HTTPConnection,
    HTTPResponse,
    TooLong,
)
from aiquery.requests.request import RateLimits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiquery.config.endpoint import Endpoint
    from aiquery.config.environment import Credentials


class _HasError(Protocol):
    error: object


Document = TypeVar("Document", bound=_HasError)

REFUSED = frozenset({429, 503, 529})
"""HTTP statuses by which an endpoint says that it takes no request at all right now."""

UNAVAILABLE = REFUSED | {502, 504}
"""HTTP statuses by which an endpoint, or a proxy before it, says that nobody is there to answer."""

RETRYABLE = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
"""HTTP statuses after which another attempt may end better; no other 4xx is ever retried."""

FOR_EVERYBODY = frozenset({401, 402, 403, 404, 405, 407, 410})
"""HTTP statuses that every request would get, as far as is known."""

_HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "gzip, deflate",
    "Content-Type": "application/json",
    "User-Agent": "aiquery",
}


class _Route:
    """What is the same for every request to one URL: where it connects to, and the head of its bytes."""

    def __init__(self, url: str, endpoint: Endpoint, headers: dict[str, str]) -> None:
        loop = asyncio.get_running_loop()
        proxy, password = (
            strip_auth_from_url(URL(endpoint.proxy)) if endpoint.proxy else (None, None)
        )
        if URL(url).scheme not in {"http", "https"}:
            raise ValueError("it must start with http:// or https://")
        self.request = aiohttp.ClientRequest(
            "POST", URL(url), loop=loop, headers=headers, proxy=proxy, proxy_auth=password,
            response_class=aiohttp.ClientResponse,
        )  # fmt: skip
        self.url = url
        through = proxy is not None and not self.request.is_ssl()
        target = url if through else self.request.url.raw_path_qs
        fields = [
            (name, value)
            for name, value in self.request.headers.items()
            if name != "Content-Length"
        ]
        if through and password is not None:
            fields.append(("Proxy-Authorization", password.encode()))
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
        self.head = f"POST {target} HTTP/1.1\r\n{lines}Content-Length: ".encode()


class HTTPClient:
    """POSTs JSON to one endpoint. Redirects are not followed, so that a key never leaves its host."""

    def __init__(self, endpoint: Endpoint, credentials: Credentials) -> None:
        """Make the connection pool on the running loop."""
        timeout = endpoint.timeout
        self.endpoint = endpoint
        password = URL(endpoint.proxy).password if endpoint.proxy else None
        self._secrets = [
            value
            for value in (credentials.key, password, *credentials.headers.values())
            if value
        ]
        self._headers = {**_HEADERS, **credentials.headers}
        if credentials.key:
            self._headers["Authorization"] = f"Bearer {credentials.key}"
        self._timeout = aiohttp.ClientTimeout(sock_connect=timeout.connect_s)
        self._connector = aiohttp.TCPConnector(
            limit=0, ssl=_tls(endpoint), keepalive_timeout=30
        )
        self._routes: dict[str, _Route] = {}
        self._loop = asyncio.get_running_loop()
        self._idle: list[HTTPConnection] = []
        self._has_connected = False
        self._met_closed: set[int] = set()  # hashes of requests
        self._busy: set[HTTPConnection] = set()
        self._watching: asyncio.TimerHandle | None = None
        self._watch_s = max(min(timeout.read_s, timeout.attempt_s) / 20, 0.01)
        self.rate_limits: RateLimits | None = None

    async def post(
        self, url: str, payload: dict[str, object], kind: type[Document]
    ) -> Document:
        """Return the reply decoded into ``kind``, which has a field ``error``, or raise the row's error."""
        reply = await self._send(
            self._routes.get(url) or self._route(url), _encode(payload)
        )
        if reply.names_limits:
            self.rate_limits = rate_limits(reply.headers)
        if reply.status != 200:  # noqa: PLR2004
            raise self._status_error(reply)
        document = self._decode(reply.body, kind)
        if document.error:
            raise InvalidResponse(
                f"error object in a reply with HTTP 200: {self._detail(document.error)}",
                status=200,
            )
        return document

    async def _send(self, route: _Route, body: bytes) -> HTTPResponse:
        """Send; a request that met a kept connection which was closed goes out on a fresh one when it comes again."""
        wants_fresh = False
        if self._met_closed:
            wants_fresh = hash(body) in self._met_closed
            self._met_closed.discard(hash(body))
        wire = (None if wants_fresh else self._idle_wire()) or await self._connect(
            route
        )
        was_kept = wire.was_used
        try:
            return await self._exchange(wire, route, body)
        except ClosedBeforeReply as error:
            broken = self._broken(route, error)
            broken.sendable_again = was_kept
            if was_kept:
                self._met_closed.add(hash(body))
            raise broken from None

    async def _connect(self, route: _Route) -> HTTPConnection:
        """Return a fresh connection, or raise the row's error."""
        try:
            connection = await self._connector.connect(route.request, [], self._timeout)
        except aiohttp.ClientConnectorCertificateError as error:
            why = f"the TLS certificate of {route.url} was not accepted: {error.certificate_error}"
            raise RequestFailed(why).for_everybody() from None
        except aiohttp.ClientConnectorSSLError as error:
            raise self._no_tls(route, error) from None
        except aiohttp.ClientConnectorDNSError as error:
            raise self._no_address(route, error) from None
        except aiohttp.ClientHttpProxyError as error:
            raise self._no_tunnel(route, error) from None
        except aiohttp.ClientConnectorError as error:
            busy = _unreachable(f"{route.url}: cannot connect: {error.os_error}")
            busy.sendable_again = True
            raise busy from None
        except TimeoutError:
            raise _unreachable(
                f"{route.url}: no connection in time ({_limits(self.endpoint)})"
            ) from None
        except (aiohttp.ClientError, OSError) as error:
            raise self._broken(route, error) from None
        self._has_connected = True
        transport = connection.transport
        if transport is None:
            raise _unreachable(f"{route.url}: the connection was closed at once")
        return HTTPConnection(transport, connection)

    def _no_address(
        self, route: _Route, error: aiohttp.ClientConnectorDNSError
    ) -> RequestFailed:
        """Return the error of a name that does not resolve: for good, unless it did before."""
        message = f"{route.url}: the host name does not resolve"
        if self._has_connected:
            return _unreachable(message)
        return RequestFailed(f"{message} ({error.os_error})").for_everybody()

    def _no_tls(
        self, route: _Route, error: aiohttp.ClientConnectorSSLError
    ) -> RequestFailed:
        """Return the error of a connection that does not speak TLS as we do: for good, unless it did before."""
        message = f"{route.url}: no TLS connection: {error.os_error}"
        return (
            _unreachable(message)
            if self._has_connected
            else RequestFailed(message).for_everybody()
        )

    def _no_tunnel(
        self, route: _Route, error: aiohttp.ClientHttpProxyError
    ) -> RequestFailed:
        message = f"{route.url}: the proxy refuses: HTTP {error.status} {error.message}"
        if error.status in RETRYABLE:
            return RequestFailed(
                message, retryable=True, unavailable=True, status=error.status
            )
        return RequestFailed(message, status=error.status).for_everybody()

    def _broken(self, route: _Route, error: Exception) -> RequestFailed:
        reason = str(error) or type(error).__name__
        return RequestFailed(
            f"{route.url}: {excerpt(self._clean(reason))}",
            retryable=True,
            unavailable=True,
        )

    async def _exchange(
        self, wire: HTTPConnection, route: _Route, body: bytes
    ) -> HTTPResponse:
        """Send on a connection and return the reply; keep the connection, if it may be used again."""
        self._busy.add(wire)
        self._watch()
        try:
            return await wire.post(route.head, body)
        except TimeoutError:
            raise RequestFailed(
                f"{route.url}: no reply in time ({_limits(self.endpoint)})",
                retryable=True,
            ) from None
        except TooLong as error:
            raise InvalidResponse(str(error), status=200) from None
        except (BadReply, OSError) as error:
            raise self._broken(route, error) from None
        finally:
            self._busy.discard(wire)
            if wire.is_open:
                self._idle.append(wire)
            else:
                wire.close()

    def _idle_wire(self) -> HTTPConnection | None:
        now = self._loop.time()
        while self._idle:
            wire = self._idle.pop()
            if wire.is_open and now - wire.heard_at < wire.keep_s:
                return wire
            wire.close()
        return None

    def _watch(self) -> None:
        """Let one timer look after all timeouts, since a timer per request costs more than the request's own work."""
        if self._watching is None:
            self._watching = self._loop.call_later(self._watch_s, self._look)

    def _look(self) -> None:
        self._watching = None
        now, timeout = self._loop.time(), self.endpoint.timeout
        for wire in self._busy:
            if (
                now - wire.heard_at > timeout.read_s
                or now - wire.sent_at > timeout.attempt_s
            ):
                wire.fail(TimeoutError())
        if self._busy:
            self._watch()

    def _route(self, url: str) -> _Route:
        try:
            route = self._routes[url] = _Route(url, self.endpoint, self._headers)
        except ValueError as error:
            raise RequestFailed(
                f"{url!r} is no URL ({error}); check base_url"
            ) from None
        return route

    def _decode(self, body: bytes, kind: type[Document]) -> Document:
        try:
            return msgspec.json.decode(body, type=kind)
        except msgspec.ValidationError as error:
            raise InvalidResponse(
                f"the reply is not of the expected form: {error}", status=200
            ) from None
        except (msgspec.DecodeError, UnicodeDecodeError):
            shown = excerpt(self._clean(body[:1000].decode("utf-8", "replace")))
            raise InvalidResponse(
                f"the reply is not JSON: {shown!r}", retryable=True, status=200
            ) from None

    def _status_error(self, reply: HTTPResponse) -> RequestFailed:
        document: object = None
        try:
            document = msgspec.json.decode(reply.body)
            detail = self._detail(document)
        except (msgspec.DecodeError, UnicodeDecodeError):
            detail = excerpt(self._clean(reply.body[:1000].decode("utf-8", "replace")))
        certainly = says_for_good(document)
        if certainly or reply.status in FOR_EVERYBODY:
            error = RequestFailed(
                f"HTTP {reply.status}: {detail or 'no detail'}",
                status=reply.status,
            )
            return error.for_everybody(1) if certainly else error.for_everybody()
        return RequestFailed(
            f"HTTP {reply.status}: {detail or 'no detail'}",
            retryable=reply.status in RETRYABLE,
            wait_s=wait_s(reply.headers, datetime.now(UTC)),
            status=reply.status,
            throttled=reply.status in REFUSED,
            unavailable=reply.status in UNAVAILABLE,
            too_long=too_long(reply.status, detail),
        )

    def _detail(self, document: object) -> str:
        error = (
            document.get("error", document) if isinstance(document, dict) else document
        )
        message = error.get("message", error) if isinstance(error, dict) else error
        return excerpt(self._clean(str(message)))

    def _clean(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    async def close(self) -> None:
        """Close the connections."""
        if self._watching is not None:
            self._watching.cancel()
        for wire in (*self._idle, *self._busy):
            wire.close()
        self._idle.clear()
        await self._connector.close()


def _encode(payload: dict[str, object]) -> bytes:
    try:
        return msgspec.json.encode(payload)
    except UnicodeEncodeError:
        raise RequestFailed(
            "the text holds lone surrogates, which UTF-8 cannot carry; clean it first"
        ) from None


def _unreachable(message: str) -> RequestFailed:
    return RequestFailed(message, retryable=True, throttled=True)


def rate_limits(headers: Mapping[bytes, bytes]) -> RateLimits:
    """Read ``x-ratelimit-{limit,remaining}-{requests,tokens}`` of OpenAI and its like, where they make sense."""

    def number(name: bytes, least: float) -> float | None:
        try:
            found = float(headers[b"x-ratelimit-" + name])
        except (KeyError, ValueError):
            return None
        return found if least <= found < math.inf else None

    names = (
        (b"limit-requests", 1),
        (b"remaining-requests", 0),
        (b"limit-tokens", 1),
        (b"remaining-tokens", 0),
    )
    return RateLimits(*(number(name, least) for name, least in names))


def _limits(endpoint: Endpoint) -> str:
    timeout = endpoint.timeout
    return f"connect {timeout.connect_s:g} s, read {timeout.read_s:g} s, attempt {timeout.attempt_s:g} s"


def _tls(endpoint: Endpoint) -> ssl.SSLContext | bool:
    if not endpoint.tls_verify:
        return False
    if endpoint.tls_ca is None:
        return True
    try:
        return ssl.create_default_context(cafile=endpoint.tls_ca)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"endpoint {endpoint.name!r}: tls_ca {endpoint.tls_ca!r} cannot be read: {error}"
        ) from None
