"""The asyncio tasks of one owner."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

log = logging.getLogger("aiquery")

T = TypeVar("T")


class TaskSet:
    """Holds its tasks until they end, logs the error of a task that fails, and cancels all on ``close``."""

    def __init__(
        self,
        owner: str,
        on_failure: Callable[[BaseException], None] | None = None,
    ) -> None:
        """Start empty.

        owner       is named in the log
        on_failure  called with the error of a task that fails
        """
        self._owner = owner
        self._on_failure = on_failure
        self._tasks: set[asyncio.Task[Any]] = set()

    def __iter__(self) -> Iterator[asyncio.Task[Any]]:
        """Return the tasks that have not ended."""
        return iter(list(self._tasks))

    def spawn(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run a coroutine as a task of the running loop, and return the task."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._end)
        return task

    def _end(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            log.error("%s: a task failed: %r", self._owner, error, exc_info=error)
            if self._on_failure is not None:
                self._on_failure(error)

    async def wait_for_cancelled(self, timeout_s: float) -> None:
        """Wait until the tasks that were cancelled have ended, or ``timeout_s`` seconds."""
        cancelled = [task for task in self._tasks if task.cancelling()]
        if cancelled:
            await asyncio.wait(cancelled, timeout=timeout_s)

    async def close(self) -> None:
        """Cancel the tasks, and return when they have ended."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
