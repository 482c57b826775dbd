"""End a Python worker as soon as its task is cancelled or has enough rows, so that no further request is billed."""

from __future__ import annotations

import os
import select
import threading
import time
from typing import TYPE_CHECKING, Any

from aiquery.config import environment

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from aiquery.tracking.run import State

POLL_MS = 100
FILE_DELAY_S = 0.05
"""How long after it closes its socket the JVM may take to create the file that names the reason, in seconds."""


class TaskWatchdog:
    """Watches the task of this process. It must be created on the thread of the task.

    The JVM closes the socket of a task that is over; Linux does not always report that before the next write. So
    ``Stopper.scala`` also creates a file: ``aiquery-enough-N`` or ``aiquery-stop-N`` for the attempt N of a task.
    """

    def __init__(self) -> None:
        """Find the files of the task."""
        self._enough = _signal_file("enough")
        self._stop = _signal_file("stop")

    def is_over(self) -> bool:
        """Return True if the JVM needs nothing more of the task."""
        return _exists(self._enough) or _exists(self._stop)

    def state(self) -> State:
        """Return how a task ended that is over, or whose socket is closed: enough rows (LIMIT), or killed."""
        if not self.is_over():
            time.sleep(FILE_DELAY_S)
        return "stopped" if _exists(self._stop) else "done"

    def thread(
        self, stream: Any, stop: threading.Event, give_up: Callable[[], None]
    ) -> threading.Thread:
        """Return a thread that calls ``give_up`` and ends this process once the task is over.

        stream    the worker's output stream
        stop      ends the thread
        """

        def watch() -> None:
            poll = select.poll()
            # Linux reports a half-closed socket as POLLRDHUP; other systems report POLLHUP.
            half_closed = getattr(select, "POLLRDHUP", 0)
            poll.register(
                stream.fileno(), half_closed | select.POLLHUP | select.POLLERR
            )
            while not stop.is_set():
                if poll.poll(POLL_MS) or self.is_over():
                    give_up()
                    os._exit(1)

        return threading.Thread(target=watch, name="aiquery-watchdog", daemon=True)


def _signal_file(word: str) -> Path | None:
    from pyspark import TaskContext

    folder = environment.spark_local_folder()
    context = TaskContext.get()
    if folder is None or context is None:
        return None
    return folder / f"aiquery-{word}-{context.taskAttemptId()}"


def _exists(file: Path | None) -> bool:
    return file is not None and file.exists()
