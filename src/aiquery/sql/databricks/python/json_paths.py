"""Paths of ``get_json_object`` that DuckDB reads otherwise: names in quotes, and ``[*]``."""

from __future__ import annotations

import functools
import re
from typing import Any

import msgspec

from aiquery.errors import StatementError

_STEP = re.compile(
    r"""\.([^.\[\]*'"]+)|(?:\['|\.")([^'"]+)(?:'\]|")|\[(\d+)\]|(\[\*\])"""
)


def check_path(path: str) -> None:
    """Raise ``StatementError`` for a path with more than ``.name``, ``['name']``, ``[0]`` and one ``[*]``."""
    steps = _steps(path)
    if steps is None or sum(step is None for step in steps) > 1:
        raise StatementError(
            f"get_json_object: the path {path!r} is not supported on DuckDB: it has .name, ['name'], [0] and at most "
            "one [*]."
        )


def json_parts(text: str, path: str) -> str:
    """Return the part of a JSON document that a path leads to, as a text; "" if there is none.

    A text is without quotes, but not that of ``[*]``. Several parts of ``[*]`` are an array, and one part is itself.

    >>> json_parts('{"a": [{"b": 1}, {"b": 2}]}', "$.a[*].b"), json_parts('{"a b": "x"}', "$['a b']")
    ('[1,2]', 'x')
    """
    found = [msgspec.json.decode(text)]
    steps = _steps(path) or ()
    for step in steps:
        found = [part for value in found for part in _follow(value, step)]
    present = [one for one in found if one is not None]
    if not present:
        return ""
    value = present[0] if len(present) == 1 else present
    if isinstance(value, str) and None not in steps:
        return value
    return msgspec.json.encode(value).decode()


def any_case(text: str, path: str) -> str:
    """Return the part of a JSON document that a path leads to, as JSON; the case of names does not count.

    'null' if there is none.

    >>> any_case('{"Kind": {"A": "x"}}', "$.kind.a")
    '"x"'
    """
    value = msgspec.json.decode(text)
    for step in _steps(path) or ():
        parts = _follow(value, _name_of(value, step))
        value = parts[0] if parts else None
    return msgspec.json.encode(value).decode()


def _name_of(value: Any, step: str | int | None) -> str | int | None:
    """Return the name of a field that is a step of a path but for its case; the step itself if there is none."""
    if not isinstance(value, dict) or step in value:
        return step
    wanted = str(step).lower()
    return next((name for name in value if name.lower() == wanted), step)


@functools.lru_cache(maxsize=1_000)
def _steps(path: str) -> tuple[str | int | None, ...] | None:
    """Return the names, the positions, and None for ``[*]``; None for a path of another form."""
    steps: list[str | int | None] = []
    position = 1
    while position < len(path):
        match = _STEP.match(path, position)
        if match is None:
            return None
        name, quoted, index, _ = match.groups()
        steps.append(int(index) if index is not None else name or quoted)
        position = match.end()
    return tuple(steps)


def _follow(value: Any, step: str | int | None) -> list[Any]:
    if step is None:
        return value if isinstance(value, list) else []
    if isinstance(step, int):
        is_there = isinstance(value, list) and step < len(value)
        return [value[step]] if is_there else []
    return [value[step]] if isinstance(value, dict) and step in value else []
