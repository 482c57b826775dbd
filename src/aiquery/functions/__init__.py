"""The AI functions, one module each. Their attributes here are the same functions for data frames.

``aiquery.functions.classify(frame, ..)`` is ``ai_classify`` on a column of ``frame``: a pandas,
Polars or Arrow table.

Examples
--------
>>> import pyarrow as pa
>>> from aiquery import functions
>>> frame = pa.table({"message": ["My card was lost", None]})
>>> endpoint = {"provider": "fake", "options": {"choices": "urgent"}}
>>> config = {"endpoints": {"m": endpoint}}
>>> labels = ["urgent", "not urgent"]
>>> functions.classify(frame, "message", labels=labels, endpoint="m", config=config).to_pylist()
['urgent', None]
"""

from __future__ import annotations

from typing import Any

from aiquery import registry

_PREFIX = "ai_"


def __getattr__(name: str) -> Any:
    """Return the function ``ai_NAME`` for data frames."""
    function = registry.functions().get(_PREFIX + name)
    if function is None:
        raise AttributeError(f"module 'aiquery.functions' has no attribute {name!r}")
    frames: Any = registry.engines()["frames"]
    return frames.function(function)


def __dir__() -> list[str]:
    """Return the names of the functions, without their prefix."""
    return sorted(name.removeprefix(_PREFIX) for name in registry.functions())
