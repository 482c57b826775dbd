"""The run history as Arrow tables, for SQL and for the commands."""

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

TIME = pa.timestamp("us", "UTC")
_ERROR = pa.struct(
    {
        "class": pa.string(),
        "attempts": pa.int64(),
        "requests": pa.int64(),
        "example": pa.string(),
    }
)
_SUMS = [
    ("attempts", pa.int64()),
    ("retries", pa.int64()),
    ("tokens_in", pa.int64()),
    ("tokens_cached", pa.int64()),
    ("tokens_out", pa.int64()),
    ("cost_usd", pa.float64()),
]

RUNS = pa.schema(
    [
        ("run", pa.string()),
        ("engine", pa.string()),
        ("statement", pa.string()),
        ("state", pa.string()),
        ("started_at", TIME),
        ("seconds", pa.float64()),
        ("rows", pa.int64()),
        ("requests", pa.int64()),
        ("cache_hits", pa.int64()),
        ("deduplicated", pa.int64()),
        ("failed", pa.int64()),
        ("not_stored", pa.int64()),
        *_SUMS,
        ("endpoints", pa.list_(pa.string())),
        ("functions", pa.list_(pa.string())),
        ("error", pa.string()),
        ("errors", pa.list_(_ERROR)),
    ]
)
"""``aiquery_runs()``."""

_CONVERTED = [
    ("endpoint", pa.string()),
    ("function", pa.string()),
    ("key", pa.string()),
    ("ending", pa.string()),
    ("error", pa.string()),
    ("status", pa.int16()),
    ("started_at", TIME),
]
_CONVERTED_NAMES = {name for name, _ in _CONVERTED}
ATTEMPTS = pa.schema(
    [
        *_CONVERTED,
        *[(one.name, one.type) for one in SCHEMA if one.name not in _CONVERTED_NAMES],
    ]
)
"""``aiquery_attempts(run)``; ``key`` is that of ``aiquery cache export``, in hexadecimal digits."""

USAGE = pa.schema([("name", pa.string()), ("runs", pa.int64()), *_SUMS])
"""``aiquery_usage(by => ..)``."""

BY = ("day", "endpoint", "function")


SCHEMAS = {"runs": RUNS, "attempts": ATTEMPTS, "usage": USAGE}

USAGE_COLUMNS = (
    "endpoint",
    "function",
    "attempts",
    "tokens in",
    "cached",
    "tokens out",
    "USD",
    "endings",
)


def make_table(name: str, store: RunStore, argument: str | None) -> pa.Table:
    """Return the table of ``SCHEMAS`` with this name; ``argument`` is its run, or the grouping of the usage."""
    if name == "attempts":
        return attempts_table(store, argument or "last")
    if name == "runs":
        return runs_table(store.runs())
    return usage_table(store.runs(), argument or "")


def runs_table(records: Iterable[RunRecord]) -> pa.Table:
    """Return a row for each run."""
    return pa.Table.from_pylist([_run_row(record) for record in records], schema=RUNS)


def _run_row(record: RunRecord) -> dict[str, Any]:
    progress = record.progress
    row = {name: getattr(progress, name, None) for name in RUNS.names}
    row["started_at"] = datetime.fromtimestamp(progress.started_at, UTC)
    row["error"] = record.error
    row["endpoints"] = sorted({part.endpoint for part in record.parts})
    row["functions"] = sorted({part.function for part in record.parts})
    row["errors"] = [
        {
            "class": kind,
            "attempts": summary.attempts,
            "requests": summary.requests,
            "example": summary.example,
        }
        for kind, summary in record.errors.items()
    ]
    return row


def usage_rows(record: RunRecord) -> list[tuple[str | int, ...]]:
    """Return a readable row of ``USAGE_COLUMNS`` for each endpoint and function of a run."""
    return [
        (
            part.endpoint,
            part.function,
            part.attempts,
            part.tokens_in,
            part.tokens_cached,
            part.tokens_out,
            _describe_cost(part),
            _describe_endings(part),
        )
        for part in record.parts
    ]


def _describe_cost(part: UsageBreakdown) -> str:
    if part.cost_usd is None:
        return ""
    cost = f"{part.cost_usd:,.6f}"
    return f"{cost} (list prices of {part.prices_of})" if part.prices_of else cost


def _describe_endings(part: UsageBreakdown) -> str:
    endings = sorted(part.endings.items())
    return ", ".join(f"{count:,} {ending}" for ending, count in endings)


def usage_table(records: Iterable[RunRecord], by: str) -> pa.Table:
    """Return the usage by day (UTC, of the run's start), endpoint or function. Raises ``ArgumentError``."""
    if by not in BY:
        raise ArgumentError(
            f"aiquery_usage: by {by!r} is not known; use {', '.join(map(repr, BY))}."
        )
    groups: dict[str, list[tuple[RunRecord, UsageBreakdown]]] = defaultdict(list)
    for record in records:
        started = datetime.fromtimestamp(record.progress.started_at, UTC)
        day = started.date().isoformat()
        for part in record.parts:
            names = {"day": day, "endpoint": part.endpoint, "function": part.function}
            groups[names[by]].append((record, part))
    rows = [_usage_row(name, group) for name, group in sorted(groups.items())]
    return pa.Table.from_pylist(rows, schema=USAGE)


def _usage_row(
    name: str, group: Sequence[tuple[RunRecord, UsageBreakdown]]
) -> dict[str, Any]:
    parts = [part for _, part in group]
    return {
        "name": name,
        "runs": len({record.progress.run for record, _ in group}),
        "attempts": sum(part.attempts for part in parts),
        "retries": sum(part.endings.get("retried", 0) for part in parts),
        "tokens_in": sum(part.tokens_in for part in parts),
        "tokens_cached": sum(part.tokens_cached for part in parts),
        "tokens_out": sum(part.tokens_out for part in parts),
        "cost_usd": sum_usd(part.cost_usd for part in parts),
    }


def attempts_table(store: RunStore, run: str) -> pa.Table:
    """Return every attempt of a run, in the order they ended. Raises ``ArgumentError``."""
    table = store.attempts(find_run(store.runs(), run).progress.run)
    keys = pa.array([key.hex() for key in table["key"].to_pylist()], pa.string())
    micros = (table["started_at"].to_numpy() * 1e6).astype("int64")
    cost = table["cost_usd"]
    replaced = {
        "key": keys,
        "started_at": pa.array(micros).cast(TIME),
        "cost_usd": pc.if_else(pc.is_nan(cost), None, cost),
    }
    for name, column in replaced.items():
        table = table.set_column(table.schema.get_field_index(name), name, column)
    return table.select(ATTEMPTS.names).cast(ATTEMPTS)


def find_run(records: Sequence[RunRecord], run: str) -> RunRecord:
    """Return the run with this id, or whose id begins so, or the ``last`` one. Raises ``ArgumentError``."""
    if run == "last" and records:
        return records[0]
    found = [record for record in records if record.progress.run.startswith(run)]
    if len(found) != 1:
        problem = "is ambiguous" if found else "is not known"
        newest = ", ".join(record.progress.run for record in records[:3]) or "none"
        raise ArgumentError(f"run {run!r} {problem}; the newest are: {newest}.")
    return found[0]
