"""A thread that runs blocking calls, such as those of a store, for the event loop.

The thread is a daemon. An executor of the standard library does not fit: it rejects calls as soon
as the main thread ends.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_Call = tuple["Callable[[], Any]", "asyncio.Future[Any]"]


class BlockingThread:
    """Runs functions one after another in its own thread. Created and used on the loop thread."""

    def __init__(self, name: str) -> None:
        """Start the thread."""
        self._loop = asyncio.get_running_loop()
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        thread = threading.Thread(target=self._run, name=name, daemon=True)
        thread.start()

    async def run(self, function: Callable[[], Any]) -> Any:
        """Run ``function`` in the thread. Returns its result or raises its error."""
        done: asyncio.Future[Any] = self._loop.create_future()
        self._calls.put((function, done))
        return await done

    def stop(self) -> None:
        """End the thread after the functions that are queued."""
        self._calls.put(None)

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            function, done = call
            result: object = None
            error: Exception | None = None
            try:
                result = function()
            except Exception as raised:  # noqa: BLE001  raised again in ``run``
                error = raised
            except BaseException as raised:  # noqa: BLE001  the thread goes on
                error = RuntimeError(f"unexpected {raised!r}")
            self._loop.call_soon_threadsafe(_finish, done, result, error)


def _finish(done: asyncio.Future[Any], result: object, error: Exception | None) -> None:
    if done.cancelled():
        return
    if error is not None:
        done.set_exception(error)
    else:
        done.set_result(result)
