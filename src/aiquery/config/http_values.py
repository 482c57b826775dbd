"""Checks that addresses and headers of the configuration can stand in an HTTP request.

A line break in one of them would begin another header, or another request. The errors name the setting and
never the value, which may be a secret.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from aiquery.config.endpoint import DIRECT
from aiquery.errors import ConfigError

if TYPE_CHECKING:
    from aiquery.config.endpoint import Endpoint

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A token: RFC 9110, 5.6.2."""

_HTTP = re.compile("https?://", re.IGNORECASE)
_FORBIDDEN_IN_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")
"""Control characters but the tab: RFC 9110, 5.5."""

_SURROGATE = re.compile("[\ud800-\udfff]")
"""What Python makes of a byte that is no UTF-8."""

_FORBIDDEN_IN_ADDRESS = re.compile(r"[\s\x00-\x1f\x7f-\x9f]")


def check_http_settings(endpoint: Endpoint, where: str) -> None:
    """Check the addresses and headers of an endpoint. Raises ``ConfigError``."""
    for name in ("base_url", "proxy"):
        address = getattr(endpoint, name)
        if address is not None and _FORBIDDEN_IN_ADDRESS.search(address):
            raise ConfigError(
                f"{where}: {name} has a space, a line break or a control character; remove it."
            )
    if endpoint.proxy and endpoint.proxy != DIRECT:
        check_proxy(endpoint.proxy, f"{where}: proxy")
    if endpoint.tls_key is not None and endpoint.tls_cert is None:
        raise ConfigError(
            f"{where}: tls_key needs tls_cert, the certificate of the key."
        )
    for name, value in endpoint.headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise ConfigError(
                f"{where}: headers has a name with a character that HTTP does not allow, such as a space, a colon "
                "or a line break; remove it."
            )
        check_header_value(value, f"{where}: the header {name}")


def check_proxy(address: str, setting: str) -> None:
    """Raise ``ConfigError`` for the address of a proxy that is no HTTP proxy."""
    if not _HTTP.match(address):
        scheme = address.partition("://")[0] if "://" in address else ""
        reason = f", and {scheme}:// is not supported" if scheme.isalnum() else ""
        raise ConfigError(
            f'{setting} must start with http:// or https://{reason}. With proxy = "direct" the endpoint is reached '
            "without a proxy."
        )


def check_header_value(value: str, setting: str) -> None:
    """Raise ``ConfigError`` if a value would not stay in its header, or is no text."""
    if _FORBIDDEN_IN_VALUE.search(value):
        raise ConfigError(
            f"{setting} has a line break or a control character; remove it."
        )
    if _SURROGATE.search(value):
        raise ConfigError(f"{setting} is not UTF-8 text.")
