"""Pure: answers that wait to be written while their store is away: the newest, as far as there is room."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_BYTES = 64 * 1024 * 1024
"""Above it the oldest are given up: they live in memory, and another process asks for them again."""


class Unsaved(NamedTuple):
    """One answer to write; ``lost`` is called if it never is."""

    key: bytes
    endpoint: str
    value: bytes
    lost: Callable[[], None]


class Backlog:
    """A bounded queue."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        """Hold nothing."""
        self.lost = 0
        self._most = most_bytes
        self._bytes = 0
        self._waiting: deque[Unsaved] = deque()

    def __len__(self) -> int:
        """Count what waits."""
        return len(self._waiting)

    def add(self, answers: list[Unsaved]) -> None:
        """Let answers wait; the oldest go where there is no room."""
        self._waiting += answers
        self._bytes += sum(len(answer.value) for answer in answers)
        while self._bytes > self._most and self._waiting:
            self._lose(self._waiting.popleft())

    def take(self, count: int) -> list[Unsaved]:
        """Remove and return the oldest."""
        taken = [self._waiting.popleft() for _ in range(min(count, len(self._waiting)))]
        self._bytes -= sum(len(answer.value) for answer in taken)
        return taken

    def give_up(self) -> None:
        """Lose everything."""
        while self._waiting:
            self._lose(self._waiting.popleft())

    def _lose(self, answer: Unsaved) -> None:
        self._bytes -= len(answer.value)
        self.lost += 1
        answer.lost()
