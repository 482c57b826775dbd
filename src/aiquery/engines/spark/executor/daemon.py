"""Spark's Python daemon with our worker loaded: it forks every worker, and none has to import for seconds again.

``spark.python.daemon.module=aiquery.engines.spark.executor.daemon`` uses it; without, everything works, and starts
later.
"""

from __future__ import annotations

import pyarrow as pa
import pyspark.worker  # noqa: F401  what the workers would import
from pyspark.daemon import manager

import aiquery.engines.spark.executor.worker
import aiquery.providers.openai  # noqa: F401
from aiquery.runtime.event_loop import new_loop

if __name__ == "__main__":
    pa.array([""])  # the first array imports pandas where there is one
    new_loop().close()
    manager()
