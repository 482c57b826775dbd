"""Whose turn it is, among the workers of a cluster, to show an endpoint features that its model may not take.

One worker at a time has the turn, so a parameter that the model rejects costs the cluster one request.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from aiquery.inference.cluster.messages import (
    CapabilitiesLearned,
    TurnEnded,
    TurnGranted,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiquery.inference.cluster.endpoint_state import Subscription


class Turns:
    """The turns at one endpoint, and what is known of its model."""

    def __init__(self) -> None:
        """Know nothing."""
        self._accepted: set[str] = set()
        self._rejected: set[str] = set()
        self._holder: Subscription | None = None
        self._waiting: deque[tuple[Subscription, frozenset[str]]] = deque()

    def join(self, subscription: Subscription) -> None:
        """Tell a new worker what is known."""
        if self._accepted or self._rejected:
            self._tell(subscription)

    def request(self, subscription: Subscription, features: Iterable[str]) -> None:
        """Queue a worker that wants to show features."""
        self._waiting.append((subscription, frozenset(features)))
        self._grant_next()

    def end(
        self,
        subscription: Subscription,
        message: TurnEnded,
        workers: Iterable[Subscription],
    ) -> None:
        """Take over what a worker learned, tell it to the ``workers``, and grant the next turn."""
        before = len(self._accepted) + len(self._rejected)
        self._accepted.update(message.accepted)
        self._rejected.update(message.rejected)
        if len(self._accepted) + len(self._rejected) > before:
            for one in workers:
                self._tell(one)
        if subscription is self._holder:
            self._holder = None
        self._grant_next()

    def leave(self, subscription: Subscription) -> None:
        """Forget a worker that disconnected; its turn goes to the next one."""
        self._waiting = deque(
            waiter for waiter in self._waiting if waiter[0] is not subscription
        )
        if subscription is self._holder:
            self._holder = None
        self._grant_next()

    def _grant_next(self) -> None:
        while self._holder is None and self._waiting:
            subscription, features = self._waiting.popleft()
            if features - self._accepted - self._rejected:
                self._holder = subscription
                subscription.worker.send(TurnGranted(subscription.channel))
            else:
                self._tell(subscription)

    def _tell(self, subscription: Subscription) -> None:
        message = CapabilitiesLearned(
            subscription.channel, sorted(self._accepted), sorted(self._rejected)
        )
        subscription.worker.send(message)
