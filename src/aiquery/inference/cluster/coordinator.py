"""The coordinator beside the driver: one scheduler per endpoint, whose items are the permits that workers request.

It runs the code that schedules requests in one process, so that many processes share one limit, one pair of rates, one
cooldown and one budget. When a worker disconnects, its permits are released and its unreported attempts are charged in
full. It also merges the runs of the workers' tasks into one run per Spark execution.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import deque
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any

from aiquery.errors import StoreFailed
from aiquery.inference.cluster.connection import Connection
from aiquery.inference.cluster.endpoint_state import EndpointState, Permit, Subscription
from aiquery.inference.cluster.handshake import accept_worker
from aiquery.inference.cluster.messages import (
    BudgetSettled,
    LimitsObserved,
    PermitReleased,
    PermitRequest,
    RequestFailure,
    Subscribe,
    TurnEnded,
    TurnRequest,
)
from aiquery.inference.cluster.protocol import FROM_WORKER, Ack, FromWorker, RunReport
from aiquery.inference.scheduling.budget_guard import BudgetGuard, Cost
from aiquery.runtime.blocking_thread import BlockingThread
from aiquery.tracking.aggregate import RunAggregator

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from aiquery.config.budget import Budget
    from aiquery.tracking.attempts import Block
    from aiquery.tracking.record import RunIds, RunRecord, RunSink

log = logging.getLogger("aiquery")
HANDSHAKE_S = 5.0
"""How long a peer may take to show that it knows the token, in seconds."""

MAX_STRANGERS = 64
"""Peers that have not shown it yet. One more, and the connection to the oldest of them is closed."""

MAX_FAILURES = 10_000
"""Failed requests that a new worker receives."""


class WorkerConnection:
    """One worker process."""

    def __init__(self, connection: Connection[FromWorker]) -> None:
        """Hold no permit."""
        self.subscriptions: dict[int, Subscription] = {}
        self.held: dict[int, Permit] = {}
        self.running: set[str] = set()
        """Ids of the runs of its tasks that have not ended."""
        self.send = connection.send
        self.close = connection.close


class Coordinator:
    """Serves workers over TCP. Everything runs on one event loop."""

    def __init__(
        self, open_sink: Callable[[str], RunSink] | None = None, application: str = ""
    ) -> None:
        """``start`` begins to listen.

        open_sink     returns the run history for the settings that a task reports; None: runs are not stored
        application   the identifier of the Spark application
        """
        self._open_sink = open_sink
        self._aggregator = RunAggregator(application)
        self._sink_thread: BlockingThread | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.token = secrets.token_hex(16)
        self.port = 0
        self._endpoints: dict[str, EndpointState] = {}
        self._budget_guards: dict[str, BudgetGuard] = {}
        self._numbers = count(1)
        self._server: asyncio.Server | None = None
        self._workers: set[WorkerConnection] = set()
        self._strangers: deque[asyncio.StreamWriter] = deque()
        self._failures: deque[RequestFailure] = deque(maxlen=MAX_FAILURES)

    async def start(self, host: str = "", port: int = 0) -> None:
        """Listen; ``port`` 0 takes a free one."""
        self._server = await asyncio.start_server(self._serve, host or None, port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close all connections."""
        if self._server is not None:
            self._server.close()
        for worker in list(self._workers):
            worker.close()
        for stranger in self._strangers:
            stranger.transport.abort()

    async def open_executions(self) -> list[str]:
        """Return the executions that have not ended, of which no task runs now."""
        return self._aggregator.open_executions()

    async def end_executions(self, executions: list[str]) -> None:
        """Record that executions are over; returns when it is stored."""
        for run in self._aggregator.end(executions):
            history = self._aggregator.history_of(run.progress.run)
            await self._start(self._store(history, [run], [], {}))

    # --- connections

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if not await self._let_in(reader, writer):
            return
        connection = Connection(reader, writer, FROM_WORKER)
        worker = WorkerConnection(connection)
        self._workers.add(worker)
        try:
            for failure in self._failures:
                worker.send(failure)
            while True:
                self._receive(worker, await connection.receive())
        except (OSError, KeyError) as error:  # KeyError: an unknown channel or permit
            log.debug("a worker disconnected: %r", error)
        except Exception:
            log.exception("a message of a worker could not be handled")
        finally:
            self._workers.discard(worker)
            self._disconnect(worker)
            worker.close()

    async def _let_in(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Return True for a peer that knows the token; close the connection to any other one."""
        self._strangers.append(writer)
        if len(self._strangers) > MAX_STRANGERS:
            self._strangers.popleft().transport.abort()
        try:
            async with asyncio.timeout(HANDSHAKE_S):
                await accept_worker(reader, writer, self.token)
        except OSError as error:  # also a timeout
            log.debug("a peer was not let in: %r", error)
            writer.transport.abort()
            return False
        finally:
            with suppress(ValueError):
                self._strangers.remove(writer)
        return not writer.is_closing()

    def _disconnect(self, worker: WorkerConnection) -> None:
        for permit in worker.held.values():
            subscription = permit.subscription
            subscription.endpoint.admission.record_cancellation(permit)
            if subscription.budget_guard is not None:
                subscription.budget_guard.settle(permit.max_cost, None)
        for subscription in worker.subscriptions.values():
            subscription.endpoint.unsubscribe(subscription)
        for run in self._aggregator.mark_lost(worker.running):
            history = self._aggregator.history_of(run.progress.run)
            self._start(self._store(history, [run], [], {}))

    # --- messages

    def _receive(self, worker: WorkerConnection, messages: list[FromWorker]) -> None:
        touched: set[EndpointState] = set()
        for message in messages:
            if isinstance(message, PermitReleased):
                permit = worker.held[message.permit]
                endpoint = permit.subscription.endpoint
                endpoint.release(permit, message)
                touched.add(endpoint)
            elif isinstance(message, RequestFailure):
                self._pass_on(message, worker)
            elif isinstance(message, RunReport):
                self._store_report(worker, message)
            elif isinstance(message, Subscribe):
                self._subscribe(worker, message)
            else:
                subscription = worker.subscriptions[message.channel]
                self._update(subscription, message)
                if subscription.budget_guard is None:
                    touched.add(subscription.endpoint)
                else:  # endpoints share a budget
                    touched.update(self._endpoints.values())
        for endpoint in touched:
            endpoint.start_ready()

    def _subscribe(self, worker: WorkerConnection, message: Subscribe) -> None:
        endpoint = self._endpoints.get(message.endpoint)
        if endpoint is None:
            endpoint = EndpointState(message.limits, asyncio.get_running_loop())
            self._endpoints[message.endpoint] = endpoint
        guard = self._budget_guard(message.budget_name, message.budget)
        subscription = Subscription(worker, message.channel, endpoint, guard)
        worker.subscriptions[message.channel] = subscription

    def _budget_guard(self, name: str, budget: Budget | None) -> BudgetGuard | None:
        if budget is None or not budget.is_set:
            return None
        return self._budget_guards.setdefault(name, BudgetGuard(budget))

    def _update(
        self,
        subscription: Subscription,
        message: PermitRequest
        | LimitsObserved
        | BudgetSettled
        | TurnRequest
        | TurnEnded,
    ) -> None:
        if isinstance(message, PermitRequest):
            max_cost = Cost(message.max_tokens, message.max_usd)
            permit = Permit(next(self._numbers), subscription, message.tokens, max_cost)
            subscription.endpoint.request(permit)
        elif isinstance(message, LimitsObserved):
            subscription.endpoint.admission.observe(message.limits)
        elif isinstance(message, TurnRequest):
            subscription.endpoint.turns.request(subscription, message.features)
        elif isinstance(message, TurnEnded):
            endpoint = subscription.endpoint
            endpoint.turns.end(subscription, message, endpoint.subscriptions)
        elif subscription.budget_guard is not None:
            cost = None if message.cost is None else Cost(*message.cost)
            subscription.budget_guard.settle(Cost(*message.max_cost), cost)

    def _pass_on(self, failure: RequestFailure, sender: WorkerConnection) -> None:
        self._failures.append(failure)
        for worker in self._workers:
            if worker is not sender:
                worker.send(failure)

    # --- runs

    def _store_report(self, worker: WorkerConnection, report: RunReport) -> None:
        for record in report.runs:
            if record.progress.state == "running":
                worker.running.add(record.progress.run)
            else:
                worker.running.discard(record.progress.run)
        now = time.time()
        run_ids = {
            number: self._aggregator.run_of(task, now)
            for number, task in report.run_ids.items()
        }
        blocks = [columns.block() for columns in report.attempts]
        runs = self._aggregator.add(report.runs, report.history)
        self._start(self._store_and_acknowledge(worker, report, runs, blocks, run_ids))

    async def _store_and_acknowledge(
        self,
        worker: WorkerConnection,
        report: RunReport,
        runs: list[RunRecord],
        blocks: list[Block],
        run_ids: RunIds,
    ) -> None:
        await self._store(report.history, runs, blocks, run_ids)
        worker.send(Ack(report.number))

    async def _store(
        self, history: str, runs: list[RunRecord], blocks: list[Block], run_ids: RunIds
    ) -> None:
        """Store runs; after a failure none is stored any more, with one warning."""
        open_sink = self._open_sink
        if open_sink is None:
            return
        if self._sink_thread is None:
            self._sink_thread = BlockingThread("aiquery-runs")

        def write() -> None:
            open_sink(history).write(runs, blocks, run_ids)

        try:
            await self._sink_thread.run(write)
        except StoreFailed as error:
            log.warning("runs are not stored from now on: %s", error)
            self._open_sink = None
        except Exception:
            log.exception("runs are not stored from now on")
            self._open_sink = None

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
