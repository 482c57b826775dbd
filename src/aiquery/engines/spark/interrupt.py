"""Ctrl-C while Spark works for the main thread.

PySpark's handler runs in the main thread, which is in the middle of reading from the JVM, and asks on that same
connection to cancel the jobs: "reentrant call", and the jobs go on (seen with pyspark 4.3). Each thread has a
connection of its own, so another thread can ask. A program that handles SIGINT in its own way is left alone.
"""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from pyspark import SparkContext

CANCEL_S = 30.0


def cancel_on_ctrl_c(context: SparkContext) -> None:
    """Let Ctrl-C cancel the jobs of ``context``."""
    theirs = signal.getsignal(signal.SIGINT)
    if getattr(theirs, "__module__", None) != "pyspark.core.context":
        return
    if threading.current_thread() is not threading.main_thread():
        return  # only there a handler can be set

    def cancel(*_: object) -> NoReturn:
        asking = threading.Thread(target=context.cancelAllJobs, daemon=True)
        asking.start()
        asking.join(CANCEL_S)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, cancel)
