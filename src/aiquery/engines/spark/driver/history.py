"""The run history of a Spark application on its driver: its last run, and progress hooks for runs that go on."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

from aiquery import clients
from aiquery import config as configuration
from aiquery.engines.spark.driver.scala_object import scala_object
from aiquery.engines.spark.task_config import CONFIG
from aiquery.errors import AIQueryError
from aiquery.tracking.active import active_runs

if TYPE_CHECKING:
    from aiquery.config.settings import Config
    from aiquery.tracking.run import Progress
    from aiquery.tracking.store import RunStore

POLL_S = 1.0
"""How often to read what the coordinator wrote, in seconds."""

_followed: set[str] = set()


class RunHistory:
    """The run store of a configuration, opened once for as long as the path is the same."""

    def __init__(self) -> None:
        """Open nothing."""
        self._path: str | None = None
        self._store: RunStore | None = None

    def open(self, config: Config) -> RunStore:
        """Open the store, unless it is open. Raises ``StoreFailed``."""
        path = config.runs_path()
        if self._store is None or self._path != path:
            self.close()
            self._store = clients.open_run_store(config)
            self._path = path
        return self._store

    def close(self) -> None:
        """Close the store, if it is open."""
        if self._store is not None:
            self._store.close()
            self._store = None


def last_run() -> Progress | None:
    """Return the newest run of the active classic session's application; None if there is none."""
    from pyspark.sql import SparkSession

    session = SparkSession.getActiveSession()
    if session is None or not hasattr(session, "_jsparkSession"):
        return None
    config = _config(session)
    if config.runs_path() is None:
        return None
    with closing(clients.open_run_store(config)) as store:
        last = _last_run(store, session)
        if last is not None and last.state == "running":
            scala_object(session, "Executions").endFinished()  # it may be over
            last = _last_run(store, session)
    return last


def _last_run(store: RunStore, session: Any) -> Progress | None:
    application = session.sparkContext.applicationId
    for record in store.runs():
        if record.origin == application:
            return record.progress
    return None


def follow(session: Any) -> None:
    """Report the runs of a session's application to ``last_run`` and the progress hooks of this process."""
    if last_run not in active_runs.sources:
        active_runs.sources.append(last_run)
    application = session.sparkContext.applicationId
    if application not in _followed:
        _followed.add(application)
        thread = threading.Thread(
            target=_poll,
            args=(session, application),
            name="aiquery-spark-runs",
            daemon=True,
        )
        thread.start()


def _poll(session: Any, application: str) -> None:
    from py4j.protocol import Py4JError

    history = RunHistory()
    since = time.time()
    while session.sparkContext._jsc is not None:  # noqa: SLF001  None once the context is stopped
        time.sleep(POLL_S)
        if not active_runs.has_hooks():
            since = time.time()
            continue
        try:
            config = _config(session)
            if config.runs_path() is None:
                continue
            since, records = history.open(config).written_since(since)
        except AIQueryError:
            continue  # a statement that uses the configuration raises it; the next poll may succeed
        except (OSError, Py4JError):
            break  # the session is being stopped
        for record in records:
            if record.origin == application:
                active_runs.call_hooks(record.progress)
    history.close()


def _config(session: Any) -> Config:
    return configuration.load(session.conf.get(CONFIG, "") or None)
