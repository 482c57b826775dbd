"""The protocol of a durable store of answers. It is called from one thread, never from the event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

DEAD_S = 10.0
"""A claim is void once its process has sent no heartbeat for this many seconds."""

HEARTBEAT_S = 2.0


class Answer(NamedTuple):
    """One stored answer: key, endpoint, value as JSON, and times in seconds since the epoch."""

    key: bytes
    endpoint: str
    value: bytes
    made_at: float
    used_at: float


class Found(NamedTuple):
    """Result of a look-up. The keys that are in neither field are claimed by the caller.

    values      values by key
    elsewhere   keys that another process has claimed
    made_at     when each value was stored, in seconds since the epoch
    unreadable  number of answers that are damaged, or that another program wrote; they count as missing
    """

    values: dict[bytes, bytes]
    elsewhere: list[bytes]
    made_at: dict[bytes, float]
    unreadable: int = 0


class Statistics(NamedTuple):
    """Size of a store: number of answers, bytes, and number of answers by endpoint."""

    answers: int
    size_bytes: int
    by_endpoint: dict[str, int]


class Store(Protocol):
    """Answers by key, shared by every process that opens the same address. Raises ``StoreFailed``."""

    def find(self, keys: Sequence[bytes]) -> Found:
        """Return the answers that exist, and claim the other keys until ``save`` or ``release``."""

    def find_known(self, keys: Sequence[bytes]) -> list[bytes]:
        """Return the keys that have an answer. Claims nothing."""

    def save(self, answers: Sequence[tuple[bytes, str, bytes]]) -> None:
        """Store (key, endpoint, value) durably before this returns."""

    def release(self, keys: Sequence[bytes]) -> None:
        """Release claims without an answer."""

    def keep_claims(self) -> None:
        """Renew the claims of this process; called every ``HEARTBEAT_S``."""

    def statistics(self) -> Statistics:
        """Return the size of the store."""

    def prune(self) -> int:
        """Delete expired answers and those above the size limit; return their number."""

    def clear(self) -> int:
        """Delete every answer; return their number."""

    def export(self) -> Iterator[Answer]:
        """Yield every answer."""

    def close(self) -> None:
        """Release the claims and close."""


def seal(key: bytes, value: bytes) -> bytes:
    """Return ``value`` after a checksum over key and value: a damaged page must not become an answer."""
    return crc32(value, crc32(key)).to_bytes(4, "big") + value


def unseal(key: bytes, sealed: object) -> bytes | None:
    """Return the value; None if it is damaged."""
    if not isinstance(sealed, bytes):
        return None
    value = sealed[4:]
    return value if seal(key, value) == sealed else None


def split_keys(keys: Sequence[bytes], size: int) -> Iterable[Sequence[bytes]]:
    """Split ``keys`` into pieces of at most ``size``."""
    return (keys[i : i + size] for i in range(0, len(keys), size))
