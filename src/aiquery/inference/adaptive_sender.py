"""Sends requests to a model that does not take every parameter, and learns from its replies what it takes."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from aiquery.errors import RequestFailed, RowError, UnsupportedFeature
from aiquery.inference.capabilities import Capabilities

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiquery.requests.request import Request, Response

log = logging.getLogger("aiquery")
MAX_REJECTIONS = 20
"""Features that one request may lose. More would mean that the endpoint rejects what is not sent."""


@runtime_checkable
class Adapts(Protocol):
    """A provider that can leave features out of its requests."""

    def features(self, request: Request) -> frozenset[str]:
        """Return the features that a request uses, of those that not every model takes."""

    def reject(self, features: Iterable[str]) -> None:
        """Send further requests without these features, or with what takes their place."""

    def restore(self, features: Iterable[str]) -> None:
        """Send further requests with these features again."""

    async def complete(self, request: Request) -> Response:
        """Make one attempt. Raises ``UnsupportedFeature`` if the model does not take one of the features."""


def adapt_requests(endpoint: str, provider: object) -> AdaptiveSender | None:
    """Return what sends the requests of a provider that adapts them; None for another one."""
    if not isinstance(provider, Adapts):
        return None
    return AdaptiveSender(endpoint, provider, Capabilities())


class AdaptiveSender:
    """Sends the first request with unknown features alone."""

    def __init__(
        self, endpoint: str, provider: Adapts, capabilities: Capabilities
    ) -> None:
        """``endpoint`` is its name."""
        self._endpoint = endpoint
        self._provider = provider
        self.capabilities = capabilities
        self._settled: set[bytes] = set()
        """Digests of the templates whose features are all known."""

    async def complete(self, request: Request) -> Response:
        """Make one attempt, alone if the request has unknown features. Raises ``RowError``."""
        if request.template.digest in self._settled:
            # One server of several behind an address may still reject what the others took.
            try:
                return await self._provider.complete(request)
            except UnsupportedFeature:
                self._settled.clear()
        return await self._adapt(request)

    async def _adapt(self, request: Request) -> Response:
        """Return the reply to a request. It is sent again without a feature that was rejected. Raises ``RowError``.

        It has its turn until it is answered, or failed: those that wait learn all of it.
        """
        capabilities = self.capabilities
        has_turn = False
        said: dict[str, str] = {}
        try:
            for _ in range(MAX_REJECTIONS):
                features = self._provider.features(request)
                if not has_turn and not capabilities.knows(features):
                    has_turn = await capabilities.wait_for_turn(features)
                    features = self._provider.features(request)  # some may be rejected
                try:
                    return await self._send(request, features)
                except UnsupportedFeature as error:
                    said[error.feature] = error.message
                    self.learn((), (error.feature,), error)
                except RowError as error:
                    self._forget([one for one in said if said[one] == error.message])
                    raise
        finally:
            if has_turn:
                capabilities.end_turn()
        raise RequestFailed(
            f"the endpoint rejected {MAX_REJECTIONS} features of one request"
        )

    async def _send(self, request: Request, features: frozenset[str]) -> Response:
        try:
            response = await self._provider.complete(request)
        except UnsupportedFeature:
            raise
        except RowError as error:
            if not _is_passing(error):
                self.capabilities.learn(features, ())
            raise
        if not self.capabilities.knows(features):
            self.capabilities.learn(features, ())
        self._settled.add(request.template.digest)
        return response

    def _forget(self, features: list[str]) -> None:
        """Send features again, without which a request got the same error: it is about the request."""
        if features:
            self.capabilities.rejected.difference_update(features)
            self._provider.restore(features)
            names = ", ".join(sorted(features))
            log.warning("endpoint %s: requests have %s again", self._endpoint, names)

    def learn(
        self,
        accepted: Iterable[str],
        rejected: Iterable[str],
        error: RowError | None = None,
    ) -> None:
        """Add features that this process, or another one of the cluster, has shown to the endpoint."""
        new = self.capabilities.learn(accepted, rejected)
        if not new:
            return
        self._provider.reject(new)
        said = "" if error is None else f" ({error.message})"
        log.warning(
            "endpoint %s: the model does not take %s; requests go on without it%s",
            self._endpoint,
            ", ".join(sorted(new)),
            said,
        )

    def describe(self) -> str:
        """Return what requests are sent without; empty if it is nothing."""
        rejected = sorted(self.capabilities.rejected)
        return f"{self._endpoint} is sent no {', '.join(rejected)}" if rejected else ""


def _is_passing(error: RowError) -> bool:
    """Return True for an error with which the endpoint says nothing about the request, such as HTTP 503."""
    return bool(getattr(error, "retryable", False) and getattr(error, "status", None))
