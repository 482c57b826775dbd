"""The driver sidecar: a Python process beside Spark's driver.

The JVM starts it once (``python -m aiquery.engines.spark.driver.sidecar``) and exchanges lines of JSON with it. It
binds the constants of a call and returns its type, by the code that binds them everywhere else. It reads the run
history for the SQL tables, runs the coordinator of the cluster's limits, and is informed of executions that are over.

Its first line has the version of its Python and the address of the coordinator; then there is one answer per question.
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa

from aiquery import clients, registry
from aiquery import config as configuration
from aiquery.engines.spark.driver.history import RunHistory
from aiquery.engines.spark.driver.plan_secrets import raise_if_command, raise_if_secret
from aiquery.engines.spark.types import spark_type, spark_type_of_arrow
from aiquery.errors import AIQueryError
from aiquery.inference.cluster.coordinator import Coordinator
from aiquery.outgoing_text import clean_text
from aiquery.reporting import tables
from aiquery.runtime.event_loop import event_loop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from aiquery.config.settings import Config
    from aiquery.tracking.store import RunStore

log = logging.getLogger("aiquery")
MAX_OPEN_HISTORIES = 8
LAST_ANSWERS_S = 5.0
"""How long the last questions may take when the driver ends, in seconds."""


class Bind(msgspec.Struct, tag="bind", kw_only=True):
    """Bind a call. ``config`` is a path or JSON; empty: the configuration that this process finds.

    ``of_session``: a session set it, and not who started the driver.
    """

    number: int = 0
    function: str
    constants: dict[str, Any]
    config: str
    of_session: bool


class Read(msgspec.Struct, tag="read", kw_only=True):
    """Read a table of the run history; see ``aiquery.reporting.tables``."""

    number: int = 0
    table: str
    argument: str | None
    config: str


class OpenExecutions(msgspec.Struct, tag="open_executions"):
    """List the executions that have not ended although none of their tasks runs."""

    number: int = 0


class EndExecutions(msgspec.Struct, tag="end_executions", kw_only=True):
    """Record that executions are over."""

    number: int = 0
    executions: list[str]


Question = Bind | Read | OpenExecutions | EndExecutions
"""``number`` identifies a question; its reply has the same number."""


class Sidecar:
    """The state of this process: the coordinator, and the open run histories by the settings that tasks report."""

    def __init__(self) -> None:
        """Start without a coordinator."""
        self.coordinator: Coordinator | None = None
        self._histories: dict[str, RunHistory] = {}

    def start_coordinator(self, host: str, port: int, application: str) -> Coordinator:
        """Start the coordinator. Raises ``OSError`` if the address is in use."""
        coordinator = Coordinator(self._open_history, application)
        event_loop().start(coordinator.start(host, port)).result()
        self.coordinator = coordinator
        return coordinator

    def _open_history(self, settings: str) -> RunStore:
        history = self._histories.pop(settings, None) or RunHistory()
        self._histories[settings] = history
        if len(self._histories) > MAX_OPEN_HISTORIES:
            self._histories.pop(next(iter(self._histories))).close()
        return history.open(configuration.load(settings or None))

    def answer(self, question: Question) -> dict[str, object]:
        """Return the answer to a question, or the error."""
        try:
            if isinstance(question, OpenExecutions):
                return {"executions": self._open_executions()}
            if isinstance(question, EndExecutions):
                self._end_executions(question.executions)
                return {"executions": self._open_executions()}
            config = configuration.load(question.config or None)
            if isinstance(question, Bind):
                return bind_call(question, config)
            return read_table(question, config)
        except AIQueryError as error:
            return {"error": str(error)}
        except Exception as error:
            log.exception("a question of the driver could not be answered")
            return {"error": clean_text(f"unexpected {type(error).__name__}: {error}")}

    def end_all_executions(self) -> None:
        """Record that every execution is over: the driver ended, and there are no further tasks."""
        self._end_executions(self._open_executions())

    def _open_executions(self) -> list[str]:
        if self.coordinator is None:
            return []
        executions: list[str]
        executions = event_loop().start(self.coordinator.open_executions()).result()
        return executions

    def _end_executions(self, executions: list[str]) -> None:
        if self.coordinator is not None:
            event_loop().start(self.coordinator.end_executions(executions)).result()


def bind_call(question: Bind, config: Config) -> dict[str, object]:
    """Return the type of a call, and the configuration that travels with the plan.

    Keys, extras and model files belong to the executors and are not checked here.
    """
    raise_if_secret(config)
    if question.of_session:
        raise_if_command(config)
    call = registry.functions()[question.function].bind(question.constants, config)
    document = msgspec.json.encode(config.document).decode()
    return {"returns": spark_type(call.returns), "config": document}


def read_table(question: Read, config: Config) -> dict[str, object]:
    """Return the type of the rows, and each row as JSON."""
    with closing(clients.open_run_store(config)) as store:
        table = tables.make_table(question.table, store, question.argument)
    rows = [msgspec.json.encode(row).decode() for row in table.to_pylist()]
    return {"returns": spark_type_of_arrow(pa.struct(table.schema)), "rows": rows}


def answer_all(
    sidecar: Sidecar, lines: Iterable[str], send: Callable[[dict[str, object]], None]
) -> None:
    """Answer questions side by side, each in a thread: a slow one of a session does not hold those of others."""
    threads: set[threading.Thread] = set()
    sending = threading.Lock()

    def answer(question: Question) -> None:
        reply = sidecar.answer(question)
        with sending:
            send({"number": question.number, **reply})
        threads.discard(threading.current_thread())

    for line in lines:
        question = msgspec.json.decode(line, type=Question)
        thread = threading.Thread(target=answer, args=[question], daemon=True)
        threads.add(thread)
        thread.start()
    for thread in list(threads):
        thread.join(LAST_ANSWERS_S)


def main() -> None:
    """Answer questions until the driver closes the input."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--host", default="", help="the address to listen at; default: all"
    )
    parser.add_argument(
        "--port",
        type=int,
        help="port of the coordinator, 0 for a free one; default: no coordinator",
    )
    parser.add_argument(
        "--application", default="", help="the Spark application's identifier"
    )
    options = parser.parse_args()
    # Ctrl-C in a terminal is for the driver; this process ends when the driver does.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    out = sys.stdout
    sys.stdout = sys.stderr  # the output of a library must not be read as an answer

    def send(message: object) -> None:
        print(msgspec.json.encode(message).decode(), file=out, flush=True)

    sidecar = Sidecar()
    hello: dict[str, object] = {
        "python": f"{sys.version_info.major}.{sys.version_info.minor}"
    }
    if options.port is not None:
        try:
            coordinator = sidecar.start_coordinator(
                options.host, options.port, options.application
            )
        except OSError as error:
            send({"error": f"the coordinator cannot listen: {error}"})
            raise
        hello |= {"port": coordinator.port, "token": coordinator.token}
    send(hello)
    answer_all(sidecar, sys.stdin, send)
    sidecar.end_all_executions()


if __name__ == "__main__":
    main()
