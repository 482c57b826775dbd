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
        self.branches: dict[int, Subscription] = {}
        self.held: dict[int, Permit] = {}
        self.open: set[str] = set()  # the accounts of its tasks that have not ended
        self.send, self.hang_up = connection.send, connection.close


class Coordinator:
    """Serves workers over TCP; all of it happens on one loop."""

    def __init__(self, sink: Callable[[str], RunSink] | None = None, application: str = "") -> None:
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
        self._purses: dict[str, BudgetGuard] = {}
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
            await self._start(self._keep(self._gathering.place_of(run.progress.run), [run], [], {}))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
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
                ticket = worker.held[message.permit]
                ticket.branch.place.back(ticket, message)
                touched.add(ticket.branch.place)
            elif isinstance(message, RequestFailure):
                self._tell(message, worker)
            elif isinstance(message, RunReport):
                self._told(worker, message)
            elif isinstance(message, Subscribe):
                purse = self._purse(message.run, message.budget)
                worker.branches[message.lane] = Subscription(worker, message.lane, self._place(message), purse)
            elif not isinstance(message, Hello):
                branch = worker.branches[message.lane]
                self._hear(branch, message)
                touched.update([branch.place] if branch.purse is None else self._places.values())
        for place in touched:
            place.kick()

    def _told(self, worker: WorkerConnection, told: RunReport) -> None:
        for progress in (kept.progress for kept in told.runs):
            (worker.open.add if progress.state == "running" else worker.open.discard)(progress.run)
        names = {number: self._gathering.run_of(name, time.time()) for number, name in told.accounts.items()}
        blocks = [columns.block() for columns in told.attempts]
        runs = self._gathering.take(told.runs, told.place)
        self._start(self._keep(told.place, runs, blocks, names, lambda: worker.send(Ack(told.number))))

    async def _keep(
        self,
        place: str,
        runs: list[RunRecord],
        blocks: list[Block],
        names: dict[int, str],
        heard: Callable[[], None] = lambda: None,
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
        heard()

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

    def _hear(self, branch: Subscription, message: Any) -> None:  # noqa: ANN401
        if isinstance(message, PermitRequest):
            most = Cost(message.most_tokens, message.most_usd)
            branch.place.ask(Permit(next(self._numbers), branch, message.tokens, most))
        elif isinstance(message, LimitsObserved):
            branch.place.admission.learn(RateLimits(*message.limits))
        elif isinstance(message, BudgetSettled) and branch.purse is not None:
            branch.purse.settle(Cost(*message.most), None if message.fact is None else Cost(*message.fact))

    def _place(self, join: Subscribe) -> EndpointState:
        place = self._places.get(join.endpoint)
        if place is None:
            place = self._places[join.endpoint] = EndpointState(join.terms, asyncio.get_running_loop())
        return place

    def _purse(self, run: str, budget: Budget | None) -> BudgetGuard | None:
        if budget is None or not budget.is_set:
            return None
        return self._purses.setdefault(run, BudgetGuard(budget))

    def _gone(self, worker: WorkerConnection) -> None:
        for ticket in worker.held.values():
            ticket.branch.place.admission.ended(ticket)
            if ticket.branch.purse is not None:
                ticket.branch.purse.settle(ticket.most, None)
        for branch in worker.branches.values():
            branch.place.leave(branch)
        if worker.open:
            for run in self._gathering.lose(worker.open):
                self._start(self._keep(self._gathering.place_of(run.progress.run), [run], [], {}))
