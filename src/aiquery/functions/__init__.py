"""The AI functions, one file each; and, as ``aiquery.functions.classify(frame, ..)``, the same for data frames.

>>> import pyarrow as pa
>>> from aiquery import functions
>>> frame = pa.table({"message": ["My card was lost", None]})
>>> config = {"endpoints": {"m": {"provider": "fake", "options": {"choices": "urgent"}}}}
>>> functions.classify(frame, "message", labels=["urgent", "not urgent"], endpoint="m", config=config).to_pylist()
['urgent', None]
"""

from __future__ import annotations

from typing import Any

from aiquery import registry

_PREFIX = "ai_"


def __getattr__(name: str) -> Any:
    """Return the function ``ai_NAME`` for data frames."""
    found = registry.functions().get(_PREFIX + name)
    if found is None:
        raise AttributeError(f"module 'aiquery.functions' has no attribute {name!r}")
    frames: Any = registry.engines()["frames"]
    return frames.function(found)


def __dir__() -> list[str]:
    """Name the functions."""
    return sorted(name.removeprefix(_PREFIX) for name in registry.functions())
