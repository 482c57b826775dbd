"""Binds calls for the Spark driver: the constants of a call -> its type, by the same code as everywhere else.

The JVM starts this process once (``python -m aiquery.engines.spark.binder``) and speaks lines of JSON with it. The
first line that it says is the version of this Python and where its coordinator listens, which keeps the limits of all
workers; then one answer per question.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

import msgspec

from aiquery import config as configuration
from aiquery import plugins
from aiquery.engines.spark.types import spark_type
from aiquery.errors import AIQueryError
from aiquery.inference.cluster.coordinator import Coordinator
from aiquery.inference.loop import loop_thread

if TYPE_CHECKING:
    from aiquery.config import Config


class Question(msgspec.Struct):
    """A call to bind; ``config`` is a path, or empty: what this process finds."""

    function: str
    constants: dict[str, Any]
    config: str


def answer(question: Question) -> dict[str, object]:
    """Return the type and the configuration that travels with the plan, or the error.

    Keys, extras and model files are the executors', so they are not looked for here.
    """
    try:
        config = _config(question.config)
        call = plugins.functions()[question.function].bind(question.constants, config)
    except AIQueryError as error:
        return {"error": str(error)}
    return {"returns": spark_type(call.returns), "config": msgspec.json.encode(config.document).decode()}


def _config(source: str) -> Config:
    if source.lstrip().startswith("{"):
        return configuration.load(msgspec.json.decode(source))
    return configuration.load(source or None)


def hello(host: str, port: int | None) -> dict[str, str | int]:
    """Start a coordinator, unless ``port`` is None, and return what the JVM must know of this process."""
    about: dict[str, str | int] = {"python": f"{sys.version_info.major}.{sys.version_info.minor}"}
    if port is not None:
        coordinator = Coordinator()
        loop_thread().start(coordinator.start(host, port)).result()
        about.update(port=coordinator.port, token=coordinator.token)
    return about


def main() -> None:
    """Answer until the driver closes our input."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="", help="the address to listen at; all unless given")
    parser.add_argument("--port", type=int, help="of the coordinator, 0 for a free one; without it there is none")
    options = parser.parse_args()
    out = sys.stdout
    sys.stdout = sys.stderr  # whatever is printed by a library must not be taken for an answer
    try:
        print(msgspec.json.encode(hello(options.host, options.port)).decode(), file=out, flush=True)
    except OSError as error:
        print(msgspec.json.encode({"error": f"the coordinator cannot listen: {error}"}).decode(), file=out, flush=True)
        raise
    for line in sys.stdin:
        print(msgspec.json.encode(answer(msgspec.json.decode(line, type=Question))).decode(), file=out, flush=True)


if __name__ == "__main__":
    main()
