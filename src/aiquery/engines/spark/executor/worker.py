"""The Spark Python worker: Arrow batches in, a column out, many batches in flight.

What the plan carries is a call in JSON (``load``); it is bound here again, over a run that this process keeps for as
long as it lives: workers are reused, so that tasks share limits, answers and clients.
"""

from __future__ import annotations

import functools
import queue
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from aiquery import clients, evaluate, registry
from aiquery import config as configuration
from aiquery.config import environment
from aiquery.engines.spark.executor import pandas_batches as series
from aiquery.engines.spark.executor import watchdog as leaving
from aiquery.engines.spark.executor.estimate_requests import REQUESTS, Requests
from aiquery.engines.spark.types import spark_column, spark_type
from aiquery.errors import Cancelled, RowError
from aiquery.inference.query_context import QueryContext
from aiquery.requests.sql_types import SQLType
from aiquery.tracking import active as watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aiquery.evaluate import SubmittedBatch
    from aiquery.inference.client import Client
    from aiquery.tracking.run import RunStats

AHEAD = 64
"""Batches (of 256 rows) in flight beyond the one that is being read."""

METRICS = -77
"""The number of the accumulator that carries our counts; Spark's own are positive."""

GRACE_S = 60.0
"""How long a failed task waits for answers that are on their way."""

WRITTEN_S = 5.0
EXECUTION, DESCRIPTION = "spark.sql.execution.id", "spark.job.description"
BATCH = "streaming.sql.batchId"
"""Where Spark says the number of a micro-batch."""

REMEMBERED = 100
_executions: dict[str, tuple[int, float]] = {}
"""Of the tasks of one execution in this process: who is told answers, and since when."""

_END = object()


class CallSpec(msgspec.Struct):
    """A call as the plan carries it; see ``BoundCall.scala``."""

    function: str
    constants: str
    config: str
    columns: list[str]
    guarded: bool
    quiet: bool
    counted: bool

    def width(self) -> int:
        """Count its columns, the guard included."""
        return len(self.columns) + self.guarded


class UDFPayload(msgspec.Struct):
    """What one Python function of a plan carries; ``analysed`` is what the jobs of one DataFrame have in common."""

    analysed: str
    calls: list[CallSpec]


class BoundSpec:
    """An order that was bound again. A quiet one keeps its errors in its values, and hands up NULL."""

    def __init__(self, order: CallSpec) -> None:
        """Bind the constants; raises what the driver's binder would."""
        constants = msgspec.json.decode(order.constants)
        self.order = order
        self.hidden = order.quiet and constants.get("failOnError") is None
        if self.hidden:
            constants["failOnError"] = False
        config = _config(order.config)
        self.call = registry.functions()[order.function].bind(constants, config)
        clients.check_call(self.call, config)

    @property
    def returns(self) -> SQLType:
        """The type of the column."""
        return self.call.returns.fields[0][1] if self.hidden else self.call.returns

    def wanted(self, columns: list[pa.Array]) -> list[pa.Array]:
        """Return the columns of the call; a row whose guard is not true is NULL, which asks nothing."""
        if not self.order.guarded:
            return columns
        *columns, guard = columns
        keep = pc.fill_null(guard, fill_value=False)
        columns[0] = pc.if_else(keep, columns[0], pa.scalar(None, columns[0].type))
        return columns

    def ask(
        self, columns: list[pa.Array], client: Client, context: QueryContext
    ) -> SubmittedBatch:
        """Ask about one batch."""
        row_counter = (
            None
            if context.stats is None
            else context.stats.row_counter(self.order.function)
        )
        return evaluate.submit_batch(
            self.call, self.wanted(columns), client, context, row_counter=row_counter
        )

    def column(self, asked: SubmittedBatch) -> pa.Array:
        """Wait for a batch and return its column."""
        column = asked.column(spark_column)
        return pc.struct_field(column, "result") if self.hidden else column


def load(text: str) -> tuple[Callable[..., Any], Any]:
    """Return the function that Spark hands batches to, and its type: what unpickling a command must give."""
    from pyspark.sql.types import _parse_datatype_json_string

    work = msgspec.json.decode(text, type=UDFPayload)
    calls = [BoundSpec(order) for order in work.calls]
    if work.calls[0].counted:
        return functools.partial(counted, calls[0]), _parse_datatype_json_string(
            _json(REQUESTS)
        )
    fields = tuple(
        (f"c{i}", series.returned(bound.returns)) for i, bound in enumerate(calls)
    )
    kind = (
        fields[0][1]
        if len(calls) == 1
        else series.returned(SQLType("STRUCT", fields=fields))
    )
    return functools.partial(answer, calls, work.analysed), _parse_datatype_json_string(
        _json(kind)
    )


def _json(kind: SQLType) -> str:
    return msgspec.json.encode(spark_type(kind)).decode()


def counted(bound: BoundSpec, batches: Iterator[Any]) -> Iterator[Any]:
    """Yield what each batch would ask, as a list in its first row; nothing is asked."""
    counting = Requests(bound.call, _client(bound))
    for batch in batches:
        columns = _columns(batch)
        asked = counting.of(bound.wanted(columns), len(columns[0]))
        yield series.to_series([asked], [REQUESTS]) if series.NEEDED else asked


def answer(
    calls: list[BoundSpec], analysed: str, batches: Iterator[Any]
) -> Iterator[Any]:
    """Yield one array per batch, in order; the next batches are asked about meanwhile."""
    client = _client(calls[0])
    strict = all(bound.call.strict for bound in calls)
    stats = _begin(client, _config(calls[0].order.config))
    statement = analysed + _batch()
    context = QueryContext(
        stop_on_error=strict,
        statement=statement,
        failures=client.failures.of(statement),
        stats=stats,
    )
    kinds = [bound.returns for bound in calls]
    counted = _counts()
    before = _totals(client, calls)
    stream = _out_stream()
    stop, task = threading.Event(), leaving.Task()
    asked: queue.Queue[Any] = queue.Queue(AHEAD)
    threads = [
        threading.Thread(
            target=_read,
            args=(batches, calls, client, context, asked, stop),
            daemon=True,
        )
    ]
    if stream is not None:
        threads.append(
            leaving.watching(
                task,
                stream,
                stop,
                functools.partial(_give_up, client, context, stats, task),
            )
        )
    for thread in threads:
        thread.start()
    try:
        while (item := _next(asked, stream)) is not _END:
            if isinstance(item, BaseException):
                raise item
            if stream is not None and not all(one.future.done() for one in item):
                stream.flush()  # about to wait: let the JVM have what is finished, a LIMIT may need no more
            counted["rows"] = counted.get("rows", 0) + sum(
                len(one.future) for one in item
            )
            began = time.monotonic()
            answers = [
                bound.column(one) for bound, one in zip(calls, item, strict=True)
            ]
            counted["wait_ms"] = counted.get("wait_ms", 0) + int(
                1000 * (time.monotonic() - began)
            )
            yield (
                series.to_series(answers, kinds)
                if series.NEEDED
                else _together(answers)
            )
    except RowError:
        _let_finish([*(item if isinstance(item, list) else []), *_queued(asked)])
        raise
    finally:
        stop.set()
        client.cancel(context)
        _end(client, stats, task, sys.exception())
        for name, count in _totals(client, calls).items():
            counted[name] = counted.get(name, 0) + count - before.get(name, 0)


def _begin(client: Client, config: configuration.Config) -> RunStats:
    """Begin to count what this task does; the coordinator gathers the tasks of one execution."""
    from pyspark import TaskContext

    context = TaskContext.get()
    told = (
        {}
        if context is None
        else {name: context.getLocalProperty(name) for name in (EXECUTION, DESCRIPTION)}
    )
    text = told.get(DESCRIPTION)
    if text:
        from aiquery.sql.redact import (
            redact_statement,
        )  # late: sqlglot is heavy, and few jobs have a description

        text = redact_statement(text, config)
    stats = watch.begin(client, "spark", text or None)
    execution = told.get(EXECUTION) or stats.name
    stats.reader_id, stats.since = _executions.setdefault(
        execution, (stats.reader_id, stats.since)
    )
    if len(_executions) > REMEMBERED:
        del _executions[next(iter(_executions))]
    stats.name = f"{execution}/{stats.name}"
    return stats


def _batch() -> str:
    """Return what tells one micro-batch of a stream from the next: what failed in one is asked again in another."""
    from pyspark import TaskContext

    context = TaskContext.get()
    batch = None if context is None else context.getLocalProperty(BATCH)
    return "" if batch is None else f"/{batch}"


def _end(
    client: Client, stats: RunStats, task: leaving.Task, error: BaseException | None
) -> None:
    """Count no more, and see to it that what was counted is kept before the task ends."""
    if isinstance(
        error, GeneratorExit | ConnectionError | Cancelled
    ):  # nobody reads on
        stats.end(task.state(), time.time())
    watch.end(stats, error)
    with suppress(TimeoutError):
        client.flush_runs().result(WRITTEN_S)


def _give_up(
    client: Client, context: QueryContext, stats: RunStats, task: leaving.Task
) -> None:
    """Ask no more, and have what was counted kept."""
    client.cancel(context)
    stats.end(task.state(), time.time())
    with suppress(TimeoutError):
        client.flush_runs().result(WRITTEN_S)


def _queued(asked: queue.Queue[Any]) -> Iterator[SubmittedBatch]:
    with suppress(queue.Empty):
        while True:
            batch = asked.get_nowait()
            yield from batch if isinstance(batch, list) else []


def _let_finish(batches: list[SubmittedBatch]) -> None:
    """Wait for what is in flight when a row fails the task: it is paid, and Spark ends this process then."""
    until = time.monotonic() + GRACE_S
    for one in batches:
        one.future.wait_at_most(until - time.monotonic())


def _together(columns: list[pa.Array]) -> pa.Array:
    if len(columns) == 1:
        return columns[0]
    fields = [pa.field(f"c{i}", column.type) for i, column in enumerate(columns)]
    return pa.StructArray.from_arrays(columns, fields=fields)


def _next(asked: queue.Queue[Any], stream: Any) -> Any:
    try:
        return asked.get_nowait()
    except queue.Empty:
        if stream is not None:
            stream.flush()
        return asked.get()


def _read(
    batches: Iterator[Any],
    calls: list[BoundSpec],
    client: Client,
    context: QueryContext,
    asked: queue.Queue[Any],
    stop: threading.Event,
) -> None:
    """Hand in batch after batch: waiting for input never holds back what is finished."""
    try:
        for batch in batches:
            cut = iter(_columns(batch))
            parts = [[next(cut) for _ in range(bound.order.width())] for bound in calls]
            _put(
                asked,
                [
                    bound.ask(part, client, context)
                    for bound, part in zip(calls, parts, strict=True)
                ],
                stop,
            )
            if stop.is_set():
                return
        _put(asked, _END, stop)
    except BaseException as error:  # noqa: BLE001  handed to the thread that answers
        _put(asked, error, stop)


def _columns(batch: Any) -> list[pa.Array]:
    columns = list(batch) if isinstance(batch, tuple) else [batch]
    return [series.to_arrow(column) for column in columns] if series.NEEDED else columns


def _put(asked: queue.Queue[Any], item: Any, stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            asked.put(item, timeout=0.2)
        except queue.Full:
            continue
        return


def _client(bound: BoundSpec) -> Client:
    """Return the run that this process keeps for a call's configuration."""
    return clients.SharedClient.hold(
        _config(bound.order.config), environment.coordinator_address()
    ).client


@functools.cache
def _config(text: str) -> configuration.Config:
    return configuration.load(text)


def _totals(client: Client, calls: list[BoundSpec]) -> Counter[str]:
    """Return what the run has counted so far for the endpoints of these calls."""
    counts: Counter[str] = Counter()
    for name in {bound.call.endpoint.name for bound in calls}:
        counts["known"] += client.cache_hits[name]
        if (totals := client.ledger.totals.get(name)) is not None:
            endings = totals.endings
            counts.update(
                calls=totals.attempts, retries=endings["retried"], failed=endings["failed"] + endings["unreadable"],
                tokens_in=totals.tokens_in, tokens_cached=totals.tokens_cached, tokens_out=totals.tokens_out,
            )  # fmt: skip
    return counts


def _counts() -> dict[str, int]:
    """Return a dictionary that goes back to the JVM with the accumulator updates at the end of the task."""
    from pyspark.accumulators import Accumulator, AccumulatorParam, _accumulatorRegistry

    class Counts(AccumulatorParam[Any]):  # type: ignore[misc]
        def zero(self, value: Any) -> Any:
            return {} if value is None else value

        def addInPlace(self, value1: Any, value2: Any) -> Any:  # noqa: N802  Spark's name
            del value2
            return value1

    if METRICS not in _accumulatorRegistry:
        accumulator = Accumulator(METRICS, {}, Counts())
        accumulator._deserialized = True  # noqa: SLF001  as one that came with the task
    counts: dict[str, int] = _accumulatorRegistry[METRICS]._value  # noqa: SLF001
    return counts


def _out_stream() -> Any:
    """Return the worker's output: ``dump_stream(iterator, stream)`` is below us on the stack while it pulls from us."""
    frame = sys._getframe(1)  # noqa: SLF001
    while frame is not None:
        if frame.f_code.co_name == "dump_stream" and "stream" in frame.f_locals:
            return frame.f_locals["stream"]
        frame = frame.f_back  # type: ignore[assignment]
    return None
