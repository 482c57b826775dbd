"""How the certificate of an endpoint is checked, and the certificate that is shown to it."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from aiquery.errors import ConfigError

if TYPE_CHECKING:
    from aiquery.config.endpoint import Endpoint


def build_tls_context(endpoint: Endpoint) -> ssl.SSLContext | bool:
    """Return the TLS settings of an endpoint; True: the default ones, False: nothing is checked.

    Raises ``ConfigError`` for files that cannot be read.
    """
    where = f"endpoint {endpoint.name!r}"
    if endpoint.tls_cert is None and endpoint.tls_ca is None:
        return endpoint.tls_verify
    try:
        context = ssl.create_default_context(cafile=endpoint.tls_ca)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"{where}: tls_ca {endpoint.tls_ca!r} cannot be read: {error}"
        ) from None
    if not endpoint.tls_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if endpoint.tls_cert is not None:
        try:
            # An encrypted key would ask for its password on the terminal.
            context.load_cert_chain(endpoint.tls_cert, endpoint.tls_key, password="")
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"{where}: tls_cert {endpoint.tls_cert!r} cannot be read: {error}. It needs a certificate and its key, "
                "without a password, in one file or with tls_key."
            ) from None
    return context
