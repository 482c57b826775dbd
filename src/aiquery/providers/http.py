"""HTTP for the providers that need it: aiohttp, and every failure as the right ``RowError``.

aiohttp connects (names, TLS, proxies), pools and parses. Its ``ClientSession`` is left out: for one POST after another
to one URL it builds the same request object, headers, cookies and timers every time, which cost more than the rest of
the client together (figures in benchmarks/README.md). Here the head of the request is built once per URL, and a request
is one write and one read on a connection of aiohttp's pool.
"""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import aiohttp
import msgspec
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from aiquery.errors import ConfigError, InvalidResponse, RequestFailed, excerpt

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler

    from aiquery.config import Credentials
    from aiquery.endpoint import Endpoint


class _HasError(Protocol):
    error: object


Reply = TypeVar("Reply", bound=_HasError)

RETRYABLE = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
"""HTTP statuses after which another attempt may end better; no other 4xx is ever retried."""

BODY_LIMIT = 32 * 1024 * 1024
"""A reply of more bytes than this is an error, not an answer."""

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
        proxy = URL(endpoint.proxy) if endpoint.proxy else None
        if URL(url).scheme not in {"http", "https"}:
            raise ValueError("it must start with http:// or https://")
        self.request = aiohttp.ClientRequest(
            "POST", URL(url), loop=loop, headers=headers, proxy=proxy, response_class=aiohttp.ClientResponse
        )
        target = url if proxy and not self.request.is_ssl() else self.request.url.raw_path_qs
        fields = ((name, value) for name, value in self.request.headers.items() if name != "Content-Length")
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
        self.head = f"POST {target} HTTP/1.1\r\n{lines}Content-Length: ".encode()


class HTTP:
    """POSTs JSON to one endpoint. Redirects are not followed, so that a key never leaves its host."""

    def __init__(self, endpoint: Endpoint, credentials: Credentials) -> None:
        """Make the connection pool on the running loop."""
        timeout = endpoint.timeout
        self.endpoint = endpoint
        self._secrets = [value for value in (credentials.key, *credentials.headers.values()) if value]
        self._headers = {**_HEADERS, **credentials.headers}
        if credentials.key:
            self._headers["Authorization"] = f"Bearer {credentials.key}"
        self._timeout = aiohttp.ClientTimeout(sock_connect=timeout.connect_s)
        self._connector = aiohttp.TCPConnector(limit=0, ssl=_tls(endpoint), keepalive_timeout=30)
        self._routes: dict[str, _Route] = {}

    async def post(self, url: str, payload: dict[str, object], kind: type[Reply]) -> Reply:
        """Return the reply decoded into ``kind``, which has a field ``error``, or raise the row's error."""
        status, body, headers = await self._send(url, _encode(payload))
        if status != 200:  # noqa: PLR2004
            raise self._status_error(status, body, headers)
        document = self._decode(body, kind)
        if document.error:
            raise InvalidResponse(f"error object in a reply with HTTP 200: {self._detail(document.error)}", status=200)
        return document

    async def _send(self, url: str, body: bytes) -> tuple[int, bytes, Any]:
        try:
            async with asyncio.timeout(self.endpoint.timeout.total_s):
                return await self._exchange(self._routes.get(url) or self._route(url), body)
        except aiohttp.ClientConnectorCertificateError as error:
            raise RequestFailed(f"the TLS certificate of {url} was not accepted: {error.certificate_error}") from None
        except aiohttp.ClientConnectorDNSError:
            raise RequestFailed(f"{url}: the host name does not resolve", retryable=True) from None
        except TimeoutError:
            raise RequestFailed(f"{url}: no reply in time ({_limits(self.endpoint)})", retryable=True) from None
        except (aiohttp.ClientError, HttpProcessingError, ConnectionError) as error:
            reason = str(error) or type(error).__name__
            raise RequestFailed(f"{url}: {excerpt(self._clean(reason))}", retryable=True) from None

    async def _exchange(self, route: _Route, body: bytes) -> tuple[int, bytes, Any]:
        """Write one request and read its reply; the connection goes back to the pool only after a whole reply."""
        connection = await self._connector.connect(route.request, [], self._timeout)
        try:
            protocol, transport = _open_ends(connection)
            protocol.set_response_params(read_until_eof=True, read_timeout=self.endpoint.timeout.read_s)
            transport.write(b"%b%d\r\n\r\n%b" % (route.head, len(body), body))
            protocol.start_timeout()
            message, payload = await protocol.read()
            data = await _read(message, payload)
        except BaseException:
            connection.close()
            raise
        connection.release()
        return message.code, data, message.headers

    def _route(self, url: str) -> _Route:
        try:
            route = self._routes[url] = _Route(url, self.endpoint, self._headers)
        except ValueError as error:
            raise RequestFailed(f"{url!r} is no URL ({error}); check base_url") from None
        return route

    def _decode(self, body: bytes, kind: type[Reply]) -> Reply:
        try:
            return msgspec.json.decode(body, type=kind)
        except msgspec.ValidationError as error:
            raise InvalidResponse(f"the reply is not of the expected form: {error}", status=200) from None
        except (msgspec.DecodeError, UnicodeDecodeError):
            shown = excerpt(self._clean(body[:1000].decode("utf-8", "replace")))
            raise InvalidResponse(f"the reply is not JSON: {shown!r}", retryable=True, status=200) from None

    def _status_error(self, status: int, body: bytes, headers: Any) -> RequestFailed:  # noqa: ANN401  aiohttp's mapping
        try:
            detail = self._detail(msgspec.json.decode(body))
        except (msgspec.DecodeError, UnicodeDecodeError):
            detail = excerpt(self._clean(body[:1000].decode("utf-8", "replace")))
        return RequestFailed(
            f"HTTP {status}: {detail or 'no detail'}",
            retryable=status in RETRYABLE,
            wait_s=retry_after_s(headers.get("Retry-After")),
            status=status,
        )

    def _detail(self, document: object) -> str:
        error = document.get("error", document) if isinstance(document, dict) else document
        message = error.get("message", error) if isinstance(error, dict) else error
        return excerpt(self._clean(str(message)))

    def _clean(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    async def close(self) -> None:
        """Close the connections."""
        await self._connector.close()


def retry_after_s(value: str | None) -> float | None:
    """Return the seconds that a Retry-After header asks for, given as seconds or as a date; None if it says nothing."""
    if value is None:
        return None
    try:
        return max(float(value), 0.0)
    except ValueError:
        pass  # not seconds: then it is a date
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max((moment - datetime.now(UTC)).total_seconds(), 0.0)


def _encode(payload: dict[str, object]) -> bytes:
    try:
        return msgspec.json.encode(payload)
    except UnicodeEncodeError:
        raise RequestFailed("the text holds lone surrogates, which UTF-8 cannot carry; clean it first") from None


def _open_ends(connection: aiohttp.connector.Connection) -> tuple[ResponseHandler, asyncio.Transport]:
    protocol, transport = connection.protocol, connection.transport
    if protocol is None or transport is None:
        raise aiohttp.ServerDisconnectedError  # closed between the pool and here
    return protocol, transport


async def _read(message: Any, payload: Any) -> bytes:  # noqa: ANN401  aiohttp's parsed head and body stream
    length = message.headers.get("Content-Length", "")
    if length.isdecimal() and int(length) <= BODY_LIMIT:
        whole: bytes = await payload.read()
        return whole
    chunks: list[bytes] = []
    size = 0
    while chunk := await payload.readany():
        size += len(chunk)
        if size > BODY_LIMIT:
            raise InvalidResponse(f"the reply is longer than {BODY_LIMIT} bytes", status=message.code)
        chunks.append(chunk)
    return b"".join(chunks)


def _limits(endpoint: Endpoint) -> str:
    timeout = endpoint.timeout
    return f"connect {timeout.connect_s:g} s, read {timeout.read_s:g} s, total {timeout.total_s:g} s"


def _tls(endpoint: Endpoint) -> ssl.SSLContext | bool:
    if not endpoint.tls_verify:
        return False
    if endpoint.tls_ca is None:
        return True
    try:
        return ssl.create_default_context(cafile=endpoint.tls_ca)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"endpoint {endpoint.name!r}: tls_ca {endpoint.tls_ca!r} cannot be read: {error}") from None
