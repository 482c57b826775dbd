"""Ctrl-C while Spark works for the main thread.

PySpark's handler runs in the main thread, which is in the middle of reading from the JVM, and asks on that same
connection to cancel the jobs: "reentrant call", and the jobs go on (seen with pyspark 4.3). Each thread has a
connection of its own, so another thread can ask. A program that handles SIGINT in its own way is left alone.

The interrupted connection is closed before KeyboardInterrupt is raised. Otherwise py4j (0.10.9.9) asks the JVM to close
every connection that there is, some time later; the next call fails with "Answer from Java side is empty", in 6 of 30
interrupts on a busy machine.
"""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from types import FrameType

    from pyspark import SparkContext

CANCEL_S = 30.0


def cancel_on_ctrl_c(context: SparkContext) -> None:
    """Let Ctrl-C cancel the jobs of ``context``."""
    theirs = signal.getsignal(signal.SIGINT)
    if getattr(theirs, "__module__", None) != "pyspark.core.context":
        return
    if threading.current_thread() is not threading.main_thread():
        return  # only there a handler can be set

    def cancel(_: int, interrupted: FrameType | None) -> NoReturn:
        asking = threading.Thread(target=context.cancelAllJobs, daemon=True)
        asking.start()
        asking.join(CANCEL_S)
        _close_connection_in_use(interrupted)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, cancel)


def _close_connection_in_use(frame: FrameType | None) -> None:
    """Close the connection to the JVM on which ``frame``, or what called it, waits for an answer.

    An idle connection stays: the JVM's thread behind it holds the thread's local properties.
    """
    from py4j.clientserver import ClientServerConnection

    while frame is not None:
        connection = frame.f_locals.get("self")
        if isinstance(connection, ClientServerConnection):
            connection.close()
            return
        frame = frame.f_back
