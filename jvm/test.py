"""Compile the Spark extension with its Scala tests, and run them: ``python jvm/test.py``.

The suites are the files ``jvm/test/*Suite.scala``. The first run fetches their framework, munit. The exit status is 1
if a test fails.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from build import HERE, compile_scala, find_jars
from fetch import fetch

from aiquery.engines.spark.driver.java import find_java

PACKAGE = "org.apache.spark.sql.aiquery"
BASE_CLASSES = {"PlanSuite"}
MUNIT_VERSION = "1.2.4"
MUNIT_JARS = HERE.parent / ".cache" / "munit" / MUNIT_VERSION

# Spark reads internals of these packages. spark-submit would set the options.
OPEN_PACKAGES = (
    "java.lang", "java.lang.invoke", "java.lang.reflect", "java.io", "java.net", "java.nio", "java.util",
    "java.util.concurrent", "java.util.concurrent.atomic", "sun.nio.ch", "sun.nio.cs", "sun.security.action",
    "sun.util.calendar",
)  # fmt: skip


def fetch_framework() -> None:
    """Fetch munit and the jars that it depends on, unless they are there."""
    if not MUNIT_JARS.exists():
        fetch(
            MUNIT_JARS, [f"org.scalameta:munit_2.13:{MUNIT_VERSION}"], transitive=True
        )


def find_suites(names: list[str]) -> list[str]:
    """Return the classes of the suites whose names contain one of ``names``, or of all suites."""
    suites = sorted(
        path.stem
        for path in (HERE / "test").glob("*Suite.scala")
        if path.stem not in BASE_CLASSES
    )
    chosen = [
        suite for suite in suites if not names or any(name in suite for name in names)
    ]
    return [f"{PACKAGE}.{suite}" for suite in chosen]


def run(jars: Path, suites: list[str]) -> int:
    """Compile sources and tests against ``jars``, run the suites, and return the exit status."""
    java = find_java()
    libraries = f"{jars}/*{os.pathsep}{MUNIT_JARS}/*"
    with tempfile.TemporaryDirectory() as folder:
        classes = Path(folder) / "classes"
        classes.mkdir()
        compile_scala([HERE / "src", HERE / "test"], libraries, java, classes)
        logging = HERE / "test" / "log4j2.properties"
        options = [
            f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in OPEN_PACKAGES
        ]
        options += [
            f"-Dlog4j2.configurationFile={logging}",
            f"-Djava.io.tmpdir={folder}",
        ]
        options += [f"-Daiquery.python={sys.executable}"]
        command = [
            str(java),
            *options,
            "-cp",
            f"{classes}{os.pathsep}{libraries}",
            f"{PACKAGE}.RunTests",
            *suites,
        ]
        return subprocess.run(command, check=False, cwd=folder).returncode


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "suites", nargs="*", help="parts of the names of suites; default: all"
    )
    parser.add_argument(
        "--jars", type=Path, help="a folder of Spark's jars; default: those of pyspark"
    )
    parser.add_argument(
        "--fetch-only",
        action="store_true",
        help="fetch the test framework, and run nothing",
    )
    options = parser.parse_args()
    fetch_framework()
    if not options.fetch_only:
        jars = options.jars or find_jars()
        sys.exit(run(jars.absolute(), find_suites(options.suites)))


if __name__ == "__main__":
    main()
