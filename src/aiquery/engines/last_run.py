"""``aiquery.last_run``: of this process, or of the Spark application that it drives."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from aiquery.tracking import active as watch

if TYPE_CHECKING:
    from aiquery.tracking.run import Progress


def last_run() -> Progress | None:
    """Return the figures of the statement that was begun last, finished or not; None before the first.

    It is one of this process, or of the Spark application that this process drives: there a run is what one action of
    a DataFrame asked. Not of a Spark Connect session, whose runs are kept where its server is.
    """
    found = [watch.last_run()]
    if "pyspark.sql" in sys.modules:
        from aiquery.engines.spark.driver.history import last_run as last_of_spark

        found.append(last_of_spark())
    return max(
        (one for one in found if one is not None),
        key=lambda one: one.started_at,
        default=None,
    )
