"""Ctrl-C while DuckDB waits for us.

Python runs signal handlers in the main thread, which sits inside DuckDB until our function returns, and our function
may wait for an answer in another thread. So a thread of ours listens on the wake-up socket that the interpreter writes
to as soon as the signal arrives, and cancels what the main thread's statements wait for; DuckDB then returns, and the
KeyboardInterrupt is raised as always. A program that handles SIGINT in its own way is left alone.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING
from weakref import WeakSet

if TYPE_CHECKING:
    from aiquery.engines.duckdb.binding import Session

_BYTES = 64


class _Watch:
    """The process's wake-up socket, and the sessions whose statements the main thread runs."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.sessions: WeakSet[Session] = WeakSet()
        self._heard, self._told = socket.socketpair()
        self._told.setblocking(False)  # noqa: FBT003  the socket's own signature
        self._before = -1
        threading.Thread(
            target=self._listen, name="aiquery-ctrl-c", daemon=True
        ).start()

    def install(self) -> None:
        """Be told of signals; whoever was told before is told by us."""
        before = signal.set_wakeup_fd(self._told.fileno(), warn_on_full_buffer=False)
        if before != self._told.fileno():
            self._before = before

    def _listen(self) -> None:
        while numbers := self._heard.recv(_BYTES):
            if self._before != -1:
                with suppress(OSError):  # it was closed meanwhile
                    os.write(self._before, numbers)
            if (
                signal.SIGINT in numbers
                and signal.getsignal(signal.SIGINT) is signal.default_int_handler
            ):
                for session in list(self.sessions):
                    session.interrupt()


_watch: _Watch | None = None


def watch_interrupts(session: Session) -> None:
    """Let Ctrl-C cancel what ``session`` waits for, if this is the main thread, where Ctrl-C arrives."""
    global _watch  # noqa: PLW0603  one wake-up socket per process is all there is
    if threading.current_thread() is not threading.main_thread():
        return
    if _watch is None or _watch.pid != os.getpid():
        _watch = _Watch()
    _watch.sessions.add(session)
    _watch.install()
