"""The AI functions for Spark DataFrames: ``df.withColumn("s", ai_query("m", df.prompt, return_type="INT"))``.

Each takes its arguments in the order of SQL, by the same names in snake_case. A column is a ``Column`` or its name, a
constant is a Python value (a dict is a STRUCT), and an argument that may be either is a ``Column`` or a text. They work
on classic and Connect sessions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiquery import registry
from aiquery.engines.spark.driver.functions import column_function

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyspark.sql import Column


def __getattr__(name: str) -> Callable[..., Column]:
    """Return the function of that name."""
    function = registry.functions().get(name)
    if function is None:
        raise AttributeError(
            f"module 'aiquery.spark.functions' has no attribute {name!r}"
        )
    return column_function(function)


def __dir__() -> list[str]:
    """Return the names of the functions."""
    return sorted(registry.functions())
