"""Embedding requests take many texts: entries that wait are asked together, longest with longest.

Each text remains an entry of its own, with its own answer, its own error, and whoever waits for it. A pack that an
endpoint refuses is halved until the text that is to blame is alone; a text that is too long for the model is shortened.
No clock, no event loop: the lane asks for the next pack when there is a place for it.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING

import msgspec

from aiquery.inference.in_flight import InFlightRequest
from aiquery.requests.request import Request, Response

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aiquery.errors import RowError

TOKENS = 300_000
"""What OpenAI allows in one embedding request; counted as one per three characters, rather too many."""

CHARACTERS_PER_TOKEN = 3
SHORTEST = 16
"""Characters below which a text is not shortened any more."""


class Batch(InFlightRequest):
    """Texts that are asked in one request."""

    __slots__ = ("_members", "shortened")

    def __init__(self, members: list[InFlightRequest]) -> None:
        """``members`` have the same target."""
        first = members[0]
        texts = [str(member.request.content) for member in members]
        super().__init__(Request(first.request.target, texts), b"", *first.waiters[0])
        self._members = members
        self.ledger_key = first.ledger_key
        self.queued_at = min(member.queued_at for member in members)
        self.shortened = False

    @property
    def members(self) -> Sequence[InFlightRequest]:
        """The entries of the single texts."""
        return self._members

    def unwanted(self) -> bool:
        """Say whether everybody who waited for any of the texts has gone."""
        return all(member.unwanted() for member in self._members)

    def read(self, response: Response) -> list[object]:
        """Return the value of each text."""
        vectors = response.vectors or []
        parts = [msgspec.structs.replace(response, vectors=[vector]) for vector in vectors]
        reply = self.request.target.reply
        return [reply.read(part, member.request) for part, member in zip(parts, self._members, strict=True)]

    def cut(self, response: Response) -> int:
        """Count the texts that were cut, by the endpoint or by us."""
        return len(self._members) if self.shortened else response.cut()

    def smaller(self, error: RowError) -> list[Batch]:
        """Return what to ask instead once this failed for good: one text must not take the others with it."""
        if error.unavailable or error.gives_up_after is not None:
            return []  # no text is to blame
        if len(self._members) > 1:
            middle = len(self._members) // 2
            return [Batch(self._members[:middle]), Batch(self._members[middle:])]
        shorter = self.shorter(error.too_long) if error.too_long is not None else None
        return [shorter] if shorter is not None else []

    def shorter(self, share: float) -> Batch | None:
        """Return the one text of this pack cut to ``share`` of its length; None if it is short already."""
        text = str(self.request.content[0])  # type: ignore[index]
        length = int(len(text) * share)
        if length < SHORTEST:
            return None
        pack = Batch(self._members)
        pack.request = Request(self.request.target, [text[:length]])
        pack.shortened = True
        return pack


class Batcher:
    """The texts of one endpoint that wait to be packed. ``texts`` is how many one request may have."""

    def __init__(self, texts: int = 1, tokens: int = TOKENS) -> None:
        """Start empty."""
        self.texts = texts
        self.tokens = tokens
        self._waiting: dict[bytes, list[InFlightRequest]] = {}
        self._sorted = True

    def __len__(self) -> int:
        """Count the texts that wait."""
        return sum(map(len, self._waiting.values()))

    def add(self, entry: InFlightRequest) -> None:
        """Let a text wait; those of one target are asked together."""
        self._waiting.setdefault(entry.request.target.digest, []).append(entry)
        self._sorted = False

    def take(self) -> Batch | None:
        """Return the longest texts that wait and fit into one request; None if nothing waits."""
        if not self._sorted:
            for waiting in self._waiting.values():
                waiting.sort(key=attrgetter("size"))
            self._sorted = True
        for digest, waiting in self._waiting.items():
            members = [waiting.pop()]
            room = self.tokens - members[0].size // CHARACTERS_PER_TOKEN
            while waiting and len(members) < self.texts and waiting[-1].size // CHARACTERS_PER_TOKEN <= room:
                members.append(waiting.pop())
                room -= members[-1].size // CHARACTERS_PER_TOKEN
            if not waiting:
                del self._waiting[digest]
            return Batch(members)
        return None

    def drop(self, unwanted: Callable[[InFlightRequest], bool]) -> list[InFlightRequest]:
        """Remove and return every text that nobody wants any more."""
        gone = [entry for waiting in self._waiting.values() for entry in waiting if unwanted(entry)]
        if gone:
            kept = {digest: [e for e in waiting if not unwanted(e)] for digest, waiting in self._waiting.items()}
            self._waiting = {digest: waiting for digest, waiting in kept.items() if waiting}
        return gone
