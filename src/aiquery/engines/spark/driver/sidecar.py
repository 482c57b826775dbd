"""Binds calls for the Spark driver: the constants of a call -> its type, by the same code as everywhere else.

It also reads what was kept of runs, for the tables of it in SQL, and is told which executions are over.

The JVM starts this process once (``python -m aiquery.engines.spark.driver.sidecar``) and speaks lines of JSON with
it. The
first line that it says is the version of this Python and where its coordinator listens, which keeps the limits of all
workers; then one answer per question.
"""

from __future__ import annotations

import argparse
import re
import signal
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import msgspec
import pyarrow as pa

from aiquery import clients, registry
from aiquery import config as configuration
from aiquery.engines.spark.driver.history import RunsFile
from aiquery.engines.spark.types import of_arrow, spark_type
from aiquery.errors import AIQueryError, ConfigError, StoreFailed
from aiquery.inference.cluster.coordinator import Coordinator
from aiquery.reporting import tables
from aiquery.runtime.event_loop import event_loop

if TYPE_CHECKING:
    from aiquery.config.settings import Config
    from aiquery.tracking.store import RunStore

_SECRET_HEADER = re.compile(r"auth|key|token|secret|cookie", re.IGNORECASE)
_PASSWORD = re.compile(r"://[^/@]*:[^/@]+@")


OPEN = 8
"""Stores of runs that are open at once."""


class Driver:
    """What this process holds for its driver."""

    files: ClassVar[dict[str, RunsFile]] = {}
    """Where runs are kept, by what the tasks say of it: each session's own."""
    coordinator: Coordinator | None = None


def _runs(place: str) -> RunStore:
    """Return the store that the configuration of a task names."""
    file = Driver.files.pop(place, None) or RunsFile()
    Driver.files[place] = file
    if len(Driver.files) > OPEN:
        Driver.files.pop(next(iter(Driver.files))).close()
    return file.of(configuration.load(place or None))


class Bind(msgspec.Struct, tag="bind"):
    """A call to bind; ``config`` is a path, or empty: what this process finds."""

    function: str
    constants: dict[str, Any]
    config: str


class Read(msgspec.Struct, tag="read"):
    """A table of what was kept of runs; see ``aiquery.reporting.tables``."""

    table: str
    argument: str | None
    config: str


class Unended(msgspec.Struct, tag="unended"):
    """Which executions are not known to be over, although no task of theirs runs."""


class Ended(msgspec.Struct, tag="ended"):
    """Executions that are over."""

    executions: list[str]


Question = Bind | Read | Unended | Ended


def answer(question: Question) -> dict[str, object]:
    """Return what is asked for, or the error."""
    try:
        if isinstance(question, Unended | Ended):
            return {"executions": _executions(question)}
        config = configuration.load(question.config or None)
        return (
            _bound(question, config)
            if isinstance(question, Bind)
            else _table(question, config)
        )
    except (AIQueryError, StoreFailed) as error:
        return {"error": str(error)}


def _bound(question: Bind, config: Config) -> dict[str, object]:
    """Return the type and the configuration that travels with the plan.

    Keys, extras and model files are the executors', so they are not looked for here.
    """
    check_travels(config)
    call = registry.functions()[question.function].bind(question.constants, config)
    return {
        "returns": spark_type(call.returns),
        "config": msgspec.json.encode(config.document).decode(),
    }


def _table(question: Read, config: Config) -> dict[str, object]:
    """Return the type of the rows, and each as JSON."""
    with closing(clients.open_run_store(config)) as store:
        table = tables.table(question.table, store, question.argument)
    rows = [msgspec.json.encode(row).decode() for row in table.to_pylist()]
    return {"returns": of_arrow(pa.struct(table.schema)), "rows": rows}


def _executions(question: Unended | Ended) -> list[str]:
    """End those that are over, and return those that may go on."""
    if Driver.coordinator is None:
        return []
    if isinstance(question, Ended):
        event_loop().start(Driver.coordinator.end(question.executions)).result()
    unended: list[str] = event_loop().start(Driver.coordinator.unended()).result()
    return unended


def check_travels(config: Config) -> None:
    """Refuse a secret in the configuration, which travels with the plan: only its name may."""
    for name, endpoint in config.endpoints.items():
        for header, value in endpoint.headers.items():
            if _SECRET_HEADER.search(header) and not value.startswith("$"):
                _refuse(f"endpoints.{name}.headers.{header}")
        for setting in ("base_url", "proxy"):
            if _PASSWORD.search(getattr(endpoint, setting) or ""):
                _refuse(f"endpoints.{name}.{setting}")
    if _PASSWORD.search(config.cache.store or ""):
        _refuse("cache.store")


def _refuse(setting: str) -> NoReturn:
    raise ConfigError(
        f"{setting} holds a secret, and on Spark the configuration travels with the plan. Put it into an environment "
        'variable of the executors, and write "$NAME" (or api_key_env = "NAME").'
    )


def hello(host: str, port: int | None, application: str) -> dict[str, str | int]:
    """Start a coordinator, unless ``port`` is None, and return what the JVM must know of this process."""
    about: dict[str, str | int] = {
        "python": f"{sys.version_info.major}.{sys.version_info.minor}"
    }
    if port is not None:
        coordinator = Driver.coordinator = Coordinator(_runs, application)
        event_loop().start(coordinator.start(host, port)).result()
        about.update(port=coordinator.port, token=coordinator.token)
    return about


def main() -> None:
    """Answer until the driver closes our input."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--host", default="", help="the address to listen at; all unless given"
    )
    parser.add_argument(
        "--port",
        type=int,
        help="of the coordinator, 0 for a free one; without it there is none",
    )
    parser.add_argument(
        "--application", default="", help="the Spark application's identifier"
    )
    options = parser.parse_args()
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C in a terminal is the driver's: we live as long as it does
    out = sys.stdout
    sys.stdout = (
        sys.stderr
    )  # whatever is printed by a library must not be taken for an answer
    try:
        print(
            msgspec.json.encode(
                hello(options.host, options.port, options.application)
            ).decode(),
            file=out,
            flush=True,
        )
    except OSError as error:
        print(
            msgspec.json.encode(
                {"error": f"the coordinator cannot listen: {error}"}
            ).decode(),
            file=out,
            flush=True,
        )
        raise
    for line in sys.stdin:
        print(
            msgspec.json.encode(
                answer(msgspec.json.decode(line, type=Question))
            ).decode(),
            file=out,
            flush=True,
        )
    answer(
        Ended(_executions(Unended()))
    )  # the driver is gone: there will be no further tasks


if __name__ == "__main__":
    main()
