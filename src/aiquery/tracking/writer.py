"""The run writer stores runs about a second behind them, so that no statement waits for it.

A sink that fails is not used any more, with one warning: no query fails because its run cannot be stored.
"""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from aiquery.errors import StoreFailed
from aiquery.runtime.blocking_thread import BlockingThread
from aiquery.tracking.record import take_snapshot

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiquery.tracking.attempts import Block, Ledger
    from aiquery.tracking.record import RunIds, RunRecord, RunSink
    from aiquery.tracking.run import RunStats

log = logging.getLogger("aiquery")
DELAY_S = 1.0
"""How far the sink may be behind, in seconds."""


class RunWriter:
    """The runs of one client, and their way to the sink. Touched on the loop thread only."""

    def __init__(
        self,
        ledger: Ledger,
        open_sink: Callable[[], RunSink] | None,
        settle: Callable[[], Awaitable[None]],
    ) -> None:
        """Open nothing before there is something to write.

        open_sink   called on the writer's thread; None: runs are not stored
        settle      waits until cancelled attempts are counted
        """
        self._settle = settle
        self._ledger = ledger
        self._open_sink = open_sink
        self._sink: RunSink | None = None
        self._thread: BlockingThread | None = None
        self._runs: dict[int, RunStats] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._writing = asyncio.Lock()
        self._flushing: asyncio.Task[None] | None = None

    def begin(self, stats: RunStats) -> None:
        """Write this run from now on."""
        stats.totals = self._ledger.totals_of(stats.number)
        self._runs[stats.number] = stats

    def soon(self) -> None:
        """Write soon."""
        if self._timer is None and self._open_sink is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(DELAY_S, self._start_flush)

    def _start_flush(self) -> None:
        self._timer = None
        self._flushing = asyncio.get_running_loop().create_task(self.flush())
        self._flushing.add_done_callback(_log_error)

    async def flush(self) -> None:
        """Write now; returns when everything is written."""
        async with self._writing:
            await self._settle()
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            runs = list(self._runs.values())
            # Another thread ends runs: one that ends from here on is written next time.
            ended = [stats for stats in runs if stats.ended_at is not None]
            run_ids = {stats.number: stats.run_id for stats in runs}
            records = [take_snapshot(stats) for stats in runs if not stats.is_idle()]
            for stats in ended:
                del self._runs[stats.number]
                self._ledger.close(stats.number)
            if self._open_sink is not None and (records or len(self._ledger)):
                blocks = self._ledger.take()
                if records or blocks:
                    await self._write(records, blocks, run_ids)

    async def use(self, read: Callable[[Any], Any]) -> Any:
        """Write everything, and return ``read(sink)``. Raises ``StoreFailed``."""
        await self.flush()
        return await self._on_thread(read)

    async def close(self) -> None:
        """Write everything and close the sink; runs that have not ended are stopped."""
        for stats in self._runs.values():
            stats.end("done" if stats.open_ended else "stopped", time.time())
        await self.flush()
        if self._thread is not None:
            try:
                if self._sink is not None:
                    await self._thread.run(self._sink.close)
            except StoreFailed as error:
                log.warning("the file of runs could not be closed: %s", error)
            self._thread.stop()
        self._open_sink = None
        self._sink = None
        self._thread = None

    async def _write(
        self, records: list[RunRecord], blocks: list[Block], run_ids: RunIds
    ) -> None:
        def write(sink: RunSink) -> None:
            sink.write(records, blocks, run_ids)

        try:
            await self._on_thread(write)
        except StoreFailed as error:
            log.warning(
                "runs are not stored from now on, until this process ends: %s", error
            )
            self._open_sink = None
        except Exception:
            log.exception("runs are not stored from now on, until this process ends")
            self._open_sink = None

    async def _on_thread(self, use: Callable[[Any], Any]) -> Any:
        if self._thread is None:
            self._thread = BlockingThread("aiquery-runs")
        return await self._thread.run(partial(self._use_sink, use))

    def _use_sink(self, use: Callable[[Any], Any]) -> Any:
        if self._sink is None:
            if self._open_sink is None:
                raise StoreFailed("runs are not stored")
            self._sink = self._open_sink()
        return use(self._sink)


def _log_error(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("runs could not be written: %r", error, exc_info=error)
