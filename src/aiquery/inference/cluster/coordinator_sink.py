"""The run sink of a Spark worker: it reports runs to the coordinator, which stores them beside the driver."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiquery.errors import CoordinatorLost, StoreFailed
from aiquery.inference.cluster.protocol import Columns, RunReport

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiquery.inference.cluster.client import CoordinatorClient
    from aiquery.tracking.attempts import Block
    from aiquery.tracking.record import RunIds, RunRecord

TIMEOUT_S = 10.0


class CoordinatorSink:
    """Reports the runs of one client."""

    def __init__(
        self,
        coordinator: CoordinatorClient,
        loop: asyncio.AbstractEventLoop,
        history: str,
    ) -> None:
        """``loop`` is the coordinator client's; ``history`` says where the runs are stored."""
        self._coordinator = coordinator
        self._loop = loop
        self._history = history

    def write(
        self, runs: Sequence[RunRecord], attempts: Sequence[Block], run_ids: RunIds
    ) -> None:
        """Report runs and attempts; returns when the coordinator has stored them. Raises ``StoreFailed``."""
        columns = [
            Columns(block.names, block.keys, block.numbers.tobytes())
            for block in attempts
        ]
        report = RunReport(list(runs), columns, run_ids, self._history)
        sending = self._coordinator.report_runs(report)
        try:
            asyncio.run_coroutine_threadsafe(sending, self._loop).result(TIMEOUT_S)
        except (CoordinatorLost, TimeoutError) as error:
            raise StoreFailed(f"the coordinator does not answer: {error}") from error

    def close(self) -> None:
        """Do nothing: the client closes the connection."""
