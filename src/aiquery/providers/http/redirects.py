"""Decides whether a redirect is followed: only to the same server, and only with the same method and body."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yarl import URL

from aiquery.errors import RequestFailed, excerpt

if TYPE_CHECKING:
    from aiquery.providers.http.connection import HTTPResponse

REDIRECTS = frozenset({301, 302, 303, 307, 308})
MAX_REDIRECTS = 5
_SAME_METHOD = frozenset({307, 308})


def find_target(reply: HTTPResponse, url: str) -> str:
    """Return where a redirect of ``url`` leads. Raises ``RequestFailed`` if it is not followed.

    A key never leaves its host, and a 301, 302 or 303 would turn the request into a GET.
    """
    location = reply.headers.get(b"location", b"").decode("latin-1")
    try:
        target = URL(url).join(URL(location)) if location else None
        is_same_server = target is not None and target.origin() == URL(url).origin()
    except ValueError:
        target = None
    if target is None:
        raise _refuse(reply, "without a valid address")
    if not is_same_server:
        raise _refuse(reply, f"to another server: {excerpt(str(target))}")
    if reply.status not in _SAME_METHOD:
        raise _refuse(reply, f"to {excerpt(str(target))}, without the request's body")
    return str(target)


def _refuse(reply: HTTPResponse, where: str) -> RequestFailed:
    message = f"HTTP {reply.status}: the endpoint redirects {where}. Set base_url to the address that answers."
    return RequestFailed(message, status=reply.status).mark_fatal()
