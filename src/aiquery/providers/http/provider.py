"""What the providers of HTTP endpoints have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiquery.errors import ConfigError, RequestFailed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiquery.config.endpoint import Endpoint
    from aiquery.providers.http.client import HTTPClient
    from aiquery.providers.request_plan import RequestPlans
    from aiquery.requests.request import RateLimits, Request, Response


class HTTPProvider:
    """A provider with a connection pool. A subclass has ``check``, ``open`` and ``complete`` of ``Provider``."""

    slots = 64
    context_window = 8192
    max_batch_size = 1
    remote = True

    def __init__(self, endpoint: Endpoint, http: HTTPClient) -> None:
        """Use ``open``."""
        self._endpoint = endpoint
        self._http = http

    def __repr__(self) -> str:
        """Return the name of the endpoint, never a key."""
        return f"{type(self).__name__}({self._endpoint.name!r})"

    @classmethod
    def dimensions(cls, endpoint: Endpoint) -> int | None:
        """Return the configured length of the embeddings."""
        return endpoint.dimensions

    async def count_tokens(self, request: Request) -> Response:
        """Raise ``RequestFailed``: a server without a method for it."""
        del request
        raise RequestFailed(
            f"provider {self._endpoint.provider!r} cannot count tokens; name an endpoint of another one"
        )

    @property
    def rate_limits(self) -> RateLimits | None:
        """The limits that the last reply named; None: the endpoint names no limits."""
        return self._http.rate_limits

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()


class ChatProvider(HTTPProvider):
    """A provider whose models do not all take every feature of a chat request."""

    def __init__(
        self, endpoint: Endpoint, http: HTTPClient, plans: RequestPlans
    ) -> None:
        """Use ``open``. ``plans`` say how requests are sent."""
        super().__init__(endpoint, http)
        self._plans = plans

    def features(self, request: Request) -> frozenset[str]:
        """Return the features that a request uses, of those that not every model takes."""
        return self._plans.find(request.template).features

    def reject(self, features: Iterable[str]) -> None:
        """Send further requests without these features, or with what takes their place."""
        self._plans.reject(features)

    def restore(self, features: Iterable[str]) -> None:
        """Send further requests with these features again."""
        self._plans.restore(features)


def check_address(endpoint: Endpoint, example: str) -> None:
    """Raise ``ConfigError`` if the endpoint has no URL. ``example`` is one."""
    if not endpoint.base_url:
        raise ConfigError(
            f"endpoint {endpoint.name!r}: provider {endpoint.provider!r} needs a base_url, e.g. base_url = "
            f'"{example}".'
        )


def check_task(endpoint: Endpoint, *tasks: str) -> None:
    """Raise ``ConfigError`` if the endpoint's task is none of ``tasks``."""
    if endpoint.task not in tasks:
        raise ConfigError(
            f"endpoint {endpoint.name!r}: provider {endpoint.provider!r} has {' and '.join(tasks)} models only, not "
            f"task = {endpoint.task!r}."
        )
