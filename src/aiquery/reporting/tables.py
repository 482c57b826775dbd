"""Kept runs as Arrow tables, for SQL and for the commands."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from aiquery.errors import ArgumentError
from aiquery.tracking.attempt_table import SCHEMA
from aiquery.tracking.run import sum_usd

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aiquery.tracking.record import RunRecord, UsageBreakdown
    from aiquery.tracking.store import RunStore

MOMENT = pa.timestamp("us", "UTC")
_ERROR = pa.struct(
    {
        "class": pa.string(),
        "attempts": pa.int64(),
        "requests": pa.int64(),
        "example": pa.string(),
    }
)
_SUMS = [
    ("attempts", pa.int64()), ("retries", pa.int64()), ("tokens_in", pa.int64()), ("tokens_cached", pa.int64()),
    ("tokens_out", pa.int64()), ("cost_usd", pa.float64()),
]  # fmt: skip

RUNS = pa.schema([
    ("run", pa.string()), ("engine", pa.string()), ("statement", pa.string()), ("state", pa.string()),
    ("started_at", MOMENT), ("seconds", pa.float64()), ("rows", pa.int64()), ("requests", pa.int64()),
    ("cache_hits", pa.int64()), ("deduplicated", pa.int64()), ("failed", pa.int64()), *_SUMS,
    ("endpoints", pa.list_(pa.string())), ("functions", pa.list_(pa.string())), ("error", pa.string()),
    ("errors", pa.list_(_ERROR)),
])  # fmt: skip
"""``aiquery_runs()``."""

_AS_TEXT = ("endpoint", "function", "key", "ending", "error", "status", "started_at")
ATTEMPTS = pa.schema([
    ("endpoint", pa.string()), ("function", pa.string()), ("key", pa.string()), ("ending", pa.string()),
    ("error", pa.string()), ("status", pa.int16()), ("started_at", MOMENT),
    *((field.name, field.type) for field in SCHEMA if field.name not in _AS_TEXT),
])  # fmt: skip
"""``aiquery_attempts(run)``: ``key`` is that of ``aiquery answers export``, in hexadecimal digits."""

USAGE = pa.schema([("name", pa.string()), ("runs", pa.int64()), *_SUMS])
"""``aiquery_usage(by => ..)``."""

BY = ("day", "endpoint", "function")


SCHEMAS = {"runs": RUNS, "attempts": ATTEMPTS, "usage": USAGE}


def table(name: str, store: RunStore, argument: str | None) -> pa.Table:
    """Return the table of ``SCHEMAS`` of this name; ``argument`` is its run, or what to sum up by."""
    if name == "attempts":
        return attempts(store, argument or "last")
    return runs(store.runs()) if name == "runs" else usage(store.runs(), argument or "")


def runs(kept: Iterable[RunRecord]) -> pa.Table:
    """Return a row for each run."""
    return pa.Table.from_pylist([_run(one) for one in kept], schema=RUNS)


def _run(kept: RunRecord) -> dict[str, Any]:
    p = kept.progress
    return {
        "run": p.run, "engine": p.engine, "statement": p.statement, "state": p.state,
        "started_at": datetime.fromtimestamp(p.started_at, UTC), "seconds": p.seconds, "rows": p.rows,
        "requests": p.requests, "cache_hits": p.cache_hits, "deduplicated": p.deduplicated, "failed": p.failed,
        "attempts": p.attempts,
        "retries": p.retries, "tokens_in": p.tokens_in, "tokens_cached": p.tokens_cached,
        "tokens_out": p.tokens_out, "cost_usd": p.cost_usd, "error": kept.error,
        "endpoints": sorted({part.endpoint for part in kept.parts}),
        "functions": sorted({part.function for part in kept.parts}),
        "errors": [
            {"class": kind, "attempts": seen.attempts, "requests": seen.requests, "example": seen.example}
            for kind, seen in kept.errors.items()
        ],
    }  # fmt: skip


PARTS = (
    "endpoint",
    "function",
    "attempts",
    "tokens in",
    "cached",
    "tokens out",
    "USD",
    "endings",
)


def parts(kept: RunRecord) -> list[tuple[str | int, ...]]:
    """Return a row of ``PARTS`` for each endpoint and function of a run, to be read."""
    return [
        (part.endpoint, part.function, part.attempts, part.tokens_in, part.tokens_cached, part.tokens_out, _money(part),
         ", ".join(f"{count:,} {ending}" for ending, count in sorted(part.endings.items())))
        for part in kept.parts
    ]  # fmt: skip


def _money(part: UsageBreakdown) -> str:
    if part.cost_usd is None:
        return ""
    return f"{part.cost_usd:,.6f}" + (
        f" (list prices of {part.prices_of})" if part.prices_of else ""
    )


def usage(kept: Iterable[RunRecord], by: str) -> pa.Table:
    """Return what was used, by day (UTC, of the beginning of the run), endpoint or function."""
    if by not in BY:
        raise ArgumentError(
            f"aiquery_usage: by {by!r} is not known; use {', '.join(map(repr, BY))}."
        )
    found: dict[str, list[tuple[RunRecord, UsageBreakdown]]] = defaultdict(list)
    for one in kept:
        day = datetime.fromtimestamp(one.progress.started_at, UTC).date().isoformat()
        for part in one.parts:
            found[
                {"day": day, "endpoint": part.endpoint, "function": part.function}[by]
            ].append((one, part))
    return pa.Table.from_pylist(
        [_used(name, parts) for name, parts in sorted(found.items())], schema=USAGE
    )


def _used(
    name: str, parts: Sequence[tuple[RunRecord, UsageBreakdown]]
) -> dict[str, Any]:
    return {
        "name": name,
        "runs": len({one.progress.run for one, _ in parts}),
        "attempts": sum(part.attempts for _, part in parts),
        "retries": sum(part.endings.get("retried", 0) for _, part in parts),
        "tokens_in": sum(part.tokens_in for _, part in parts),
        "tokens_cached": sum(part.tokens_cached for _, part in parts),
        "tokens_out": sum(part.tokens_out for _, part in parts),
        "cost_usd": sum_usd(part.cost_usd for _, part in parts),
    }


def attempts(store: RunStore, run: str) -> pa.Table:
    """Return every attempt of a run, in the order they ended."""
    table = store.attempts(find(store.runs(), run).progress.run)
    keys = pa.array([key.hex() for key in table["key"].to_pylist()], pa.string())
    micros = pa.array((table["started_at"].to_numpy() * 1e6).astype("int64"))
    table = table.set_column(table.schema.get_field_index("key"), "key", keys)
    table = table.set_column(
        table.schema.get_field_index("started_at"), "started_at", micros.cast(MOMENT)
    )
    cost = table["cost_usd"]
    table = table.set_column(
        table.schema.get_field_index("cost_usd"),
        "cost_usd",
        pc.if_else(pc.is_nan(cost), None, cost),
    )
    return table.cast(ATTEMPTS)


def find(kept: Sequence[RunRecord], run: str) -> RunRecord:
    """Return the run of this name, or whose name begins so, or the ``last`` one; raise ``ArgumentError``."""
    found = [one for one in kept if run == "last" or one.progress.run.startswith(run)]
    if run == "last" and found:
        return found[0]
    if len(found) != 1:
        known = ", ".join(one.progress.run for one in kept[:3]) or "none"
        raise ArgumentError(
            f"run {run!r} {'is not known' if not found else 'is several'}; the newest are: {known}."
        )
    return found[0]
