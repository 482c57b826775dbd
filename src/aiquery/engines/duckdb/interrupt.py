"""Cancel waiting requests on Ctrl-C and on ``con.interrupt()``.

Python runs signal handlers in the main thread, which is inside DuckDB until our function returns, while our function
may wait for an answer in another thread. So a thread listens on the wake-up socket that the interpreter writes to as
soon as a signal arrives, and cancels the requests that the main thread's statements wait for; DuckDB then returns, and
the KeyboardInterrupt is raised as always. A program with its own SIGINT handler is not affected.

The wake-up socket belongs to the process. It is set while a statement runs, and taken back afterwards: by
``Connection.sql`` itself, and for a plain connection, which does not report the end of its statements, as soon as no
function waits any more. In the same way DuckDB's ``interrupt`` method is replaced only while a plain connection waits.
"""

from __future__ import annotations

import ctypes
import functools
import os
import signal
import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakKeyDictionary, WeakSet

import duckdb

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_SIGNALS = 64
IDLE_S = 0.5
"""How long after the last wait of a plain connection the wake-up socket is taken back, in seconds."""


class Interruptible(Protocol):
    """A session whose waiting requests can be cancelled."""

    def interrupt(self) -> None:
        """Cancel the requests that its statements wait for."""


class SignalWatch:
    """The wake-up socket of this process, and the sessions whose statements the main thread runs."""

    def __init__(self) -> None:
        """Start the thread that listens; the socket is not set yet."""
        self.pid = os.getpid()
        self.sessions: WeakSet[Interruptible] = WeakSet()
        self._holders = 0
        self._previous = -1
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)  # noqa: FBT003  the socket's own signature
        threading.Thread(
            target=self._listen, name="aiquery-ctrl-c", daemon=True
        ).start()

    def acquire(self, session: Interruptible) -> None:
        """Set the wake-up socket. Only the main thread may call it."""
        self.sessions.add(session)
        self._holders += 1
        if self._holders == 1:
            fileno = self._writer.fileno()
            self._previous = signal.set_wakeup_fd(fileno, warn_on_full_buffer=False)

    def release(self) -> None:
        """Take the wake-up socket back, if no statement needs it. Only the main thread may call it."""
        self._holders -= 1
        if not self._holders:
            signal.set_wakeup_fd(self._previous, warn_on_full_buffer=False)

    def _listen(self) -> None:
        while numbers := self._reader.recv(MAX_SIGNALS):
            if self._previous != -1:
                with suppress(OSError):  # its owner closed it
                    os.write(self._previous, numbers)
            if signal.SIGINT in numbers and _has_default_handler():
                for session in list(self.sessions):
                    session.interrupt()


def _has_default_handler() -> bool:
    return signal.getsignal(signal.SIGINT) is signal.default_int_handler


_signal_watch: SignalWatch | None = None


def _find_signal_watch() -> SignalWatch | None:
    """Return the watch of this process in its main thread, where Ctrl-C arrives; None in any other thread."""
    global _signal_watch  # noqa: PLW0603  a process has one wake-up socket
    if threading.current_thread() is not threading.main_thread():
        return None
    if _signal_watch is None or _signal_watch.pid != os.getpid():
        _signal_watch = SignalWatch()
    return _signal_watch


@contextmanager
def watch_signals(session: Interruptible) -> Iterator[None]:
    """Let Ctrl-C cancel the requests of ``session`` while the block runs."""
    watch = _find_signal_watch()
    if watch is None:
        yield
        return
    watch.acquire(session)
    try:
        yield
    finally:
        watch.release()


class PlainWaits:
    """The waits of plain connections, for which DuckDB's ``interrupt`` and the wake-up socket are hooked."""

    def __init__(self) -> None:
        """Start without a hook."""
        self._lock = threading.Lock()
        self._waiting = 0
        self._original: Any = None
        self._idle: threading.Timer | None = None
        self._signals: SignalWatch | None = None

    def watch_signals(self, session: Interruptible) -> None:
        """Let Ctrl-C cancel the requests of a statement that is being bound, until no function waits any more."""
        watch = _find_signal_watch()
        if watch is None:
            return
        with self._lock:
            if self._signals is None:
                watch.acquire(session)
                self._signals = watch
            watch.sessions.add(session)
            self._restart_timer()

    @contextmanager
    def wait(self) -> Iterator[None]:
        """Replace DuckDB's ``interrupt`` while a function waits."""
        with self._lock:
            self._waiting += 1
            if self._waiting == 1:
                self._hook()
        try:
            yield
        finally:
            with self._lock:
                self._waiting -= 1
                if not self._waiting:
                    self._unhook()
                    self._restart_timer()

    def _hook(self) -> None:
        original = duckdb.DuckDBPyConnection.interrupt

        @functools.wraps(original)
        def interrupt(self: duckdb.DuckDBPyConnection) -> None:
            original(self)
            session = plain_sessions.get(self)
            if session is not None:
                session.interrupt()

        self._original = original
        duckdb.DuckDBPyConnection.interrupt = interrupt  # type: ignore[method-assign]

    def _unhook(self) -> None:
        duckdb.DuckDBPyConnection.interrupt = self._original  # type: ignore[method-assign]

    def _restart_timer(self) -> None:
        if self._signals is None:
            return
        if self._idle is not None:
            self._idle.cancel()
        self._idle = threading.Timer(IDLE_S, self._take_signals_back)
        self._idle.daemon = True
        self._idle.start()

    def _take_signals_back(self) -> None:
        with self._lock:
            if self._waiting or self._signals is None:
                return
            # Only the main thread may do it: the interpreter runs a pending call there.
            ctypes.pythonapi.Py_AddPendingCall(_RELEASE, None)

    def release_signals(self) -> None:
        """Take the wake-up socket back, in the main thread."""
        with self._lock:
            if self._signals is not None and not self._waiting:
                self._signals.release()
                self._signals = None


plain_sessions: WeakKeyDictionary[Any, Interruptible] = WeakKeyDictionary()
"""Sessions by the plain connections that they are registered with."""

plain_waits = PlainWaits()


def _release_in_main_thread(_: object) -> int:
    plain_waits.release_signals()
    return 0


_RELEASE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(_release_in_main_thread)
