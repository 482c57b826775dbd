"""Which proxy a request goes through: that of the endpoint, or of the environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiquery.config.endpoint import DIRECT
from aiquery.config.environment import environment_proxy
from aiquery.config.http_values import check_proxy

if TYPE_CHECKING:
    from yarl import URL

    from aiquery.config.endpoint import Endpoint


def find_proxy(endpoint: Endpoint, url: URL) -> str | None:
    """Return the address of the proxy for a URL; None if the server is reached directly.

    Without a proxy of the endpoint it is that of the variables ``HTTPS_PROXY``, ``HTTP_PROXY`` or ``ALL_PROXY``, unless
    ``NO_PROXY`` has the host. Raises ``ConfigError`` for a proxy of another kind.
    """
    if endpoint.proxy == DIRECT:
        return None
    if endpoint.proxy:
        return endpoint.proxy
    found = environment_proxy(url.scheme, url.host or "", url.port)
    if found is None:
        return None
    variable, address = found
    check_proxy(
        address,
        f"endpoint {endpoint.name!r}: the environment variable {variable}",
    )
    return address
