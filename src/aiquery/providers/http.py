"""HTTP for the providers that need it: one aiohttp session per endpoint, and every failure as the right ``RowError``."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec

from aiquery.errors import ConfigError, InvalidResponse, RequestFailed, excerpt

if TYPE_CHECKING:
    from aiquery.config import Credentials
    from aiquery.endpoint import Endpoint

RETRYABLE = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
"""HTTP statuses after which another attempt may end better; no other 4xx is ever retried."""

BODY_LIMIT = 32 * 1024 * 1024
"""A reply of more bytes than this is an error, not an answer."""

_READ = 64 * 1024


class HTTP:
    """POSTs JSON to one endpoint."""

    def __init__(self, endpoint: Endpoint, credentials: Credentials) -> None:
        """Make the session on the running loop; redirects are not followed, so that a key never leaves its host."""
        timeout = endpoint.timeout
        self.endpoint = endpoint
        self._secrets = [credentials.key] if credentials.key else []
        headers = {"Content-Type": "application/json", **credentials.headers}
        if credentials.key:
            headers["Authorization"] = f"Bearer {credentials.key}"
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=_tls(endpoint), keepalive_timeout=30),
            timeout=aiohttp.ClientTimeout(
                total=timeout.total_s, sock_connect=timeout.connect_s, connect=None, sock_read=timeout.read_s
            ),
            headers=headers,
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def post(self, url: str, payload: dict[str, object]) -> Any:  # noqa: ANN401  any JSON document
        """Return the decoded reply, or raise the row's error."""
        status, body, headers = await self._send(url, _encode(payload))
        if status == 200:  # noqa: PLR2004
            return self._decode(body)
        raise self._status_error(status, body, headers)

    async def _send(self, url: str, body: bytes) -> tuple[int, bytes, Any]:
        try:
            async with self._session.post(url, data=body, allow_redirects=False, proxy=self.endpoint.proxy) as reply:
                return reply.status, await _read(reply), reply.headers
        except aiohttp.ClientConnectorCertificateError as error:
            raise RequestFailed(f"the TLS certificate of {url} was not accepted: {error.certificate_error}") from None
        except aiohttp.ClientConnectorDNSError:
            raise RequestFailed(f"{url}: the host name does not resolve", retryable=True) from None
        except (TimeoutError, aiohttp.ServerTimeoutError):
            raise RequestFailed(f"{url}: no reply in time ({_limits(self.endpoint)})", retryable=True) from None
        except aiohttp.InvalidURL as error:
            raise RequestFailed(f"{error} is no URL; check base_url") from None
        except (aiohttp.ClientError, ConnectionError, asyncio.IncompleteReadError) as error:
            reason = str(error) or type(error).__name__
            raise RequestFailed(f"{url}: {self._clean(reason)}", retryable=True) from None

    def _decode(self, body: bytes) -> Any:  # noqa: ANN401  any JSON document
        try:
            document = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            shown = excerpt(self._clean(body[:1000].decode("utf-8", "replace")))
            raise InvalidResponse(f"the reply is not JSON: {shown!r}", retryable=True, status=200) from None
        if not isinstance(document, dict):
            raise InvalidResponse("the reply is JSON but no object", retryable=True, status=200)
        if document.get("error"):
            raise InvalidResponse(f"error object in a reply with HTTP 200: {self._detail(document)}", status=200)
        return document

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
        await self._session.close()


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


async def _read(reply: aiohttp.ClientResponse) -> bytes:
    length = reply.content_length
    if length is not None and length <= BODY_LIMIT:
        return await reply.read()
    chunks: list[bytes] = []
    size = 0
    async for chunk in reply.content.iter_chunked(_READ):
        size += len(chunk)
        if size > BODY_LIMIT:
            raise InvalidResponse(f"the reply is longer than {BODY_LIMIT} bytes", status=reply.status)
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
