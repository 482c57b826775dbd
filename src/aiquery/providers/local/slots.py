"""The slots of a loaded model: what a slot computes is one prompt and its answer, at the same time as the others.

Each slot has one thread. A slot remembers the prompt that it read last, and begins the next one where they
differ.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiquery.providers.local.llama_server import LlamaServer, SavedPrompt

log = logging.getLogger("aiquery")

T = TypeVar("T")

POLL_S = 0.01
"""How often ``close`` checks whether the threads have ended, in seconds."""


class Job(Generic[T]):
    """One piece of work for a slot. The loop creates it, and the slot's thread runs it."""

    def __init__(
        self, work: Callable[[Job[T]], T], saved_prompt: SavedPrompt | None
    ) -> None:
        """``future`` belongs to the running loop.

        work          blocks until it is done; it reads ``slot`` and ``is_cancelled`` of the job
        saved_prompt  what the slot has read before the work begins, to save time
        """
        self.work = work
        self.saved_prompt = saved_prompt
        self.slot = -1
        self.is_cancelled = False
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[T] = self.loop.create_future()

    def run(self, slot: int) -> None:
        """Do the work, and set the outcome of ``future``."""
        self.slot = slot
        outcome: T | BaseException
        try:
            outcome = self.work(self)
        except BaseException as error:  # noqa: BLE001  it is raised where the future is awaited
            outcome = error
        # The loop may be closed: then there are no waiters.
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self._resolve, outcome)

    def _resolve(self, outcome: T | BaseException) -> None:
        if self.future.done():
            return
        if isinstance(outcome, BaseException):
            self.future.set_exception(outcome)
        else:
            self.future.set_result(outcome)


class Slots:
    """The threads of a model's slots, and the queue of their jobs."""

    def __init__(self, llama: LlamaServer, count: int) -> None:
        """Start the threads."""
        self._llama = llama
        self._jobs: SimpleQueue[Job[Any] | None] = SimpleQueue()
        self._running: set[Job[Any]] = set()
        self._threads: list[threading.Thread] = []
        for slot in range(count):
            name = f"aiquery-slot-{slot}"
            thread = threading.Thread(
                target=self._work, args=[slot], name=name, daemon=True
            )
            self._threads.append(thread)
            thread.start()

    async def run(
        self,
        work: Callable[[Job[T]], T],
        saved_prompt: SavedPrompt | None = None,
    ) -> T:
        """Return what a job returns. If the caller is cancelled, so is the job."""
        job = Job(work, saved_prompt)
        self._jobs.put(job)
        try:
            return await job.future
        finally:
            job.is_cancelled = True

    def _work(self, slot: int) -> None:
        restored: SavedPrompt | None = None
        while (job := self._jobs.get()) is not None:
            if job.is_cancelled:
                continue
            self._running.add(job)
            if job.saved_prompt is not None and job.saved_prompt is not restored:
                self._restore(slot, job.saved_prompt)
            restored = job.saved_prompt
            job.run(slot)
            self._running.discard(job)

    def _restore(self, slot: int, saved_prompt: SavedPrompt) -> None:
        try:
            self._llama.restore_prompt(slot, saved_prompt)
        except Exception as error:  # noqa: BLE001  the slot's thread goes on
            # The slot reads the whole prompt, which takes longer and gives the same answer.
            log.debug("a saved prompt could not be used: %s", error)

    async def close(self) -> None:
        """Stop the running jobs and end the threads.

        It polls the threads: at the end of the interpreter there is no executor to wait in.
        """
        for job in list(self._running):
            job.is_cancelled = True
        for _ in self._threads:
            self._jobs.put(None)
        while any(thread.is_alive() for thread in self._threads):  # noqa: ASYNC110  see above
            await asyncio.sleep(POLL_S)
