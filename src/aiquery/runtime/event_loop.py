"""The event loop of the process, which runs in a thread and serves the blocking engines.

The loop thread is a daemon, so that requests without waiters do not keep the process alive. A
second thread is not a daemon: it waits for the main thread to end and then closes the clients,
before the interpreter shuts down. A forked child has neither thread. It starts its own on first
use.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from concurrent.futures import Future

Closer: TypeAlias = "Callable[[], Coroutine[Any, Any, None]]"
CrashListener: TypeAlias = "Callable[[BaseException], None]"
log = logging.getLogger("aiquery")
MAX_CLOSE_S = 5.0
"""How long the end of the process waits for clients to close, in seconds."""


class EventLoopThread:
    """An event loop that runs in its own thread."""

    def __init__(self) -> None:
        """Start the thread."""
        self.loop = new_loop()
        self.loop.set_exception_handler(self._handle)
        self.closers: list[Closer] = []
        self.crash_listeners: list[CrashListener] = []
        """Called with the error of a callback that failed: what it did not do, others may wait for."""
        self._is_stopped = False
        self._thread = threading.Thread(
            target=self._run, name="aiquery-loop", daemon=True
        )
        self._thread.start()
        threading.Thread(target=self._close_after_main, name="aiquery-closer").start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        while not self._is_stopped:
            try:
                self.loop.run_forever()
            except (
                BaseException
            ) as error:  # a task that calls sys.exit must not end the loop of all
                log.exception("the event loop goes on after an unexpected error")
                self._report(error)

    def _handle(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log an error that the loop caught, and report it if a callback raised it."""
        error = context.get("exception")
        if isinstance(error, BaseException) and "handle" in context:
            log.error("%s", context.get("message"), exc_info=error)
            self._report(error)
        else:
            loop.default_exception_handler(context)

    def _report(self, error: BaseException) -> None:
        for listener in list(self.crash_listeners):
            listener(error)

    def _stop(self) -> None:
        self._is_stopped = True
        self.loop.stop()

    def is_here(self) -> bool:
        """Return True if the caller runs on this loop's thread."""
        return threading.current_thread() is self._thread

    def call(self, function: Callable[..., object], *args: object) -> None:
        """Schedule ``function(*args)`` on the loop. Callable from any thread."""
        self.loop.call_soon_threadsafe(function, *args)

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> Future[Any]:
        """Start a coroutine on the loop. Any thread may wait for the returned future."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def _close_after_main(self) -> None:
        threading.main_thread().join()
        closing = self.start(self._close())
        # A client that does not close in time must not hold the process.
        with suppress(TimeoutError):
            closing.result(MAX_CLOSE_S)
        self.call(self._stop)
        self._thread.join(MAX_CLOSE_S)

    async def _close(self) -> None:
        for close in list(self.closers):
            await close()


def new_loop() -> asyncio.AbstractEventLoop:
    """Return a new event loop: uvloop's if it is installed."""
    try:
        import uvloop
    except ImportError:  # uvloop does not exist for Windows
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


_current: EventLoopThread | None = None
_lock = threading.Lock()


def _forget() -> None:
    global _current, _lock  # noqa: PLW0603  the child starts its own
    _current = None
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def event_loop() -> EventLoopThread:
    """Return the loop thread of this process. The first call starts it."""
    global _current  # noqa: PLW0603  a process has one loop
    with _lock:
        if _current is None:
            _current = EventLoopThread()
        return _current
