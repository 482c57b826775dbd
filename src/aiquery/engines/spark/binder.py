"""Binds calls for the Spark driver: the constants of a call -> its type, by the same code as everywhere else.

The JVM starts this process once (``python -m aiquery.engines.spark.binder``) and speaks lines of JSON with it. The
first line that it says is the version of this Python and where its coordinator listens, which keeps the limits of all
workers; then one answer per question.
"""

from __future__ import annotations

import argparse
import re
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec

from aiquery import config as configuration
from aiquery import plugins
from aiquery.engines.spark.types import spark_type
from aiquery.errors import AIQueryError, ConfigError
from aiquery.inference.cluster.coordinator import Coordinator
from aiquery.inference.loop import loop_thread

if TYPE_CHECKING:
    from aiquery.config import Config


_SECRET_HEADER = re.compile(r"auth|key|token|secret|cookie", re.IGNORECASE)
_PASSWORD = re.compile(r"://[^/@]*:[^/@]+@")


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
        config = configuration.load(question.config or None)
        check_travels(config)
        call = plugins.functions()[question.function].bind(question.constants, config)
    except AIQueryError as error:
        return {"error": str(error)}
    return {"returns": spark_type(call.returns), "config": msgspec.json.encode(config.document).decode()}


def check_travels(config: Config) -> None:
    """Refuse a secret in the configuration, which travels with the plan: only its name may."""
    for name, endpoint in config.endpoints.items():
        for header, value in endpoint.headers.items():
            if _SECRET_HEADER.search(header) and not value.startswith("$"):
                _refuse(f"endpoints.{name}.headers.{header}")
        for setting in ("base_url", "proxy"):
            if _PASSWORD.search(getattr(endpoint, setting) or ""):
                _refuse(f"endpoints.{name}.{setting}")
    if _PASSWORD.search(config.answers.store or ""):
        _refuse("answers.store")


def _refuse(setting: str) -> NoReturn:
    raise ConfigError(
        f"{setting} holds a secret, and on Spark the configuration travels with the plan. Put it into an environment "
        'variable of the executors, and write "$NAME" (or api_key_env = "NAME").'
    )


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
