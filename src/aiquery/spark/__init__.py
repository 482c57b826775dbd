"""Apache Spark: a local session with the AI functions, the settings of a cluster, and the functions for DataFrames."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiquery.late import load_late

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
    __getattr__ = load_late(__name__, _LATE)
