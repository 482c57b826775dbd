"""What Python code in a Spark job is told by the session that the job belongs to."""

from __future__ import annotations

import sys

CONFIG = "spark.aiquery.config"


def configuration() -> str | None:
    """Return the session's ``spark.aiquery.config``, empty if it has none; None outside of a job."""
    if "pyspark" not in sys.modules:
        return None
    from pyspark import TaskContext

    context = TaskContext.get()
    return None if context is None else context.getLocalProperty(CONFIG) or ""
