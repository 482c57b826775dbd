"""Builds the ``RequestFailed`` errors of HTTP failures: retryable, throttled, or fatal."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec

from aiquery.errors import RequestFailed, excerpt
from aiquery.limits import MAX_ERROR_BYTES
from aiquery.providers.http.fatal_errors import has_fatal_code
from aiquery.providers.http.retry_after import find_retry_delay, read_wait_s
from aiquery.providers.http.too_long import find_fitting_share

if TYPE_CHECKING:
    from aiquery.providers.http.connection import HTTPResponse

THROTTLED = frozenset({429, 503, 529})
"""HTTP statuses of an endpoint that accepts no request at the moment."""

_OF_PROXIES = frozenset({498, 520, 521, 522, 523, 524, 525, 527, 530})
"""HTTP statuses that Cloudflare, and with 498 Groq, have for a server that is not reached or busy."""

UNAVAILABLE = THROTTLED | _OF_PROXIES | {502, 504}
"""HTTP statuses of an endpoint, or of a proxy before it, that cannot answer."""

RETRYABLE = UNAVAILABLE | {408, 409, 424, 425, 500}
"""HTTP statuses after which another attempt may succeed. Any other 4xx is never retried."""

FATAL = frozenset({401, 402, 403, 404, 405, 407, 410})
"""HTTP statuses that every request would probably get."""


_OF_MODEL = frozenset({"json_validate_failed", "tool_use_failed"})
"""Codes of Groq with HTTP 400: the model wrote something else than it was asked for. It may do better again."""

_NAME = re.compile(r"[A-Za-z0-9_.\[\]]{1,50}")
_OK = 200
_MIN_ERROR = 400
_MAX_ERROR = 599
_NO_ERRORS: tuple[object, ...] = (None, "", {}, [], False)
_PASSING_CODES = frozenset(
    {
        "rate_limit_exceeded",
        "rate_limit_error",
        "rate_limited",
        "too_many_requests",
        "server_error",
        "internal_error",
        "internal_server_error",
        "internal",
        "overloaded",
        "overloaded_error",
        "service_unavailable",
        "unavailable",
        "timeout",
        "timeout_error",
        "deadline_exceeded",
        "api_error",
        "bad_gateway",
        "resource_exhausted",
    }
)
"""Codes of errors after which another attempt may succeed, in an error object without a status."""


def excerpt_body(body: bytes | bytearray) -> str:
    """Return the start of a body for the text of an error."""
    return excerpt(body.decode("utf-8", "replace"))


def raise_if_broken(error: msgspec.Raw, *, is_broken: bool = False) -> None:
    """Raise the error that a reply with HTTP 200 contains, by its code. ``is_broken``: there is one without words.

    OpenRouter and other gateways find out that a model's server failed after they have sent the status.
    """
    encoded = bytes(error)
    document = _decode(encoded)
    if document is None and encoded != b"null":
        document = excerpt_body(encoded)
    if document in _NO_ERRORS:
        if is_broken:
            raise RequestFailed("the endpoint broke off the reply", retryable=True)
        return
    status = _find_status(document)
    detail = f"error in a reply with HTTP 200: {read_detail(document)}"
    if has_fatal_code(document):
        raise RequestFailed(detail, status=status).mark_fatal(1)
    if status in FATAL:
        raise RequestFailed(detail, status=status).mark_fatal()
    is_passing = status in RETRYABLE or (status == _OK and is_broken)
    raise RequestFailed(
        detail,
        retryable=is_passing or _has_passing_code(document),
        status=status,
        throttled=status in THROTTLED,
        unavailable=status in UNAVAILABLE,
        too_long=find_fitting_share(status, detail),
    )


def _find_status(document: object) -> int:
    """Return the HTTP status that an error object names; 200 if it names none."""
    fields = _error_fields(document)
    for name in ("code", "status", "status_code"):
        value = str(fields.get(name))
        if value.isdecimal() and _MIN_ERROR <= int(value) <= _MAX_ERROR:
            return int(value)
    return _OK


def _error_fields(document: object) -> dict[str, Any]:
    """Return the fields of the error object in a document, or those of the document; none if it is no object."""
    if isinstance(document, list) and len(document) == 1:
        document = document[0]  # Google's servers, in the format of OpenAI
    fields = document.get("error", document) if isinstance(document, dict) else None
    return fields if isinstance(fields, dict) else {}


def _has_passing_code(document: object) -> bool:
    fields = _error_fields(document)
    codes = {str(fields.get(name)).lower() for name in ("code", "type", "status")}
    return not codes.isdisjoint(_PASSING_CODES)


def read_detail(document: object) -> str:
    """Return the message of an error object, or the document itself."""
    return excerpt(find_message(document))


def find_message(document: object) -> str:
    """Return the whole message of an error object, or the document itself."""
    detail = document
    if isinstance(detail, list) and len(detail) == 1:
        detail = detail[0]
    if isinstance(detail, dict):
        detail = detail.get("error", detail)
    if isinstance(detail, dict):
        names = ("message", "detail", "msg", "Message", "error_message")
        found = (detail[name] for name in names if detail.get(name))
        detail = next(found, detail)
    return str(detail)


def build_status_error(reply: HTTPResponse) -> RequestFailed:
    """Return the error of a reply whose status is not 200."""
    document = _decode(reply.body)
    if document is None:
        text = reply.body[:MAX_ERROR_BYTES].decode("utf-8", "replace")
    else:
        text = find_message(document)
    detail = excerpt(text)
    status = reply.status
    message = f"HTTP {status}: {detail or 'no detail'}"
    if has_fatal_code(document):
        return RequestFailed(message, status=status).mark_fatal(1)
    if status in FATAL:
        return RequestFailed(message, status=status).mark_fatal()
    if _is_spent_for_today(document):
        return RequestFailed(message, status=status).mark_fatal(1)
    too_long = find_fitting_share(status, text)
    is_passing = status in RETRYABLE or _error_fields(document).get("code") in _OF_MODEL
    wait_s = read_wait_s(reply.headers, datetime.now(UTC))
    failed = RequestFailed(
        message,
        retryable=is_passing and too_long is None,
        wait_s=find_retry_delay(_error_fields(document)) if wait_s is None else wait_s,
        status=status,
        throttled=status in THROTTLED,
        unavailable=status in UNAVAILABLE,
        too_long=too_long,
    )
    failed.parameter = _find_parameter(document)
    return failed


def _is_spent_for_today(document: object) -> bool:
    """Return True for a quota of Google that is one of a day: waiting for it would take hours."""
    details = _error_fields(document).get("details")
    return isinstance(details, list) and "PerDay" in str(details)


def _find_parameter(document: object) -> str:
    """Return the name in the field ``param`` of an error object, if it may be a name."""
    name = _error_fields(document).get("param")
    return name if isinstance(name, str) and _NAME.fullmatch(name) else ""


def build_broken_error(url: str, error: Exception) -> RequestFailed:
    """Return the error of a connection that broke."""
    reason = str(error) or type(error).__name__
    return RequestFailed(f"{url}: {excerpt(reason)}", retryable=True, unavailable=True)


def build_connect_error(
    url: str, error: Exception, *, has_connected: bool
) -> RequestFailed:
    """Return the error of a connection that could not be opened.

    A name that does not resolve, or a server without TLS, is fatal unless ``has_connected``: an
    earlier connection to the endpoint succeeded.
    """
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        reason = error.certificate_error
        message = f"the TLS certificate of {url} was not accepted: {reason}"
        return RequestFailed(message).mark_fatal()
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        message = f"{url}: no TLS connection: {error.os_error}"
        return _fatal_at_first(message, has_connected=has_connected)
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        message = f"{url}: the host name does not resolve ({error.os_error})"
        return _fatal_at_first(message, has_connected=has_connected)
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return _from_proxy(url, error)
    if isinstance(error, aiohttp.ClientConnectorError):
        failed = unreachable(f"{url}: cannot connect: {error.os_error}")
        failed.sendable_again = True
        return failed
    return build_broken_error(url, error)


def _decode(body: bytes | bytearray) -> object:
    """Return the JSON value of an error; None if it is not JSON, or too long to be decoded."""
    if len(body) > MAX_ERROR_BYTES:
        return None
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def unreachable(message: str) -> RequestFailed:
    """Return the error of an endpoint that cannot be reached at the moment."""
    return RequestFailed(message, retryable=True, throttled=True)


def _fatal_at_first(message: str, *, has_connected: bool) -> RequestFailed:
    if has_connected:
        return unreachable(message)
    return RequestFailed(message).mark_fatal()


def _from_proxy(url: str, error: aiohttp.ClientHttpProxyError) -> RequestFailed:
    status = error.status
    message = (
        f"{url}: the proxy rejects the request: HTTP {status} {excerpt(error.message)}"
    )
    if status in RETRYABLE:
        return RequestFailed(message, retryable=True, unavailable=True, status=status)
    return RequestFailed(message, status=status).mark_fatal()
