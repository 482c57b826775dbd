"""The registry of providers, AI functions and engines, found by entry point.

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
    """Return every function by its name."""
    return {
        point.name: point.load() for point in entry_points(group="aiquery.functions")
    }


@cache
def engines() -> dict[str, Engine]:
    """Return every engine by its name."""
    return {point.name: point.load() for point in entry_points(group="aiquery.engines")}


@cache
def provider(name: str) -> type[Provider]:
    """Return the provider ``name``; the error names the nearest ones."""
    found = {point.name: point for point in entry_points(group="aiquery.providers")}
    if name not in found:
        nearest = get_close_matches(name, found, n=1)
        hint = (
            f"did you mean {nearest[0]!r}?"
            if nearest
            else f"known: {', '.join(sorted(found))}."
        )
        raise ConfigError(f"provider {name!r} does not exist; {hint}")
    kind: type[Provider] = found[name].load()
    return kind
