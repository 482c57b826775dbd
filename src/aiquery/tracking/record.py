"""The record of a run as it is stored, and the sink that stores it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol, TypeAlias

import msgspec

from aiquery.tracking.run import ErrorSummary, Progress, RunStats, sum_usd

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiquery.tracking.attempts import Block

RunIds: TypeAlias = dict[int, str]
"""The run id by the number that attempts have for their run."""


class UsageBreakdown(msgspec.Struct, kw_only=True):
    """The totals of one endpoint and function within a run; ``prices_of`` is the date of a packaged price list."""

    endpoint: str
    function: str
    attempts: int
    tokens_in: int
    tokens_cached: int
    tokens_out: int
    truncated: int
    size: int
    cost_usd: float | None
    endings: dict[str, int]
    prices_of: str | None = None


class RunRecord(msgspec.Struct, kw_only=True):
    """A run with its totals and errors; ``origin`` is the Spark application that it was part of."""

    progress: Progress
    error: str | None
    parts: list[UsageBreakdown]
    errors: dict[str, ErrorSummary]
    origin: str = ""


class RunSink(Protocol):
    """Stores runs. Called on one thread; raises ``StoreFailed``."""

    def write(
        self, runs: Sequence[RunRecord], attempts: Sequence[Block], run_ids: RunIds
    ) -> None:
        """Store runs as they are now, and new attempts; ``run_ids`` are by the run numbers of the attempts."""

    def close(self) -> None:
        """Close the sink."""


def take_snapshot(stats: RunStats) -> RunRecord:
    """Return the record of a run as it is now."""
    parts = [
        UsageBreakdown(
            endpoint=endpoint,
            function=function,
            attempts=sums.attempts,
            tokens_in=sums.tokens_in,
            tokens_cached=sums.tokens_cached,
            tokens_out=sums.tokens_out,
            truncated=sums.truncated,
            size=sums.size,
            cost_usd=sum_usd([sums.cost_usd]) if sums.has_price else None,
            endings=dict(sums.endings),
            prices_of=stats.price_lists.get(endpoint),
        )
        for (endpoint, function), sums in stats.totals.items()
    ]
    errors = {kind: msgspec.structs.replace(one) for kind, one in stats.errors.items()}
    progress = stats.progress(time.time())
    return RunRecord(progress=progress, error=stats.error, parts=parts, errors=errors)
