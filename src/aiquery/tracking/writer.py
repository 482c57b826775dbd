"""Journal: what statements did is written down a second behind them, so that nobody waits for it.

A sink that fails is left alone from then on, with one warning: no query fails because it cannot be written down.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any

from aiquery.errors import StoreFailed
from aiquery.runtime.blocking_thread import BlockingThread
from aiquery.tracking.record import take_snapshot

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiquery.tracking.attempts import Block, Ledger
    from aiquery.tracking.record import RunRecord, RunSink
    from aiquery.tracking.run import RunStats

log = logging.getLogger("aiquery")
BEHIND_S = 1.0
"""How far behind what happens the sink may be, in seconds."""


class RunWriter:
    """The accounts of one run, and the way to the sink."""

    def __init__(
        self,
        ledger: Ledger,
        open_sink: Callable[[], RunSink] | None,
        settle: Callable[[], Awaitable[None]],
    ) -> None:
        """``open_sink`` is called on the journal's thread when there is something to write; None: nothing is kept.

        settle     waits until what was cancelled is counted
        """
        self._settle = settle
        self._ledger = ledger
        self._open_sink = open_sink
        self._sink: RunSink | None = None
        self._worker: BlockingThread | None = None
        self._all_stats: dict[int, RunStats] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._writing = asyncio.Lock()
        self._flushing: asyncio.Task[None] | None = None

    def begin(self, stats: RunStats) -> None:
        """Write this account down from now on."""
        stats.totals = self._ledger.book(stats.number)
        self._all_stats[stats.number] = stats

    def soon(self) -> None:
        """Write soon: something happened."""
        if self._timer is None and self._open_sink is not None:
            self._timer = asyncio.get_running_loop().call_later(BEHIND_S, self._start)

    def _start(self) -> None:
        self._timer = None
        self._flushing = asyncio.get_running_loop().create_task(self.flush())
        self._flushing.add_done_callback(_report)

    async def flush(self) -> None:
        """Write now; returns when it is written."""
        async with self._writing:
            await self._settle()
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            all_stats = list(self._all_stats.values())
            ended = [
                stats for stats in all_stats if stats.ended_at is not None
            ]  # another thread ends them
            names = {stats.number: stats.name for stats in all_stats}
            kept = [take_snapshot(stats) for stats in all_stats if not stats.is_idle()]
            for stats in ended:
                del self._all_stats[stats.number]
                self._ledger.close(stats.number)
            if self._open_sink is not None and (kept or len(self._ledger)):
                blocks = self._ledger.take()
                if kept or blocks:
                    await self._write(kept, blocks, names)

    async def use(self, read: Callable[[Any], Any]) -> Any:
        """Write what there is, and return what ``read`` makes of the sink. Raises ``StoreFailed``."""
        await self.flush()
        return await self._thread().run(lambda: read(self._opened()))

    async def _write(
        self, kept: list[RunRecord], blocks: list[Block], names: dict[int, str]
    ) -> None:
        try:
            await self._thread().run(lambda: self._opened().write(kept, blocks, names))
        except StoreFailed as error:
            log.warning(
                "runs are not kept from now on, until this process ends: %s", error
            )
            self._open_sink = None

    def _thread(self) -> BlockingThread:
        if self._worker is None:
            self._worker = BlockingThread("aiquery-runs")
        return self._worker

    def _opened(self) -> RunSink:
        if self._sink is None:
            if self._open_sink is None:
                raise StoreFailed("runs are not kept")
            self._sink = self._open_sink()
        return self._sink

    async def close(self) -> None:
        """Write what is left; what still runs is stopped."""
        for stats in self._all_stats.values():
            stats.end("done" if stats.open_ended else "stopped", time.time())
        await self.flush()
        if self._worker is not None:
            try:
                if self._sink is not None:
                    await self._worker.run(self._sink.close)
            except StoreFailed as error:
                log.warning("the file of runs could not be closed: %s", error)
            self._worker.stop()
        self._open_sink = self._sink = self._worker = None


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("runs could not be written down: %r", error, exc_info=error)
