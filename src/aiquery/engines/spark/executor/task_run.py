"""The run of one Spark task, and its counts for Spark's UI."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from aiquery.errors import Cancelled
from aiquery.tracking import active

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiquery import config as configuration
    from aiquery.engines.spark.executor.watchdog import TaskWatchdog
    from aiquery.inference.client import Client
    from aiquery.tracking.run import RunStats

METRICS = -77
"""The id of the accumulator that carries our counts; Spark's own ids are positive."""

FLUSH_S = 5.0
EXECUTION = "spark.sql.execution.id"
DESCRIPTION = "spark.job.description"
MICRO_BATCH = "streaming.sql.batchId"
"""The task property with the number of a micro-batch."""

MAX_EXECUTIONS = 100
_executions: dict[str, tuple[int, float]] = {}
"""Reader id and start of the executions with tasks in this process."""


def task_property(name: str) -> str | None:
    """Return a local property of the current task."""
    from pyspark import TaskContext

    context = TaskContext.get()
    value: str | None = None if context is None else context.getLocalProperty(name)
    return value


def begin_run(client: Client, config: configuration.Config) -> RunStats:
    """Begin the run of this task. The coordinator merges the tasks of one execution."""
    text = task_property(DESCRIPTION)
    if text:
        # Imported late: sqlglot is heavy, and few jobs have a description.
        from aiquery.sql.redact import redact_statement

        text = redact_statement(text, config, "databricks")
    stats = active.begin(client, "spark", text or None)
    execution = task_property(EXECUTION) or stats.run_id
    own = (stats.reader_id, stats.since)
    stats.reader_id, stats.since = _executions.setdefault(execution, own)
    if len(_executions) > MAX_EXECUTIONS:
        del _executions[next(iter(_executions))]
    stats.run_id = f"{execution}/{stats.run_id}"
    return stats


def micro_batch() -> str:
    """Return a suffix that differs between micro-batches: a row that failed in one is requested again in the next."""
    batch = task_property(MICRO_BATCH)
    return "" if batch is None else f"/{batch}"


def end_run(
    client: Client, stats: RunStats, watchdog: TaskWatchdog, error: BaseException | None
) -> None:
    """End the run, and store it before the task ends."""
    is_unread = isinstance(error, GeneratorExit | ConnectionError | Cancelled)
    if is_unread:
        stats.end(watchdog.state(), time.time())
    active.end(stats, error)
    with suppress(TimeoutError):
        client.flush_runs().result(FLUSH_S)


def abandon_run(client: Client, stats: RunStats, watchdog: TaskWatchdog) -> None:
    """End the run of a task whose process is about to end."""
    stats.end(watchdog.state(), time.time())
    with suppress(TimeoutError):
        client.flush_runs().result(FLUSH_S)


def count_totals(client: Client, endpoints: Iterable[str]) -> Counter[str]:
    """Return what the client has counted so far for these endpoints."""
    counts: Counter[str] = Counter()
    totals_by_endpoint = client.ledger.totals
    for name in endpoints:
        counts["cache_hits"] += client.cache_hits[name]
        totals = totals_by_endpoint.get(name)
        if totals is None:
            continue
        endings = totals.endings
        counts["calls"] += totals.attempts
        counts["retries"] += endings["retried"]
        counts["failed"] += endings["failed"] + endings["unreadable"]
        counts["tokens_in"] += totals.tokens_in
        counts["tokens_cached"] += totals.tokens_cached
        counts["tokens_out"] += totals.tokens_out
    return counts


def make_counts() -> dict[str, int]:
    """Return a dictionary that Spark sends to the JVM with the accumulator updates at the end of the task."""
    from pyspark.accumulators import Accumulator, AccumulatorParam, _accumulatorRegistry

    class Counts(AccumulatorParam[Any]):  # type: ignore[misc]
        def zero(self, value: Any) -> Any:
            return {} if value is None else value

        def addInPlace(self, value1: Any, value2: Any) -> Any:  # noqa: N802  Spark's name
            del value2
            return value1

    if METRICS not in _accumulatorRegistry:
        accumulator = Accumulator(METRICS, {}, Counts())
        accumulator._deserialized = True  # noqa: SLF001  as if it had come with the task
    counts: dict[str, int] = _accumulatorRegistry[METRICS]._value  # noqa: SLF001
    return counts
