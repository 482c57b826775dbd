"""Ctrl-C while Spark works for the main thread.

PySpark's handler runs in the main thread, which is reading from the JVM, and sends the request to cancel the jobs on
that same connection: "reentrant call", and the jobs go on (seen with pyspark 4.3). Each thread has a connection of its
own, so another thread can send it. A handler that the program installed itself is not replaced.

The interrupted connection is closed before KeyboardInterrupt is raised. Otherwise py4j (0.10.9.9) asks the JVM to close
every connection, some time later; the next call fails with "Answer from Java side is empty", in 6 of 30 interrupts on a
busy machine.
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
    """Replace PySpark's handler of Ctrl-C by one that cancels the jobs of ``context``."""
    current = signal.getsignal(signal.SIGINT)
    if getattr(current, "__module__", None) != "pyspark.core.context":
        return
    if threading.current_thread() is not threading.main_thread():
        return  # only the main thread can set a handler

    def cancel(_: int, interrupted: FrameType | None) -> NoReturn:
        cancelling = threading.Thread(target=context.cancelAllJobs, daemon=True)
        cancelling.start()
        cancelling.join(CANCEL_S)
        _close_connection_in_use(interrupted)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, cancel)


def _close_connection_in_use(frame: FrameType | None) -> None:
    """Close the connection to the JVM on which ``frame``, or one of its callers, waits for an answer.

    An idle connection stays open: the JVM's thread behind it holds the thread's local properties.
    """
    from py4j.clientserver import ClientServerConnection

    while frame is not None:
        connection = frame.f_locals.get("self")
        if isinstance(connection, ClientServerConnection):
            connection.close()
            return
        frame = frame.f_back
