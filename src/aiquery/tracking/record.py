"""A run as it is kept, and what keeps it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

import msgspec

from aiquery.tracking.run import ErrorSummary, Progress, RunStats, usd

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiquery.tracking.attempts import Block


class UsageBreakdown(msgspec.Struct):
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


class RunRecord(msgspec.Struct):
    """One run as it is kept; ``origin`` is the Spark application that it was part of."""

    progress: Progress
    error: str | None
    parts: list[UsageBreakdown]
    errors: dict[str, ErrorSummary]
    origin: str = ""


class RunSink(Protocol):
    """Where runs are kept. Called on one thread; raises ``StoreFailed``."""

    def write(
        self,
        runs: Sequence[RunRecord],
        attempts: Sequence[Block],
        names: dict[int, str],
    ) -> None:
        """Keep how runs stand now, and new attempts; ``names`` are the runs by the account number of the attempts."""

    def close(self) -> None:
        """Let go of it."""


def take_snapshot(stats: RunStats) -> RunRecord:
    """Return an account as it is now, which goes on."""
    parts = [
        UsageBreakdown(
            endpoint, function, sums.attempts, sums.tokens_in, sums.tokens_cached, sums.tokens_out, sums.truncated,
            sums.size, usd([sums.cost_usd]) if sums.priced else None, dict(sums.endings),
            stats.price_lists.get(endpoint),
        )
        for (endpoint, function), sums in stats.totals.items()
    ]  # fmt: skip
    errors = {
        kind: msgspec.structs.replace(seen) for kind, seen in stats.errors.items()
    }
    return RunRecord(stats.progress(time.time()), stats.error, parts, errors)
