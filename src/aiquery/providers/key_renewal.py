"""Reads an endpoint's key again after HTTP 401: a token of a cloud lives for about an hour."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiquery.config.credentials import KEY_SOURCES, read_credentials
from aiquery.errors import ConfigError, RequestFailed

if TYPE_CHECKING:
    from aiquery.config.credentials import Credentials
    from aiquery.config.endpoint import Endpoint

_PAUSE_S = 10.0
"""How long a key that did not change is not read again: every request in flight gets the same 401."""

_UNAUTHORIZED = 401


class KeyRenewal:
    """The credentials of an endpoint, as they were last read."""

    def __init__(self, endpoint: Endpoint, credentials: Credentials) -> None:
        """Begin with the credentials that the provider was opened with."""
        self.credentials = credentials
        self._endpoint = endpoint
        self._has_source = any(getattr(endpoint, name) for name in KEY_SOURCES) or any(
            value.startswith("$") for value in endpoint.headers.values()
        )
        self._lock = asyncio.Lock()
        self._unchanged_until = 0.0

    async def renew(self, rejected: Credentials) -> bool:
        """Return True if there are other credentials than the rejected ones.

        The first of several rejected requests reads them, the others wait for it. Raises
        ``RequestFailed`` if they cannot be read.
        """
        if not self._has_source:
            return False
        async with self._lock:
            if self.credentials is not rejected:
                return True
            now = asyncio.get_running_loop().time()
            if now < self._unchanged_until:
                return False
            self._unchanged_until = now + _PAUSE_S
            try:
                current = await asyncio.to_thread(read_credentials, self._endpoint)
            except ConfigError as error:
                raise RequestFailed(
                    f"HTTP 401, and the key cannot be read again: {error}",
                    status=_UNAUTHORIZED,
                ).mark_fatal() from None
            if current == rejected:
                return False
            self.credentials = current
            return True
