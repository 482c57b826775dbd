"""A worker's side of the turns that the coordinator grants: see ``turns``."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from aiquery.inference.cluster.messages import (
    CapabilitiesLearned,
    TurnEnded,
    TurnGranted,
    TurnRequest,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from aiquery.inference.adaptive_sender import AdaptiveSender


class SharedCapabilities:
    """Shares what one endpoint's model takes with the other workers."""

    def __init__(
        self,
        channel: int,
        send: Callable[[Any], None],
        sender: AdaptiveSender,
        model: str,
    ) -> None:
        """``sender`` learns what others report, and asks here for its turns.

        An endpoint may have another ``model`` in another session: the features of each have its name.
        """
        self._prefix = f"{model}: "
        self._channel = channel
        self._send = send
        self._sender = sender
        self._waiting: asyncio.Future[bool] | None = None
        self._features: frozenset[str] = frozenset()
        sender.capabilities.ask_for_turn = self.ask_for_turn
        sender.capabilities.return_turn = self.return_turn

    async def ask_for_turn(self, features: frozenset[str]) -> bool:
        """Return True when it is this worker's turn; False once others have learned about the features."""
        self._features = features
        self._waiting = asyncio.get_running_loop().create_future()
        self._send(TurnRequest(self._channel, self._to_names(features)))
        try:
            return await self._waiting
        finally:
            self._waiting = None

    def return_turn(self, accepted: Iterable[str], rejected: Iterable[str]) -> None:
        """Give the turn back to the coordinator, with what was learned."""
        names = self._to_names(accepted), self._to_names(rejected)
        self._send(TurnEnded(self._channel, *names))

    def receive(self, message: TurnGranted | CapabilitiesLearned) -> None:
        """Take a turn, or what others have learned."""
        if isinstance(message, CapabilitiesLearned):
            accepted = self._to_features(message.accepted)
            self._sender.learn(accepted, self._to_features(message.rejected))
            if self._sender.capabilities.knows(self._features):
                self._settle(has_turn=False)
        elif not self._settle(has_turn=True):
            # The request that asked was cancelled, or learned it another way.
            self.return_turn((), ())

    def _to_names(self, features: Iterable[str]) -> list[str]:
        return [f"{self._prefix}{feature}" for feature in sorted(features)]

    def _to_features(self, names: Iterable[str]) -> list[str]:
        """Return the features of this worker's model."""
        prefix = self._prefix
        return [name.removeprefix(prefix) for name in names if name.startswith(prefix)]

    def end(self) -> None:
        """Let the request that waits go on: the coordinator is lost."""
        self._settle(has_turn=True)

    def _settle(self, *, has_turn: bool) -> bool:
        waiting = self._waiting
        if waiting is None or waiting.done():
            return False
        waiting.set_result(has_turn)
        return True
