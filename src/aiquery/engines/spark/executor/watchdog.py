"""A Python worker leaves at once when nobody waits for the model now; each call after that is paid for nothing."""

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

LOOK_MS = 100
TOLD_S = 0.05
"""How long after its socket the JVM may take to make the file that says why, in seconds."""


class Task:
    """What the JVM says of the task that this process works on: it must be made on the thread of the task."""

    def __init__(self) -> None:
        """Find where it is said."""
        self._enough, self._stop = _file("enough"), _file("stop")

    def is_over(self) -> bool:
        """Say whether the JVM wants nothing more of it."""
        return _is_there(self._enough) or _is_there(self._stop)

    def state(self) -> State:
        """Return how it ended, once it is over or its socket is closed: it had enough (LIMIT), or was killed."""
        if not self.is_over():
            time.sleep(TOLD_S)
        return "stopped" if _is_there(self._stop) else "done"


def watching(
    task: Task, stream: Any, stop: threading.Event, give_up: Callable[[], None]
) -> threading.Thread:
    """Return a thread that ends this process, after ``give_up``, when the JVM wants nothing more of its task.

    It closes our socket, which Linux does not always tell before we write; and ``Stopper.scala`` makes a file.
    """

    def look() -> None:
        poll = select.poll()
        half_closed = getattr(
            select, "POLLRDHUP", 0
        )  # Linux has it; elsewhere a closed stream is POLLHUP
        poll.register(stream.fileno(), half_closed | select.POLLHUP | select.POLLERR)
        while not stop.is_set():
            if poll.poll(LOOK_MS) or task.is_over():
                give_up()
                os._exit(1)

    return threading.Thread(target=look, name="aiquery-leaving", daemon=True)


def _file(word: str) -> Path | None:
    from pyspark import TaskContext

    folder, context = environment.spark_local_folder(), TaskContext.get()
    return (
        None
        if folder is None or context is None
        else folder / f"aiquery-{word}-{context.taskAttemptId()}"
    )


def _is_there(file: Path | None) -> bool:
    return file is not None and file.exists()
