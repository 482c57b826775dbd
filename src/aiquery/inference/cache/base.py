"""What a durable store of answers is, whatever it is made of: called from one thread, never from the event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

DEAD_S = 10.0
"""Who asks for an answer says so; a claim of a process that has not been heard of for so many seconds is void."""

HEARTBEAT_S = 2.0


class Answer(NamedTuple):
    """One stored answer: its address, whom it came from, the value as JSON, and the times (seconds since the epoch)."""

    key: bytes
    endpoint: str
    value: bytes
    made_at: float
    used_at: float


class Found(NamedTuple):
    """What a look-up brought: values by key, and the keys that another process asks right now. The rest is ours.

    ``made_at`` says when each value was kept, in seconds since the epoch.
    """

    values: dict[bytes, bytes]
    elsewhere: list[bytes]
    made_at: dict[bytes, float]


class Statistics(NamedTuple):
    """How much a store holds: answers, bytes of the store, and answers by endpoint."""

    answers: int
    size_bytes: int
    by_endpoint: dict[str, int]


class Store(Protocol):
    """Answers by key, shared by every process that opens the same place."""

    def find(self, keys: Sequence[bytes]) -> Found:
        """Return what is there, and claim the rest: until ``save`` or ``release`` it is ours to ask."""

    def find_known(self, keys: Sequence[bytes]) -> list[bytes]:
        """Return those of the keys that have an answer; nothing is claimed."""

    def save(self, answers: Sequence[tuple[bytes, str, bytes]]) -> None:
        """Keep (key, endpoint, value) for good, before this returns."""

    def release(self, keys: Sequence[bytes]) -> None:
        """Give claims back that ended without an answer."""

    def keep_claims(self) -> None:
        """Say that this process lives; called every ``HEARTBEAT_S``."""

    def statistics(self) -> Statistics:
        """Count what is there."""

    def prune(self) -> int:
        """Remove what is past its time to live or beyond the size bound; return how many answers went."""

    def clear(self) -> int:
        """Remove everything; return how many answers went."""

    def export(self) -> Iterator[Answer]:
        """Yield every answer."""

    def close(self) -> None:
        """Release the claims and let go of the place."""


def seal(key: bytes, value: bytes) -> bytes:
    """Return ``value`` with a checksum over key and value in front: a damaged page must not become an answer."""
    return crc32(value, crc32(key)).to_bytes(4, "big") + value


def unseal(key: bytes, sealed: object) -> bytes | None:
    """Return the value, or None if it is damaged."""
    if not isinstance(sealed, bytes):
        return None
    value = sealed[4:]
    return value if seal(key, value) == sealed else None


def chunks(keys: Sequence[bytes], size: int) -> Iterable[Sequence[bytes]]:
    """Cut ``keys`` into pieces of at most ``size``."""
    return (keys[i : i + size] for i in range(0, len(keys), size))
