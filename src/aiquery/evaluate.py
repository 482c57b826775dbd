"""Evaluate a bound call over batches of columns, as a stream.

This is the one module that joins functions (the questions), the client (reliable requests) and providers (wire
formats). An engine passes Arrow columns in and gets one column back.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiquery.inference.query_context import BatchFuture, QueryContext
from aiquery.requests.request import Outcome
from aiquery.requests.sql_types import to_column

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import pyarrow as pa

    from aiquery.errors import AIQueryError
    from aiquery.inference.client import Client
    from aiquery.interfaces import BoundCall, ColumnValues, Rounds
    from aiquery.requests.request import Request
    from aiquery.requests.sql_types import SQLType
    from aiquery.tracking.run import RowCounter


@dataclass(kw_only=True, frozen=True, slots=True)
class SubmittedBatch:
    """One batch in flight: the rounds of its call, and the requests of the current round."""

    call: BoundCall
    client: Client
    rounds: Rounds
    future: BatchFuture

    def column(
        self,
        build: Callable[[Any, SQLType], pa.Array] = to_column,
        *,
        failed: list[AIQueryError] | None = None,
    ) -> pa.Array:
        """Wait for the batch and return one value per row, in row order.

        build    makes an Arrow array of values and their type
        failed   takes the errors of rows that would fail the statement, which are then NULL
        """
        result = self._finish_rounds(failed if self.call.strict else None)
        values = result.values
        index = result.index
        if index.null_count and self.call.null_value is not None:
            index = index.fill_null(len(values))
            values = [*values, self.call.null_value]
        column: pa.Array = build(values, self.call.returns).take(index)
        return column

    def _finish_rounds(self, failed: list[AIQueryError] | None) -> ColumnValues:
        outcomes = self.future.wait()
        while True:
            if failed is not None:
                failed += [one.error for one in outcomes if one.error is not None]
                outcomes = [Outcome() if one.error else one for one in outcomes]
            try:
                requests = self.rounds.send(outcomes)
            except StopIteration as end:
                result: ColumnValues = end.value
                return result
            future = _make_future(self.call, requests, self.client, self.future.context)
            self.client.submit(self.call.endpoint, requests, future)
            outcomes = future.wait()


def submit_batch(
    call: BoundCall,
    columns: Sequence[pa.Array],
    client: Client,
    context: QueryContext,
    *,
    keep: bool = True,
    row_counter: RowCounter | None = None,
) -> SubmittedBatch:
    """Submit the first round of one batch and return at once.

    keep         False: only send the requests, the column is not read
    row_counter  counts the rows of the batch
    """
    rounds = call.rounds(columns)
    requests = next(rounds)
    rows = len(columns[0])
    if row_counter is not None:
        row_counter.add(rows, done=not requests)
    future = _make_future(
        call, requests, client, context, keep=keep, row_counter=row_counter, rows=rows
    )
    client.submit(call.endpoint, requests, future)
    return SubmittedBatch(call=call, client=client, rounds=rounds, future=future)


def _make_future(
    call: BoundCall,
    requests: list[Request],
    client: Client,
    context: QueryContext,
    *,
    keep: bool = True,
    row_counter: RowCounter | None = None,
    rows: int = 0,
) -> BatchFuture:
    on_budget = call.on_budget
    if on_budget is None and client.budget_guard is not None:
        on_budget = client.budget_guard.budget.on_budget
    return BatchFuture(
        len(requests),
        context,
        keep=keep,
        # DuckDB may evaluate a single row while it plans, and go on without it.
        strict=call.strict and rows != 1,
        null_on_budget=on_budget == "null",
        row_counter=row_counter,
        rows=rows,
    )


def evaluate_stream(
    call: BoundCall,
    batches: Iterable[Sequence[pa.Array]],
    client: Client,
    *,
    ahead: int = 4,
    context: QueryContext | None = None,
) -> Iterator[pa.Array]:
    """Yield one column per batch, in order, while the next ``ahead`` batches are in flight.

    call      a function bound to its constants
    batches   the Arrow columns of each batch, in the order of the function's column parameters
    ahead     batches in flight beyond the one being read. More keep the endpoint busy while single replies are slow (16
              batches with 0.5 % slow calls: 7.97 s one by one, 3.34 s with four ahead) and hold more memory
    context   the requests that are cancelled together; default: a context of its own

    NULL rows stay NULL. A failed row raises its error, or is part of the value where the call says so. Closing the
    iterator early cancels the requests in flight.
    """
    context = context or QueryContext()
    row_counter = None
    if context.stats is not None:
        row_counter = context.stats.row_counter(call.template.function)
    in_flight: deque[SubmittedBatch] = deque()
    try:
        for columns in batches:
            batch = submit_batch(
                call, columns, client, context, row_counter=row_counter
            )
            in_flight.append(batch)
            if len(in_flight) > ahead:
                yield in_flight.popleft().column()
        if row_counter is not None:
            row_counter.known = True
        while in_flight:
            yield in_flight.popleft().column()
    finally:
        if any(not batch.future.done() for batch in in_flight):
            client.cancel(context)
