"""Spark's Python daemon with the worker imported: it forks every worker, which saves seconds of imports.

``spark.python.daemon.module=aiquery.spark.daemon`` uses it. Without it everything works, and starts later.
"""

from __future__ import annotations

import pyarrow as pa
import pyspark.worker  # noqa: F401  the workers would import it
from pyspark.daemon import manager

import aiquery.engines.spark.executor.worker
import aiquery.providers.openai  # noqa: F401
from aiquery.runtime.event_loop import new_loop


def main() -> None:
    """Run the daemon."""
    pa.array([""])  # the first array imports pandas, if it is installed
    new_loop().close()
    manager()
