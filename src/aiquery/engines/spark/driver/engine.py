"""The Spark engine: ``aiquery.register(spark)`` for a session that exists."""

from __future__ import annotations

import sys
from functools import cached_property
from typing import TYPE_CHECKING, Any

from aiquery.engines.spark.driver.history import follow
from aiquery.engines.spark.driver.interrupt import cancel_on_ctrl_c
from aiquery.engines.spark.driver.scala_object import scala_object
from aiquery.engines.spark.driver.session import JAR, config_text, settings
from aiquery.engines.spark.task_config import CONFIG
from aiquery.errors import ConfigError

if TYPE_CHECKING:
    from aiquery.config.settings import Config


class SparkEngine:
    """Registers the functions with Spark sessions. Spark is imported when it is used."""

    name = "spark"

    def accepts(self, connection: Any) -> bool:
        """Return True for a ``SparkSession``, classic or Connect."""
        kind = type(connection)
        return kind.__name__ == "SparkSession" and kind.__module__.startswith(
            "pyspark.sql."
        )

    def register(self, connection: Any, config: Config) -> None:
        """Give a session the functions, and ``config`` as its configuration.

        A classic session gets the jar, and is replaced by a clone that includes the extension; settings, temporary
        views and functions are preserved. A Connect session must have got the settings where its server was started.
        """
        if config.document:
            connection.conf.set(CONFIG, config_text(config))
        is_classic = hasattr(connection, "_jsparkSession")
        if is_classic:
            cancel_on_ctrl_c(connection.sparkContext)
            follow(connection)
        if connection.catalog.functionExists("ai_query"):
            return
        if not is_classic:
            needed = " ".join(
                f"--conf {name}={value}" for name, value in settings().items()
            )
            raise ConfigError(
                f"this Connect server has no AI functions; start it with {needed}"
            )
        _install(connection)


ENGINE = SparkEngine()


def _install(session: Any) -> None:
    settings()  # raises if the jar is missing
    # On a cluster the executors have a Python of their own.
    is_local = session.sparkContext.master.startswith("local")
    python = sys.executable if is_local else None
    session.sql(f"ADD JAR '{JAR}'")
    install = scala_object(session, "Install").into
    clone = install(session._jsparkSession, python)  # noqa: SLF001  PySpark has no public way
    session._jsparkSession = clone  # noqa: SLF001
    members = vars(type(session)).items()
    cached = [name for name, member in members if isinstance(member, cached_property)]
    for name in (*cached, "_conf", "_catalog"):  # what a session caches, in any version
        session.__dict__.pop(name, None)
