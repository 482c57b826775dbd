"""A worker's sink: what its tasks did is told to the coordinator, which keeps it beside the driver."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiquery.errors import CoordinatorLost, StoreFailed
from aiquery.inference.cluster.protocol import Columns, RunReport

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiquery.inference.cluster.client import CoordinatorClient
    from aiquery.tracking.attempts import Block
    from aiquery.tracking.record import RunRecord

ANSWER_S = 10.0


class CoordinatorSink:
    """See ``RunSink``."""

    def __init__(
        self, member: CoordinatorClient, loop: asyncio.AbstractEventLoop, place: str
    ) -> None:
        """``loop`` is the one that ``member`` lives on; ``place`` is what the coordinator's sink knows of it."""
        self._member = member
        self._place = place
        self._loop = loop

    def write(
        self,
        runs: Sequence[RunRecord],
        attempts: Sequence[Block],
        names: dict[int, str],
    ) -> None:
        """See ``RunSink``; returns when the coordinator has written it."""
        columns = [
            Columns(block.names, block.keys, block.numbers.tobytes())
            for block in attempts
        ]
        report = self._member.tell(RunReport(list(runs), columns, names, self._place))
        try:
            asyncio.run_coroutine_threadsafe(report, self._loop).result(ANSWER_S)
        except (CoordinatorLost, TimeoutError) as error:
            raise StoreFailed(f"the coordinator does not answer: {error}") from error

    def close(self) -> None:
        """See ``RunSink``: the member hangs up by itself."""
