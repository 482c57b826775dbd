"""Apache Spark: a local session with the AI functions, the settings of a cluster, and the functions for DataFrames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aiquery.engines.spark.driver.estimate import estimate
    from aiquery.engines.spark.driver.session import session, settings

__all__ = ["estimate", "session", "settings"]


def __getattr__(name: str) -> Any:
    """Import a public name when it is used: Spark's daemon is a module of this package and needs none of them."""
    if name == "estimate":
        from aiquery.engines.spark.driver.estimate import estimate

        return estimate
    if name in __all__:
        from aiquery.engines.spark.driver import session as module

        return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
