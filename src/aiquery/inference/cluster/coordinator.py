"""The coordinator: beside the driver, one schedule per endpoint whose entries are the permits that workers ask for.

It is the same code that schedules requests in one process, so that many processes have one limit, one pair of rates,
one gate and one budget. When a worker's connection ends, what it held is free, and what it did not answer for is paid.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import secrets
import time
from collections import deque
from itertools import count
from typing import TYPE_CHECKING, Any

from aiquery.errors import StoreFailed
from aiquery.inference.cluster.connection import Connection
from aiquery.inference.cluster.endpoint_state import EndpointState, Permit, Subscription
from aiquery.inference.cluster.messages import (
    BudgetSettled,
    Hello,
    LimitsObserved,
    PermitReleased,
    PermitRequest,
    RequestFailure,
    Subscribe,
)
from aiquery.inference.cluster.protocol import FROM_WORKER, Ack, FromWorker, RunReport
from aiquery.inference.scheduling.budget_guard import BudgetGuard, Cost
from aiquery.requests.request import RateLimits
from aiquery.runtime.blocking_thread import BlockingThread
from aiquery.tracking.aggregate import RunAggregator

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from aiquery.config.budget import Budget
    from aiquery.tracking.attempts import Block
    from aiquery.tracking.record import RunRecord, RunSink

log = logging.getLogger("aiquery")
HELLO_S = 10.0
FAILURES = 10_000
"""Failed requests that a new worker is told of."""


class WorkerConnection:
    """One worker process."""

    def __init__(self, connection: Connection[FromWorker]) -> None:
        """Hold nothing."""
        self.subscriptions: dict[int, Subscription] = {}
        self.held: dict[int, Permit] = {}
        self.open: set[str] = set()  # the accounts of its tasks that have not ended
        self.send, self.hang_up = connection.send, connection.close


class Coordinator:
    """Serves workers over TCP; all of it happens on one loop."""

    def __init__(
        self, sink: Callable[[str], RunSink] | None = None, application: str = ""
    ) -> None:
        """Serve nobody before ``start``.

        sink   returns where is kept what tasks of the Spark application ``application`` did, by the place that they
               name; None: nowhere
        """
        self._sink = sink
        self._gathering = RunAggregator(application)
        self._writer: BlockingThread | None = None
        self._writing: set[asyncio.Task[None]] = set()
        self.token = secrets.token_hex(16)
        self.port = 0
        self._places: dict[str, EndpointState] = {}
        self._budget_guards: dict[str, BudgetGuard] = {}
        self._numbers = count(1)
        self._server: asyncio.Server | None = None
        self._workers: set[WorkerConnection] = set()
        self._failures: deque[RequestFailure] = deque(maxlen=FAILURES)

    async def start(self, host: str = "", port: int = 0) -> None:
        """Listen; ``port`` 0 takes a free one."""
        self._server = await asyncio.start_server(self._serve, host or None, port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Hang up on everybody."""
        if self._server is not None:
            self._server.close()
        for worker in list(self._workers):
            worker.hang_up()

    async def unended(self) -> list[str]:
        """Return the executions of which no task runs now, and which nobody ended."""
        return self._gathering.unended()

    async def end(self, executions: list[str]) -> None:
        """Keep that these executions are over; returns when it is written."""
        for run in self._gathering.end(executions):
            await self._start(
                self._keep(self._gathering.place_of(run.progress.run), [run], [], {})
            )

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        connection = Connection(reader, writer, FROM_WORKER)
        worker = WorkerConnection(connection)
        self._workers.add(worker)
        try:
            async with asyncio.timeout(HELLO_S):
                messages = await connection.receive()
            if not self._knows(messages):
                return
            for failed in self._failures:
                worker.send(failed)
            self._take(worker, messages)
            while True:
                self._take(worker, await connection.receive())
        except (OSError, KeyError) as error:  # a lane or permit that it has not
            log.debug("a worker left: %r", error)
        finally:
            self._workers.discard(worker)
            self._gone(worker)
            worker.hang_up()

    def _knows(self, messages: list[FromWorker]) -> bool:
        hello = messages[0] if messages else None
        return isinstance(hello, Hello) and hmac.compare_digest(hello.token, self.token)

    def _take(self, worker: WorkerConnection, messages: list[FromWorker]) -> None:
        touched = set()
        for message in messages:
            if isinstance(message, PermitReleased):
                permit = worker.held[message.permit]
                permit.subscription.place.back(permit, message)
                touched.add(permit.subscription.place)
            elif isinstance(message, RequestFailure):
                self._tell(message, worker)
            elif isinstance(message, RunReport):
                self._on_report(worker, message)
            elif isinstance(message, Subscribe):
                budget_guard = self._budget_guard(message.run, message.budget)
                worker.subscriptions[message.channel] = Subscription(
                    worker, message.channel, self._place(message), budget_guard
                )
            elif not isinstance(message, Hello):
                subscription = worker.subscriptions[message.channel]
                self._hear(subscription, message)
                touched.update(
                    [subscription.place]
                    if subscription.budget_guard is None
                    else self._places.values()
                )
        for place in touched:
            place.start_ready()

    def _on_report(self, worker: WorkerConnection, report: RunReport) -> None:
        for progress in (kept.progress for kept in report.runs):
            (worker.open.add if progress.state == "running" else worker.open.discard)(
                progress.run
            )
        names = {
            number: self._gathering.run_of(name, time.time())
            for number, name in report.all_stats.items()
        }
        blocks = [columns.block() for columns in report.attempts]
        runs = self._gathering.take(report.runs, report.place)
        self._start(
            self._keep(
                report.place,
                runs,
                blocks,
                names,
                lambda: worker.send(Ack(report.number)),
            )
        )

    async def _keep(
        self,
        place: str,
        runs: list[RunRecord],
        blocks: list[Block],
        names: dict[int, str],
        acknowledged: Callable[[], None] = lambda: None,
    ) -> None:
        """Write down what tasks did, and say so; what cannot be written is not, with one warning."""
        if self._sink is not None:
            if self._writer is None:
                self._writer = BlockingThread("aiquery-runs")
            sink = self._sink
            try:
                await self._writer.run(lambda: sink(place).write(runs, blocks, names))
            except StoreFailed as error:
                log.warning("runs are not kept from now on: %s", error)
                self._sink = None
        acknowledged()

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)
        return task

    def _tell(self, failed: RequestFailure, teller: WorkerConnection) -> None:
        self._failures.append(failed)
        for worker in self._workers:
            if worker is not teller:
                worker.send(failed)

    def _hear(self, subscription: Subscription, message: Any) -> None:
        if isinstance(message, PermitRequest):
            most = Cost(message.most_tokens, message.most_usd)
            subscription.place.ask(
                Permit(next(self._numbers), subscription, message.tokens, most)
            )
        elif isinstance(message, LimitsObserved):
            subscription.place.admission.observe(RateLimits(*message.limits))
        elif (
            isinstance(message, BudgetSettled) and subscription.budget_guard is not None
        ):
            subscription.budget_guard.settle(
                Cost(*message.most),
                None if message.fact is None else Cost(*message.fact),
            )

    def _place(self, join: Subscribe) -> EndpointState:
        place = self._places.get(join.endpoint)
        if place is None:
            place = self._places[join.endpoint] = EndpointState(
                join.terms, asyncio.get_running_loop()
            )
        return place

    def _budget_guard(self, run: str, budget: Budget | None) -> BudgetGuard | None:
        if budget is None or not budget.is_set:
            return None
        return self._budget_guards.setdefault(run, BudgetGuard(budget))

    def _gone(self, worker: WorkerConnection) -> None:
        for permit in worker.held.values():
            permit.subscription.place.admission.record_cancellation(permit)
            if permit.subscription.budget_guard is not None:
                permit.subscription.budget_guard.settle(permit.most, None)
        for subscription in worker.subscriptions.values():
            subscription.place.leave(subscription)
        if worker.open:
            for run in self._gathering.lose(worker.open):
                self._start(
                    self._keep(
                        self._gathering.place_of(run.progress.run), [run], [], {}
                    )
                )
