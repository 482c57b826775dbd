"""The registry of providers, AI functions and engines, which are found by entry point.

Built-ins are registered as plugins are: one line in ``[project.entry-points]``.
"""

from __future__ import annotations

from difflib import get_close_matches
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from aiquery.errors import ConfigError

if TYPE_CHECKING:
    from aiquery.interfaces import AIFunction, Engine, Provider


@cache
def functions() -> dict[str, AIFunction]:
    """Return the AI functions by name."""
    points = entry_points(group="aiquery.functions")
    return {point.name: point.load() for point in points}


@cache
def engines() -> dict[str, Engine]:
    """Return the engines by name."""
    points = entry_points(group="aiquery.engines")
    return {point.name: point.load() for point in points}


@cache
def provider(name: str) -> type[Provider]:
    """Return the provider class ``name``. Raises ``ConfigError``, which names the nearest one."""
    points = {point.name: point for point in entry_points(group="aiquery.providers")}
    if name not in points:
        nearest = get_close_matches(name, points, n=1)
        hint = f"known: {', '.join(sorted(points))}."
        if nearest:
            hint = f"did you mean {nearest[0]!r}?"
        raise ConfigError(f"provider {name!r} does not exist; {hint}")
    found: type[Provider] = points[name].load()
    return found
