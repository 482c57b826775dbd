"""Answers that wait to be written while their store is away: the newest, within a size limit."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_BYTES = 64 * 1024 * 1024
"""Above it the oldest answers are dropped: they stay in memory, and other processes request them again."""


class Unsaved(NamedTuple):
    """One answer to write; ``lost`` is called if it is never written."""

    key: bytes
    endpoint: str
    value: bytes
    lost: Callable[[], None]


class Backlog:
    """A bounded queue of answers. ``lost`` counts the dropped ones."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        """Start empty."""
        self.lost = 0
        self._max_bytes = max_bytes
        self._bytes = 0
        self._waiting: deque[Unsaved] = deque()

    def __len__(self) -> int:
        """Count the answers that wait."""
        return len(self._waiting)

    def add(self, answers: list[Unsaved]) -> None:
        """Queue answers; drop the oldest above the size limit."""
        self._waiting += answers
        self._bytes += sum(len(answer.value) for answer in answers)
        while self._bytes > self._max_bytes and self._waiting:
            self._drop(self._waiting.popleft())

    def take(self, count: int) -> list[Unsaved]:
        """Remove and return the oldest answers."""
        taken = [self._waiting.popleft() for _ in range(min(count, len(self._waiting)))]
        self._bytes -= sum(len(answer.value) for answer in taken)
        return taken

    def drop_all(self) -> None:
        """Drop every answer."""
        while self._waiting:
            self._drop(self._waiting.popleft())

    def _drop(self, answer: Unsaved) -> None:
        self._bytes -= len(answer.value)
        self.lost += 1
        answer.lost()
