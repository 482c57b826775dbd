"""Reads an endpoint's key again after HTTP 401: a token of a cloud lives for about an hour."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from aiquery.config.credentials import COMMAND_S, KEY_SOURCES, read_credentials
from aiquery.errors import ConfigError, MissingKey, RequestFailed
from aiquery.runtime.blocking_thread import BlockingThread

if TYPE_CHECKING:
    from aiquery.config.credentials import Credentials
    from aiquery.config.endpoint import Endpoint

_PAUSE_S = 10.0
"""How long a key that did not change is not read again: every request in flight gets the same 401."""

_READ_S = COMMAND_S + 5.0
_UNAUTHORIZED = 401


async def read_in_thread(endpoint: Endpoint) -> Credentials:
    """Return the credentials of an endpoint. Raises ``ConfigError``.

    A file or a command is read in a thread, so that other requests go on. The thread is a daemon: it does not keep the
    process from ending.
    """
    if not (endpoint.api_key_file or endpoint.api_key_command):
        return read_credentials(endpoint)
    thread = BlockingThread("aiquery-key")
    try:
        async with asyncio.timeout(_READ_S):
            found: Credentials = await thread.run(partial(read_credentials, endpoint))
    except TimeoutError:
        raise MissingKey(
            f"endpoint {endpoint.name!r}: its key could not be read within {_READ_S:g} s."
        ) from None
    finally:
        thread.stop()
    return found


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
            loop = asyncio.get_running_loop()
            if loop.time() < self._unchanged_until:
                return False
            try:
                current = await read_in_thread(self._endpoint)
            except ConfigError as error:
                self._unchanged_until = loop.time() + _PAUSE_S
                raise RequestFailed(
                    f"HTTP 401, and the key cannot be read again: {error}",
                    status=_UNAUTHORIZED,
                ).mark_fatal() from None
            if current == rejected:
                self._unchanged_until = loop.time() + _PAUSE_S
                return False
            self.credentials = current
            return True
