"""What a model takes, learned from its replies: the first request of a kind is sent alone, and the others wait for it.

So a parameter that a model rejects costs one request, however many wait. In a cluster the coordinator decides whose
request it is, and passes on what was learned.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    AskForTurn = Callable[[frozenset[str]], Awaitable[bool]]
    ReturnTurn = Callable[[Iterable[str], Iterable[str]], None]


class Capabilities:
    """The features of an endpoint's model, in one process. Used on the loop thread."""

    def __init__(self) -> None:
        """Know nothing."""
        self.accepted: set[str] = set()
        self.rejected: set[str] = set()
        self.ask_for_turn: AskForTurn | None = None
        """Asks the coordinator for the turn to send an unknown feature; False if others may be known now."""

        self.return_turn: ReturnTurn | None = None
        """Gives a turn back to the coordinator, with what is accepted and rejected."""

        self._turn: asyncio.Future[None] | None = None

    def knows(self, features: frozenset[str]) -> bool:
        """Return True if each feature was accepted or rejected."""
        return features <= self.accepted or not features - self.accepted - self.rejected

    async def wait_for_turn(self, features: frozenset[str]) -> bool:
        """Return True once it is this request's turn to show the endpoint unknown features; False if they are known.

        After True, ``end_turn`` must follow.
        """
        while not self.knows(features):
            if self._turn is not None:
                await asyncio.shield(self._turn)
                continue
            self._turn = asyncio.get_running_loop().create_future()
            try:
                has_turn = self.ask_for_turn is None or await self.ask_for_turn(
                    features
                )
            except BaseException:
                self._free_turn()
                raise
            if has_turn:
                return True
            self._free_turn()
        return False

    def end_turn(self) -> None:
        """Let the next request have its turn, if features are still unknown."""
        self._free_turn()
        if self.return_turn is not None:
            self.return_turn(self.accepted, self.rejected)

    def learn(self, accepted: Iterable[str], rejected: Iterable[str]) -> set[str]:
        """Add features; return the rejected ones that are new."""
        new = set(rejected) - self.rejected
        self.rejected |= new
        self.accepted |= set(accepted)
        return new

    def _free_turn(self) -> None:
        if self._turn is not None and not self._turn.done():
            self._turn.set_result(None)
        self._turn = None
