"""Binds calls for the Spark driver: the constants of a call -> its type, by the same code as everywhere else.

The JVM starts this process once (``python -m aiquery.engines.spark.binder``) and speaks lines of JSON with it. The
first line that it says is the version of this Python; then one answer per question.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import msgspec

from aiquery import config as configuration
from aiquery import plugins
from aiquery.engines.spark.types import spark_type
from aiquery.errors import AIQueryError

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


def main() -> None:
    """Answer until the driver closes our input."""
    out = sys.stdout
    sys.stdout = sys.stderr  # whatever is printed by a library must not be taken for an answer
    print(f"{sys.version_info.major}.{sys.version_info.minor}", file=out, flush=True)
    for line in sys.stdin:
        print(msgspec.json.encode(answer(msgspec.json.decode(line, type=Question))).decode(), file=out, flush=True)


if __name__ == "__main__":
    main()
