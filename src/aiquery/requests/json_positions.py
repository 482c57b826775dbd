"""Where the scalars of a JSON text stand in it."""

from __future__ import annotations

import json
import re
from typing import TypeAlias

Path: TypeAlias = tuple[str | int, ...]
"""The names and positions that lead to a value."""

Span: TypeAlias = tuple[int, int]

_SPACE = re.compile(r"[ \t\r\n]*")
_WORD = re.compile(r"[^\s,\]}]+")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*+"', re.DOTALL)


def find_scalars(text: str) -> dict[Path, Span]:
    """Return the start and end of each scalar in a JSON text, by its path; of a string, those within its quotes.

    ``text`` is valid JSON, and not nested deeper than replies may be.

    >>> find_scalars('{"a": [1, "xy"]}')
    {('a', 0): (7, 8), ('a', 1): (11, 13)}
    """
    found: dict[Path, Span] = {}
    _read(text, _skip(text, 0), (), found)
    return found


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _read(text: str, at: int, path: Path, found: dict[Path, Span]) -> int:
    """Note the scalars of the value that begins at ``at``; return the index after it."""
    if text[at] == "{":
        return _read_object(text, at, path, found)
    if text[at] == "[":
        return _read_array(text, at, path, found)
    is_string = text[at] == '"'
    match = (_STRING if is_string else _WORD).match(text, at)
    if match is None:
        raise ValueError(f"no JSON value at {at}")
    found[path] = (at + 1, match.end() - 1) if is_string else match.span()
    return match.end()


def _read_object(text: str, at: int, path: Path, found: dict[Path, Span]) -> int:
    at = _skip(text, at + 1)
    while text[at] != "}":
        match = _STRING.match(text, at)
        if match is None:
            raise ValueError(f"no JSON name at {at}")
        name = json.loads(match[0], strict=False)
        at = _skip(text, match.end())
        at = _read(text, _skip(text, at + 1), (*path, name), found)
        at = _skip_comma(text, at)
    return at + 1


def _read_array(text: str, at: int, path: Path, found: dict[Path, Span]) -> int:
    at = _skip(text, at + 1)
    index = 0
    while text[at] != "]":
        at = _read(text, at, (*path, index), found)
        at = _skip_comma(text, at)
        index += 1
    return at + 1


def _skip_comma(text: str, at: int) -> int:
    at = _skip(text, at)
    return _skip(text, at + 1) if text[at] == "," else at
