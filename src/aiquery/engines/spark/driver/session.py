"""A Spark session with the AI functions."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiquery.config import environment
from aiquery.engines.spark.driver.history import follow
from aiquery.engines.spark.driver.interrupt import cancel_on_ctrl_c
from aiquery.engines.spark.driver.java import find_java
from aiquery.engines.spark.task_config import CONFIG
from aiquery.reporting.progress import enable_progress_if_interactive

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

JAR = Path(__file__).parent / "aiquery-spark.jar"
DAEMON = "aiquery.engines.spark.executor.daemon"
EXTENSION = "org.apache.spark.sql.aiquery.Extension"


def settings(config: str | None = None) -> dict[str, str]:
    """Return what Spark must be told: the jar, the extension, the Python that has this package."""
    found = {
        "spark.jars": str(JAR),
        "spark.sql.extensions": EXTENSION,
        "spark.pyspark.python": sys.executable,
    }
    return found if config is None else {**found, CONFIG: config}


def session(
    master: str = "local[*]", config: str | None = None, **options: Any
) -> SparkSession:
    """Return a local Spark session that has the AI functions.

    master    Spark's master URL
    config    the path of a configuration file, or its JSON; see ``aiquery.config.settings`` for where it is found
    otherwise
    options   Spark settings, with ``__`` for each dot: ``spark__sql__shuffle__partitions=4``
    """
    from pyspark.sql import SparkSession

    find_java()
    told: dict[str, Any] = dict(settings(config))
    if environment.worker_python(sys.executable) == sys.executable:
        told["spark.python.daemon.module"] = DAEMON
    told |= {name.replace("__", "."): str(value) for name, value in options.items()}
    spark = SparkSession.builder.master(master).config(map=told).getOrCreate()
    cancel_on_ctrl_c(spark.sparkContext)
    enable_progress_if_interactive()
    follow(spark)
    return spark
