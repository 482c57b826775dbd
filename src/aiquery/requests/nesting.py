"""How deep a text is nested. What is too deep is refused before a recursive parser reads it."""

from __future__ import annotations

import re

_JSON = re.compile(r'"(?:[^"\\]|\\.)*"|([\[{])|([\]}])', re.DOTALL)
_TYPE = re.compile(r"`[^`]*`|([<(])|([>)])")


def measure_json_depth(text: str) -> int:
    """Return how deep objects and arrays of a JSON text are nested, in time proportional to its length.

    >>> measure_json_depth('{"a": [1, "[["]}')
    2
    """
    return _measure(_JSON, text)


def measure_type_depth(text: str) -> int:
    """Return how deep the types of a DDL text are nested.

    >>> measure_type_depth("ARRAY<STRUCT<a: DECIMAL(10, 2)>>")
    3
    """
    return _measure(_TYPE, text)


def _measure(tokens: re.Pattern[str], text: str) -> int:
    depth = 0
    deepest = 0
    for token in tokens.finditer(text):
        if token[1]:
            depth += 1
            deepest = max(deepest, depth)
        elif token[2]:
            depth -= 1
    return deepest
