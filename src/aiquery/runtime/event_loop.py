"""One event loop in one thread: the doorway from blocking engines into asyncio.

The thread is a daemon, so that a process is never kept alive by requests nobody waits for; a second, non-daemon thread
waits for the main thread to end and then closes what is open, before the interpreter starts to fall apart. After a
fork the child has neither thread and gets its own on first use.
"""

from __future__ import annotations

import asyncio
import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from concurrent.futures import Future

GOODBYE_S = 5.0
"""How long the end of the process waits for clients to close, in seconds."""


class EventLoopThread:
    """An event loop that runs in a thread of its own."""

    def __init__(self) -> None:
        """Start the thread; returns when the loop runs."""
        self.loop = new_loop()
        self.closers: list[Callable[[], Coroutine[Any, Any, None]]] = []
        self._thread = threading.Thread(
            target=self._run, name="aiquery-loop", daemon=True
        )
        self._thread.start()
        threading.Thread(target=self._close_after_main, name="aiquery-goodbye").start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def is_here(self) -> bool:
        """Say whether the caller runs on this loop's thread."""
        return threading.current_thread() is self._thread

    def call(self, function: Callable[..., object], *args: object) -> None:
        """Run ``function(*args)`` on the loop soon; callable from any thread."""
        self.loop.call_soon_threadsafe(function, *args)

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> Future[Any]:
        """Start a coroutine on the loop and return a future that any thread may wait for."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def _close_after_main(self) -> None:
        threading.main_thread().join()
        goodbye = self.start(self._close())
        with suppress(
            TimeoutError
        ):  # the process ends anyway; a client that does not close in time must not hold it
            goodbye.result(GOODBYE_S)
        self.call(self.loop.stop)
        self._thread.join(GOODBYE_S)

    async def _close(self) -> None:
        for closer in list(self.closers):
            await closer()


def new_loop() -> asyncio.AbstractEventLoop:
    """Return a new event loop, uvloop's where there is one."""
    try:
        import uvloop
    except ImportError:  # Windows has none
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


_current: EventLoopThread | None = None
_making = threading.Lock()


def _forget() -> None:
    global _current, _making
    _current, _making = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def event_loop() -> EventLoopThread:
    """Return this process's loop thread."""
    global _current  # noqa: PLW0603  one loop per process is the point
    with _making:
        if _current is None:
            _current = EventLoopThread()
        return _current
