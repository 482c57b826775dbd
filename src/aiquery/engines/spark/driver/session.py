"""A local Spark session with the AI functions, and the settings that a cluster needs."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from aiquery.config import Config, ConfigLike, environment, load
from aiquery.engines.spark.driver.history import follow
from aiquery.engines.spark.driver.interrupt import cancel_on_ctrl_c
from aiquery.engines.spark.driver.java import find_java
from aiquery.engines.spark.driver.plan_secrets import raise_if_secret
from aiquery.engines.spark.task_config import CONFIG
from aiquery.errors import ConfigError
from aiquery.reporting.progress import enable_progress_if_interactive

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

JAR = Path(__file__).parent.parent / "aiquery-spark.jar"
DAEMON = "aiquery.spark.daemon"
EXTENSION = "org.apache.spark.sql.aiquery.Extension"


def settings(config: ConfigLike | None = None) -> dict[str, str]:
    """Return the settings that Spark needs: the jar, the extension, and the Python that has this package.

    Parameters
    ----------
    config
        A mapping, the path of a TOML file, JSON text, or a ``Config``; the value of ``spark.aiquery.config``.
        Default: the file that ``AIQUERY_CONFIG`` names, or the first of the default files.

    Returns
    -------
    dict
        Names and values for ``--conf`` or ``SparkSession.builder.config(map=...)``.

    Raises
    ------
    ConfigError
        The Spark extension is not in this installation.
    """
    if not JAR.is_file():
        raise ConfigError(
            f"the Spark extension {JAR} is missing: this installation was built without it. Install a released wheel, "
            "or build it in a checkout with make jar."
        )
    found = {
        "spark.jars": str(JAR),
        "spark.sql.extensions": EXTENSION,
        "spark.pyspark.python": sys.executable,
    }
    if config is not None:
        found[CONFIG] = config_text(config)
    return found


def config_text(config: ConfigLike) -> str:
    """Return a configuration as the value of ``spark.aiquery.config``: a path or JSON.

    Raises ``ConfigError`` if it holds a secret: Spark shows its settings in the UI and in the event log.
    """
    loaded = load(config)
    raise_if_secret(loaded)
    if isinstance(config, Config | Mapping):
        return msgspec.json.encode(loaded.document).decode()
    return os.fspath(config)


def session(
    master: str = "local[*]", config: ConfigLike | None = None, **options: object
) -> SparkSession:
    """Return a local Spark session that has the AI functions.

    Parameters
    ----------
    master
        Spark's master URL.
    config
        A mapping, the path of a TOML file, JSON text, or a ``Config``. Default: the file that ``AIQUERY_CONFIG`` names,
        or the first of the default files.
    options
        Spark settings, with ``__`` for each dot: ``spark__sql__shuffle__partitions=4``.

    Examples
    --------
    >>> import aiquery.spark
    >>> spark = aiquery.spark.session("local[2]", {"endpoints": {"m": {"provider": "fake"}}})  # doctest: +SKIP
    >>> spark.sql("SELECT ai_query('m', 'Hello')").show()  # doctest: +SKIP
    """
    from pyspark.sql import SparkSession

    find_java()
    conf: dict[str, Any] = dict(settings(config))
    if environment.worker_python(sys.executable) == sys.executable:
        conf["spark.python.daemon.module"] = DAEMON
    for name, value in options.items():
        conf[name.replace("__", ".")] = str(value)
    spark = SparkSession.builder.master(master).config(map=conf).getOrCreate()
    cancel_on_ctrl_c(spark.sparkContext)
    enable_progress_if_interactive()
    follow(spark)
    return spark
