"""The configuration of the Spark session that a task belongs to."""

from __future__ import annotations

import sys

CONFIG = "spark.aiquery.config"


def task_config() -> str | None:
    """Return the session's ``spark.aiquery.config``, empty if it is not set; None outside of a Spark task."""
    if "pyspark" not in sys.modules:
        return None
    from pyspark import TaskContext

    context = TaskContext.get()
    if context is None:
        return None
    return context.getLocalProperty(CONFIG) or ""
