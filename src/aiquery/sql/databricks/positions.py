"""Show the place of an error in the text of a statement: line and column, and the line with a caret."""

from __future__ import annotations

from aiquery.errors import StatementError

_WIDTH = 76


class RefusedHere(StatementError):
    """A function or syntax that is refused, with the index of its first character in the text."""

    def __init__(self, message: str, start: int | None) -> None:
        """``start`` is None where the place is not known."""
        super().__init__(message)
        self.message = message
        self.start = start


def with_position(message: str, text: str, start: int) -> str:
    """Return a message with line and column, counted from 1, and the line of the text with a caret."""
    before = text[:start]
    line_start = before.rfind("\n") + 1
    line = before.count("\n") + 1
    column = start - line_start
    whole = text[line_start:].split("\n", 1)[0]
    first = max(0, column - _WIDTH // 2)
    shown = whole[first : first + _WIDTH].replace("\t", " ")
    caret = " " * (column - first)
    return f"{message}\nline {line}, column {column + 1}:\n  {shown}\n  {caret}^"
