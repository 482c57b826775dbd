"""Detects that a model repeats the same piece again and again, which it would until its token limit."""

from __future__ import annotations

_CHECK_EVERY = 128
"""Characters between two checks."""

_WINDOW = 8192
"""Characters that are looked at: the last ones."""

_MIN_TIMES = 8
"""A piece that stands here so many times in a row is a runaway, .."""

_MIN_ITEMS = 64
""".. but a piece with a quote, which is an item of a list or several, only if these are so many in all: a list may
well have 30 equal items. .."""

_MIN_CHARACTERS = 512
""".. All of them together have at least so many characters: a line of dashes is no runaway."""


_CUT_TIMES = 3
"""So often a piece stands at the end of a text that was cut, if it may be a runaway: there is nothing to lose."""

_CUT_CHARACTERS = 16


class RepetitionDetector:
    """Looks at a text while it is written."""

    def __init__(self) -> None:
        """Start with the empty text."""
        self.is_found = False
        self._tail = ""
        self._unchecked = 0

    def add(self, text: str) -> None:
        """Add the next part of the text, and look for a repetition from time to time."""
        self._tail = (self._tail + text)[-_WINDOW:]
        self._unchecked += len(text)
        if self._unchecked >= _CHECK_EVERY and not self.is_found:
            self._unchecked = 0
            self.is_found = ends_in_repetition(self._tail)


def ends_in_repetition(text: str) -> bool:
    """Return True if the text ends in one piece that stands there so often that it is no answer."""
    for size in range(1, len(text) // 2 + 1):
        piece = text[-size:]
        times = max(_MIN_TIMES, -(-_MIN_CHARACTERS // size))
        if '"' in piece:
            items = max(piece.count('"') // 2, 1)
            times = max(-(-_MIN_ITEMS // items), -(-_MIN_CHARACTERS // size), 2)
        if _ends_in(text, size, times):
            return True
    return False


def may_be_runaway(text: str) -> bool:
    """Return True if a text that was cut at the token limit ends in a piece that stands there three times or more."""
    tail = text[-_WINDOW:]
    sizes = range(1, len(tail) // _CUT_TIMES + 1)
    return any(
        _ends_in(tail, size, max(_CUT_TIMES, -(-_CUT_CHARACTERS // size)))
        for size in sizes
    )


def _ends_in(text: str, size: int, times: int) -> bool:
    """Return True if the last ``size`` characters stand at the end of the text so many times in a row."""
    length = size * times
    return length <= len(text) and text[-length:-size] == text[size - length :]
