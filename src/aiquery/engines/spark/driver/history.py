"""What was kept of the runs of a Spark application, as its driver sees it: the last one, and those that run."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

from aiquery import clients
from aiquery import config as configuration
from aiquery.engines.spark.driver.scala_object import scala_object
from aiquery.engines.spark.task_config import CONFIG
from aiquery.errors import AIQueryError, StoreFailed
from aiquery.tracking import active as watch

if TYPE_CHECKING:
    from aiquery.config.settings import Config
    from aiquery.tracking.run import Progress
    from aiquery.tracking.store import RunStore

LOOK_S = 1.0
"""How often to look what the coordinator wrote, which is a second behind the tasks, in seconds."""

_followed: set[str] = set()


class RunsFile:
    """The file of runs that a configuration names, opened once for as long as it names the same."""

    def __init__(self) -> None:
        """Open nothing yet."""
        self._opened: tuple[str | None, RunStore] | None = None

    def of(self, config: Config) -> RunStore:
        """Open it, unless it is open. Raises ``StoreFailed``."""
        place = config.runs_path()
        if self._opened is None or self._opened[0] != place:
            self.close()
            self._opened = place, clients.open_run_store(config)
        return self._opened[1]

    def close(self) -> None:
        """Close it, if it is open."""
        if self._opened is not None:
            self._opened[1].close()
            self._opened = None


def last_run() -> Progress | None:
    """Return the newest run of the active classic session's application, None if there is none."""
    from pyspark.sql import SparkSession

    session = SparkSession.getActiveSession()
    if session is None or not hasattr(session, "_jsparkSession"):
        return None
    config = _config(session)
    if config.runs_path() is None:
        return None
    with closing(clients.open_run_store(config)) as store:
        last = _last(store, session)
        if last is not None and last.state == "running":
            scala_object(session, "Executions").look()  # it may be over by now
            last = _last(store, session)
    return last


def _last(store: RunStore, session: Any) -> Progress | None:
    application = session.sparkContext.applicationId
    return next(
        (one.progress for one in store.runs() if one.origin == application), None
    )


def follow(session: Any) -> None:
    """Tell the hooks of this process how the runs of a session's application get on, until it stops."""
    application = session.sparkContext.applicationId
    if application not in _followed:
        _followed.add(application)
        threading.Thread(
            target=_look,
            args=(session, application),
            name="aiquery-spark-watch",
            daemon=True,
        ).start()


def _look(session: Any, application: str) -> None:
    from py4j.protocol import Py4JError

    file, since = RunsFile(), time.time()
    while session.sparkContext._jsc is not None:  # noqa: SLF001  it says so when it is stopped
        time.sleep(LOOK_S)
        if not watch.is_heard():
            since = time.time()
            continue
        try:
            config = _config(session)
            if config.runs_path() is None:
                continue
            since, heard = file.of(config).heard_since(since)
        except (AIQueryError, StoreFailed):
            continue  # whoever asks hears of it; the next look may be luckier
        except (OSError, Py4JError):
            break  # the session is being stopped
        for kept in heard:
            if kept.origin == application:
                watch.tell(kept.progress)
    file.close()


def _config(session: Any) -> Config:
    return configuration.load(session.conf.get(CONFIG, "") or None)
