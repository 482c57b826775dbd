"""Finds the JSON in a reply that has something around it: prose, fences, markers of the end, the value twice.

A value is taken only if there is exactly one that fits. Everything takes a time in proportion to the text.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_OPENING = re.compile(r"[\[{]")
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"|[\[\]{}]|"', re.DOTALL)
_NUMBER = re.compile(
    r"(?<![\w.,%/:-])-?\d++(?:\.\d++)?+(?:[eE][+-]?\d++)?+(?![\w%/:-]|[.,]\d)"
)
_WORD = re.compile(r"(?<!\w)(?:true|false)(?!\w)", re.IGNORECASE)
_MAX_UNCLOSED = 20
"""Brackets of the prose that are never closed: after so many, the search ends."""

_MAX_SCALAR_CHARACTERS = 10_000
_ENCODER = msgspec.json.Encoder(decimal_format="number")


class Found(NamedTuple):
    """A value, and the JSON text of it."""

    text: str
    value: Any


def find_json(
    text: str, fits: Callable[[Any], bool], *, exact: bool = False
) -> Found | None:
    """Return the one object or array in ``text`` that fits; None if there is none, or several that differ.

    ``exact`` reads a number with a fraction as a Decimal.
    """
    decoder = json.JSONDecoder(
        strict=False,  # a line break within a string
        parse_float=Decimal if exact else None,
        parse_constant=_refuse_constant,
    )
    found: dict[bytes, Found] = {}
    for span in _find_spans(text):
        try:
            value = decoder.decode(span)
        except (ValueError, RecursionError):
            continue
        if fits(value):
            encoded = _ENCODER.encode(value)
            found.setdefault(encoded, Found(encoded.decode(), value))
    return next(iter(found.values())) if len(found) == 1 else None


def find_scalar(text: str, fits: Callable[[Any], bool]) -> Any:
    """Return the one number or truth value in a text that fits; None if there is none, or several that differ."""
    if len(text) > _MAX_SCALAR_CHARACTERS:
        return None
    numbers = [Decimal(found[0]) for found in _NUMBER.finditer(text)]
    words = [found[0].lower() == "true" for found in _WORD.finditer(text)]
    values = {value for value in (*numbers, *words) if fits(value)}
    return values.pop() if len(values) == 1 else None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _find_spans(text: str) -> Iterator[str]:
    """Yield the outermost balanced objects and arrays of a text.

    A quote counts only within brackets: in prose it may be an apostrophe or a sign for inches.
    """
    position = 0
    unclosed = 0
    while unclosed < _MAX_UNCLOSED:
        opening = _OPENING.search(text, position)
        if opening is None:
            return
        end = _find_end(text, opening.start())
        if end is None:
            unclosed += 1
            position = opening.end()
        else:
            yield text[opening.start() : end]
            position = end


def _find_end(text: str, start: int) -> int | None:
    """Return the end of the object or array at ``start``; None if it is not closed."""
    depth = 0
    for token in _TOKEN.finditer(text, start):
        sign = token[0]
        if sign in {"{", "["}:
            depth += 1
        elif sign in {"}", "]"}:
            depth -= 1
            if not depth:
                return token.end()
        elif sign == '"':
            return None
    return None
