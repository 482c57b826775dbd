"""Spark as the rest of aiquery sees it: ``aiquery.register(spark)`` for a session that runs already."""

from __future__ import annotations

import sys
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from aiquery.engines.spark.driver.history import follow
from aiquery.engines.spark.driver.interrupt import cancel_on_ctrl_c
from aiquery.engines.spark.driver.scala_object import scala_object
from aiquery.engines.spark.driver.session import JAR, settings
from aiquery.engines.spark.task_config import CONFIG
from aiquery.errors import ConfigError

if TYPE_CHECKING:
    from aiquery.config.settings import Config


class SparkEngine:
    """See the module; nothing of Spark is imported before it is used."""

    name = "spark"

    def accepts(self, connection: Any) -> bool:
        """Say whether ``connection`` is a ``SparkSession``, classic or Connect."""
        kind = type(connection)
        return kind.__name__ == "SparkSession" and kind.__module__.startswith(
            "pyspark.sql."
        )

    def register(self, connection: Any, config: Config) -> None:
        """Give a session the functions, and ``config`` as its configuration.

        A classic session gets the jar and becomes a copy of itself that has all rules; its settings, temporary views
        and functions are the same. A Connect session must have been given them where its server was started.
        """
        if config.document:
            connection.conf.set(CONFIG, msgspec.json.encode(config.document).decode())
        classic = hasattr(connection, "_jsparkSession")
        if classic:
            cancel_on_ctrl_c(connection.sparkContext)
            follow(connection)
        if not connection.catalog.functionExists("ai_query"):
            if classic:
                _install(connection)
            else:
                needed = " ".join(
                    f"--conf {name}={value}" for name, value in settings().items()
                )
                raise ConfigError(
                    f"this Connect server has no AI functions; start it with {needed}"
                )


ENGINE = SparkEngine()


def _install(session: Any) -> None:
    if session.sparkContext.master.startswith("local"):
        session.conf.set(
            "spark.aiquery.python", sys.executable
        )  # elsewhere it is what the executors have
    session.sql(f"ADD JAR '{JAR}'")
    session._jsparkSession = scala_object(session, "Install").into(  # noqa: SLF001  PySpark has no public way to its JVM session
        session._jsparkSession  # noqa: SLF001  PySpark has no public way to its JVM session
    )
    cached = [
        name
        for name, member in vars(type(session)).items()
        if isinstance(member, cached_property)
    ]
    for name in [
        *cached,
        "_conf",
        "_catalog",
    ]:  # what it keeps of the old session, in any version
        session.__dict__.pop(name, None)
