"""Signs requests to AWS: Signature Version 4, with credentials from the chain of botocore.

botocore signs too, in 45 µs per request, which is as much as the rest of this project's client takes; this module
needs a tenth of that: what the requests of a second share is computed once. A test compares both.

Source, read on 2026-11-27: docs.aws.amazon.com/IAM/latest/UserGuide, "Create a signed AWS API request".
"""

from __future__ import annotations

import asyncio
import hmac
import time
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from aiquery.errors import ConfigError, MissingKey, RequestFailed, excerpt
from aiquery.runtime.blocking_thread import BlockingThread
from aiquery.secrets import Secret, remember_header

if TYPE_CHECKING:
    from yarl import URL

_ALGORITHM = "AWS4-HMAC-SHA256"
_SERVICE = "bedrock"
_READ_S = 60.0
"""How long the chain of credentials may take: it may ask a server of the machine, or a login service."""

_CHECK_S = 10.0
"""How often temporary credentials are looked at, in seconds. They are renewed minutes before they expire."""


class AWSKeys(NamedTuple):
    """Credentials of AWS, as they are used for one signature."""

    access_key: str
    secret_key: Secret
    token: Secret | None


class Moment:
    """What the signatures of all requests to one URL within one second share."""

    def __init__(self, keys: AWSKeys, region: str, url: URL, second: int) -> None:
        """``second``: seconds since 1970."""
        self.second = second
        moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))
        scope = f"{moment[:8]}/{region}/{_SERVICE}/aws4_request"
        signed = {"host": _host_of(url), "x-amz-date": moment}
        head = f"X-Amz-Date: {moment}\r\n"
        if keys.token is not None:
            signed["x-amz-security-token"] = keys.token.reveal()
            head += f"X-Amz-Security-Token: {keys.token.reveal()}\r\n"
        names = ";".join(signed)
        lines = "".join(f"{name}:{value}\n" for name, value in signed.items())
        # Each part of the path is encoded twice: as it is sent, and again for the signature.
        path = quote(url.raw_path, safe="/-_.~")
        canonical = f"POST\n{path}\n{_sort_query(url)}\n{lines}\n{names}\n"
        self._canonical = sha256(canonical.encode())
        key = _derive_key(keys.secret_key.reveal(), scope)
        # hmac.digest would release the interpreter lock, and wait for it again.
        self._signed = hmac.new(
            key, f"{_ALGORITHM}\n{moment}\n{scope}\n".encode(), sha256
        )
        credential = f"Credential={keys.access_key}/{scope}, SignedHeaders={names}"
        self._head = f"{head}Authorization: {_ALGORITHM} {credential}, Signature="

    def sign(self, body: bytes) -> bytes:
        """Return the header lines that sign a POST of ``body``."""
        canonical = self._canonical.copy()
        canonical.update(sha256(body).hexdigest().encode())
        signed = self._signed.copy()
        signed.update(canonical.hexdigest().encode())
        return f"{self._head}{signed.hexdigest()}\r\n".encode()


def _host_of(url: URL) -> str:
    return url.raw_host or "" if url.is_default_port() else url.raw_authority


def _sort_query(url: URL) -> str:
    pairs = [
        (quote(name, safe="-_.~"), quote(value, safe="-_.~"))
        for name, value in url.query.items()
    ]
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


@lru_cache(maxsize=16)
def _derive_key(secret: str, scope: str) -> bytes:
    """Return the key of a day."""
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


class AWSSigner:
    """Signs the requests of one endpoint, and renews temporary credentials."""

    def __init__(self, credentials: Any, region: str) -> None:
        """``credentials`` are those of botocore."""
        self._credentials = credentials
        self._region = region
        self._keys: AWSKeys | None = None
        self._moments: dict[URL, Moment] = {}
        self._checked_at = 0.0
        self._lock = asyncio.Lock()

    def __repr__(self) -> str:
        """Return the region, never a key."""
        return f"AWSSigner({self._region!r})"

    async def prepare(self) -> None:
        """Read the keys, or renew them. Raises ``RequestFailed``."""
        if self._is_fresh():
            return
        async with self._lock:
            if self._is_fresh():
                return
            # botocore may wait for a server here.
            self._keys = await _run(self._read_keys)
            self._moments.clear()
            self._checked_at = time.monotonic()

    def sign(self, url: URL, body: bytes) -> bytes:
        """Return the header lines of a request. ``prepare`` comes before."""
        if self._keys is None:
            raise RequestFailed("the request cannot be signed: there are no keys")
        second = int(time.time())
        moment = self._moments.get(url)
        if moment is None or moment.second != second:
            moment = Moment(self._keys, self._region, url, second)
            self._moments[url] = moment
        return moment.sign(body)

    def _is_fresh(self) -> bool:
        return self._keys is not None and time.monotonic() < self._checked_at + _CHECK_S

    def _read_keys(self) -> AWSKeys:
        frozen = self._credentials.get_frozen_credentials()
        remember_header(frozen.secret_key)
        remember_header(frozen.token or "")
        token = Secret(frozen.token) if frozen.token else None
        return AWSKeys(frozen.access_key, Secret(frozen.secret_key), token)


async def _run(function: Any) -> Any:
    """Return what a function of botocore returns, which may wait. Raises ``RequestFailed``."""
    from botocore.exceptions import BotoCoreError

    thread = BlockingThread("aiquery-aws")
    try:
        async with asyncio.timeout(_READ_S):
            return await thread.run(function)
    except TimeoutError:
        raise RequestFailed(
            f"the credentials of AWS could not be read within {_READ_S:g} s"
        ).mark_fatal() from None
    except BotoCoreError as error:
        raise RequestFailed(
            f"the credentials of AWS cannot be read: {excerpt(str(error))}"
        ).mark_fatal() from None
    finally:
        thread.stop()


def check_botocore(where: str) -> None:
    """Raise ``ConfigError`` if botocore is not installed."""
    try:
        import botocore.session  # noqa: F401
    except ImportError:
        raise ConfigError(
            f"{where}: provider 'bedrock' signs its requests with the credentials that botocore finds, and botocore "
            "is not installed. Install it: pip install 'aiquery[bedrock]'. Or set api_key_env to a variable with a "
            "Bedrock API key."
        ) from None


async def open_signer(endpoint: str, region: str) -> AWSSigner:
    """Return a signer with the credentials, and without ``region`` the region, of botocore's chain.

    Raises ``MissingKey``.
    """
    import botocore.session

    session = botocore.session.Session()
    try:
        credentials = await _run(session.get_credentials)
        region = region or await _run(lambda: session.get_config_variable("region"))
    except RequestFailed as error:
        raise MissingKey(f"endpoint {endpoint!r}: {error.message}") from None
    if credentials is None:
        raise MissingKey(
            f"endpoint {endpoint!r}: no credentials of AWS were found. Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or AWS_BEARER_TOKEN_BEDROCK with a Bedrock API key."
        )
    if not region:
        raise MissingKey(
            f"endpoint {endpoint!r}: a signature needs a region, and neither its base_url nor AWS_DEFAULT_REGION names "
            'one; set options = { region = "us-east-1" }.'
        )
    return AWSSigner(credentials, region)
