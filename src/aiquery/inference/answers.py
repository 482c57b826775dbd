"""Answers by content address: what was answered once is not asked again."""

from __future__ import annotations


class Answers:
    """Answers in memory, for as long as the run lives. Only answers are kept, never errors."""

    def __init__(self) -> None:
        """Start empty."""
        self._values: dict[bytes, object] = {}

    def __len__(self) -> int:
        """Count the answers."""
        return len(self._values)

    def __contains__(self, key: bytes) -> bool:
        """Say whether the request with this key was answered."""
        return key in self._values

    def __getitem__(self, key: bytes) -> object:
        """Return the value of the answer; a value may be None."""
        return self._values[key]

    def keep(self, key: bytes, value: object) -> None:
        """Keep an answer."""
        self._values[key] = value
