"""Apache Spark: a local session with the AI functions, the settings of a cluster, and the functions for DataFrames."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aiquery.engines.spark.driver.estimate import estimate
    from aiquery.engines.spark.driver.session import session, settings

__all__ = ["estimate", "session", "settings"]


_LATE = {
    "estimate": "aiquery.engines.spark.driver.estimate",
    "session": "aiquery.engines.spark.driver.session",
    "settings": "aiquery.engines.spark.driver.session",
}
"""Public names by module. Spark's daemon is a module of this package, and imports none of them."""

if not TYPE_CHECKING:  # a type checker would accept every name

    def __getattr__(name: str) -> Any:
        if name in _LATE:
            return getattr(import_module(_LATE[name]), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
