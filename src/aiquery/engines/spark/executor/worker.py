"""The Spark Python worker: Arrow batches in, a column out, many batches in flight.

The plan carries calls as JSON (``load_udf``). They are bound here again, with a client that this process holds for as
long as it lives: Spark reuses workers, so tasks share limits, answers and connections.
"""

from __future__ import annotations

import functools
import queue
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa

from aiquery.engines.spark.executor import pandas_batches, task_run
from aiquery.engines.spark.executor.call_spec import UDFPayload, WorkerCall
from aiquery.engines.spark.executor.estimate_requests import REQUESTS, RequestLister
from aiquery.engines.spark.executor.watchdog import TaskWatchdog
from aiquery.engines.spark.types import spark_type
from aiquery.errors import RowError
from aiquery.inference.query_context import QueryContext
from aiquery.requests.sql_types import SQLType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aiquery.evaluate import SubmittedBatch
    from aiquery.inference.client import Client

AHEAD = 64
"""Batches (of 256 rows) in flight beyond the one that is being read."""

GRACE_S = 60.0
"""How long a failed task waits for answers in flight, in seconds."""

PUT_S = 0.2
_END = object()


def load_udf(text: str) -> tuple[Callable[..., Any], Any]:
    """Return the function that Spark passes batches to, and its type: the result of unpickling a command."""
    payload = msgspec.json.decode(text, type=UDFPayload)
    calls = [WorkerCall(spec) for spec in payload.calls]
    if payload.calls[0].estimate_only:
        return functools.partial(list_requests, calls[0]), _spark_type(REQUESTS)
    types = [pandas_batches.wrap_type(call.returns) for call in calls]
    returns = types[0]
    if len(calls) > 1:
        fields = tuple((f"c{i}", sql_type) for i, sql_type in enumerate(types))
        returns = pandas_batches.wrap_type(SQLType("STRUCT", fields=fields))
    return functools.partial(process_batches, calls, payload.plan_id), _spark_type(
        returns
    )


def _spark_type(sql_type: SQLType) -> Any:
    from pyspark.sql.types import _parse_datatype_json_string

    return _parse_datatype_json_string(
        msgspec.json.encode(spark_type(sql_type)).decode()
    )


def list_requests(call: WorkerCall, batches: Iterator[Any]) -> Iterator[Any]:
    """Yield the requests of each batch as a list in its first row. Sends nothing."""
    lister = RequestLister(call.call, call.client())
    for batch in batches:
        columns = _columns(batch)
        requests = lister.list(call.select(columns), len(columns[0]))
        if pandas_batches.NEEDED:
            yield pandas_batches.to_series([requests], [REQUESTS])
        else:
            yield requests


def process_batches(
    calls: list[WorkerCall], plan_id: str, batches: Iterator[Any]
) -> Iterator[Any]:
    """Yield one array per batch, in order; the next batches are in flight meanwhile."""
    client = calls[0].client()
    stats = task_run.begin_run(client, calls[0].config)
    statement = plan_id + task_run.micro_batch()
    context = QueryContext(
        stop_on_error=all(call.call.strict for call in calls),
        statement=statement,
        failures=client.failures.of(statement),
        stats=stats,
    )
    endpoints = {call.call.endpoint.name for call in calls}
    counts = task_run.make_counts()
    totals_before = task_run.count_totals(client, endpoints)
    watchdog = TaskWatchdog()
    task = _Task(calls, client, context, counts)

    def give_up() -> None:
        client.cancel(context)
        task_run.abandon_run(client, stats, watchdog)

    threads = [threading.Thread(target=task.submit_all, args=(batches,), daemon=True)]
    if task.stream is not None:
        threads.append(watchdog.thread(task.stream, task.stop, give_up))
    for thread in threads:
        thread.start()
    try:
        yield from task.columns()
    except RowError:
        task.wait_for_in_flight()
        raise
    finally:
        # The order matters: no further batch is submitted, requests in flight are cancelled, and only then the run
        # ends and the totals are final.
        task.stop.set()
        client.cancel(context)
        task_run.end_run(client, stats, watchdog, sys.exception())
        for name, count in task_run.count_totals(client, endpoints).items():
            counts[name] = counts.get(name, 0) + count - totals_before[name]


class _Task:
    """The batches of one task: one thread submits them, another reads their columns."""

    def __init__(
        self,
        calls: list[WorkerCall],
        client: Client,
        context: QueryContext,
        counts: dict[str, int],
    ) -> None:
        self.stream = _output_stream()
        self.stop = threading.Event()
        self._calls = calls
        self._client = client
        self._context = context
        self._counts = counts
        self._submitted: queue.Queue[Any] = queue.Queue(AHEAD)
        self._current: list[SubmittedBatch] = []

    # --- the thread that submits

    def submit_all(self, batches: Iterator[Any]) -> None:
        """Submit batch after batch, so that waiting for input does not hold back finished columns."""
        try:
            for batch in batches:
                self._put(self._submit(batch))
                if self.stop.is_set():
                    return
            self._put(_END)
        except BaseException as error:  # noqa: BLE001  raised by the thread that reads
            self._put(error)

    def _submit(self, batch: Any) -> list[SubmittedBatch]:
        columns = _columns(batch)
        submitted = []
        start = 0
        for call in self._calls:
            end = start + call.spec.width()
            submitted.append(
                call.submit(columns[start:end], self._client, self._context)
            )
            start = end
        return submitted

    def _put(self, item: Any) -> None:
        while not self.stop.is_set():
            try:
                self._submitted.put(item, timeout=PUT_S)
            except queue.Full:
                continue
            return

    # --- the task's thread

    def columns(self) -> Iterator[Any]:
        """Yield the column of each batch."""
        types = [call.returns for call in self._calls]
        while True:
            item = self._next()
            if item is _END:
                return
            if isinstance(item, BaseException):
                raise item
            self._current = item
            columns = self._read(item)
            if pandas_batches.NEEDED:
                yield pandas_batches.to_series(columns, types)
            else:
                yield _join_columns(columns)

    def _next(self) -> Any:
        with suppress(queue.Empty):
            return self._submitted.get_nowait()
        self._flush()
        return self._submitted.get()

    def _read(self, batch: list[SubmittedBatch]) -> list[pa.Array]:
        if not all(part.future.done() for part in batch):
            self._flush()
        self._count("rows", sum(len(part.future) for part in batch))
        began = time.monotonic()
        columns = [
            call.column(part) for call, part in zip(self._calls, batch, strict=True)
        ]
        self._count("wait_ms", int(1000 * (time.monotonic() - began)))
        return columns

    def _flush(self) -> None:
        """Pass finished columns to the JVM before a wait: a LIMIT may need no more."""
        if self.stream is not None:
            self.stream.flush()

    def _count(self, name: str, count: int) -> None:
        self._counts[name] = self._counts.get(name, 0) + count

    def wait_for_in_flight(self) -> None:
        """Wait for the answers in flight after a row failed the task: they are billed, and Spark ends this process."""
        until = time.monotonic() + GRACE_S
        for part in (*self._current, *self._drain()):
            part.future.wait_at_most(until - time.monotonic())

    def _drain(self) -> Iterator[SubmittedBatch]:
        with suppress(queue.Empty):
            while True:
                item = self._submitted.get_nowait()
                if isinstance(item, list):
                    yield from item


def _columns(batch: Any) -> list[pa.Array]:
    columns = list(batch) if isinstance(batch, tuple) else [batch]
    if pandas_batches.NEEDED:
        return [pandas_batches.to_arrow(column) for column in columns]
    return columns


def _join_columns(columns: list[pa.Array]) -> pa.Array:
    if len(columns) == 1:
        return columns[0]
    fields = [pa.field(f"c{i}", column.type) for i, column in enumerate(columns)]
    return pa.StructArray.from_arrays(columns, fields=fields)


def _output_stream() -> Any:
    """Return the worker's output: ``dump_stream(iterator, stream)`` is below on the stack while Spark pulls columns."""
    frame = sys._getframe(1)  # noqa: SLF001  Spark has no other way to its stream
    while frame is not None:
        if frame.f_code.co_name == "dump_stream" and "stream" in frame.f_locals:
            return frame.f_locals["stream"]
        frame = frame.f_back  # type: ignore[assignment]
    return None
