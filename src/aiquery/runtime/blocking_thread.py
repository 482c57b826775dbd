"""One thread for what blocks: a store. A daemon, since an executor refuses work as soon as the main thread ends."""

from __future__ import annotations

import asyncio
import queue
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_Job = tuple["Callable[[], Any]", "asyncio.Future[Any]"]


class BlockingThread:
    """Runs functions one after another in a thread of its own. Made and used on the loop thread."""

    def __init__(self, name: str) -> None:
        """Start the thread."""
        self._loop = asyncio.get_running_loop()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    async def run(self, job: Callable[[], Any]) -> Any:
        """Run ``job`` in the thread; its error is raised here."""
        done: asyncio.Future[Any] = self._loop.create_future()
        self._jobs.put((job, done))
        return await done

    def stop(self) -> None:
        """End the thread after what is queued."""
        self._jobs.put(None)

    def _run(self) -> None:
        while (next_job := self._jobs.get()) is not None:
            job, done = next_job
            try:
                result, error = job(), None
            except Exception as problem:  # noqa: BLE001  handed to who asked
                result, error = None, problem
            self._loop.call_soon_threadsafe(_finish, done, result, error)


def _finish(done: asyncio.Future[Any], result: object, error: Exception | None) -> None:
    if done.cancelled():
        return
    if error is not None:
        done.set_exception(error)
    else:
        done.set_result(result)
