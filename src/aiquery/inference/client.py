"""The client: deduplicates requests, looks them up in the cache, and hands the rest to the workers of endpoints.

An engine thread submits requests and waits on the ``BatchFuture``. Everything else runs on the loop thread and only
there, so there are no locks. Equal requests are one request in flight.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from aiquery.errors import AIQueryError, RequestFailed
from aiquery.inference.cache.cache import AnswerCache
from aiquery.inference.failure_cache import FailureCache
from aiquery.inference.in_flight import LOOKING_UP, SETTLED, STORING, InFlightRequest
from aiquery.inference.scheduling.budget_guard import BudgetGuard, budget_error
from aiquery.inference.worker_pool import WorkerPool
from aiquery.requests.request import Outcome
from aiquery.requests.stored_answer import is_answer
from aiquery.runtime.event_loop import event_loop
from aiquery.runtime.task_set import TaskSet
from aiquery.tracking.attempts import Ledger
from aiquery.tracking.writer import RunWriter

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from aiquery.config.budget import Budget
    from aiquery.config.endpoint import Endpoint
    from aiquery.errors import BudgetReached, CoordinatorLost
    from aiquery.inference.cache.base import Store
    from aiquery.inference.cluster.client import CoordinatorClient
    from aiquery.inference.endpoint_worker import EndpointWorker
    from aiquery.inference.query_context import BatchFuture, QueryContext
    from aiquery.inference.scheduling.budget_guard import Budgets
    from aiquery.interfaces import Provider
    from aiquery.requests.request import Request
    from aiquery.tracking.attempts import Attempt
    from aiquery.tracking.record import RunSink
    from aiquery.tracking.run import Progress, RunStats

log = logging.getLogger("aiquery")
STOPPED = Outcome(error=RequestFailed("the query stopped before this row was sent."))
NOT_SENT = Outcome()
POLL_S = 0.1
"""How often to look up an answer that another process requests, in seconds."""


class Client:
    """Sends every distinct request once. Shared by all connections of one configuration."""

    def __init__(
        self,
        open_provider: Callable[[Endpoint], Awaitable[Provider]],
        open_store: Callable[[], Store] | None = None,
        budget: Budget | None = None,
        coordinator: CoordinatorClient | None = None,
        open_sink: Callable[[], RunSink] | None = None,
    ) -> None:
        """Open nothing before the first request.

        open_provider   awaited on the loop thread, once per endpoint
        open_store      opens the cache's store; None: answers are cached in memory
        coordinator     decides about limits and budget, in a cluster
        open_sink       opens the run history; None: runs are not stored
        """
        self._loop = event_loop()
        self._loop.closers.append(self._close)
        self._loop.crash_listeners.append(self.on_crash)
        self._tasks = TaskSet("client", self.on_crash)
        self._futures: WeakSet[BatchFuture] = WeakSet()
        self._in_flight: dict[bytes, InFlightRequest] = {}
        self._is_starting = False
        self.coordinator = coordinator
        self.budget_guard: Budgets | None = None
        if coordinator is not None:
            self.budget_guard = coordinator.budget_guard
            coordinator.listener = self
        elif budget is not None and budget.is_set:
            self.budget_guard = BudgetGuard(budget)
        self._workers = WorkerPool(
            open_provider,
            self,
            self._tasks,
            budget_guard=self.budget_guard,
            coordinator=coordinator,
        )
        self.cache = AnswerCache(open_store, self.on_crash)
        self.ledger = Ledger()
        self.run_writer = RunWriter(
            self.ledger, open_sink, self._workers.wait_for_cancelled
        )
        self.cache_hits: Counter[str] = Counter()
        """Requests whose answer was in the cache, by endpoint."""
        self.waiting_bytes = 0
        self.failures: FailureCache = FailureCache()

    # --- from any thread

    def submit(
        self, endpoint: Endpoint, requests: Sequence[Request], future: BatchFuture
    ) -> None:
        """Submit the requests that ``future`` waits for, and return at once."""
        if requests:
            keys = [
                request.key() if request.template.cacheable else b""
                for request in requests
            ]
            self._loop.call(self._accept, endpoint, requests, keys, future)

    def find_known(self, keys: Sequence[bytes]) -> set[bytes]:
        """Return the keys that have a cached answer. Sends nothing."""
        known: set[bytes] = self._loop.start(self.cache.find_known(keys)).result()
        return known

    def begin(self, stats: RunStats) -> None:
        """Track a run: count what contexts with these ``stats`` request, and store it."""
        self._loop.call(self.run_writer.begin, stats)

    def flush_runs(self) -> Future[None]:
        """Write the figures of all runs; the returned future is done when they are written."""
        if not self._loop.loop.is_running():
            # At the end of the process the loop wrote them before it stopped.
            done: Future[None] = Future()
            done.set_result(None)
            return done
        return self._loop.start(self.run_writer.flush())

    def read_history(self, read: Callable[[Any], Any]) -> Any:
        """Return ``read(store)`` for the store of runs, up to date. Raises ``StoreFailed``."""
        return self._loop.start(self.run_writer.use(read)).result()

    @property
    def is_on_loop(self) -> bool:
        """True on the loop's thread, which must not wait."""
        return self._loop.is_here()

    def progress(self, stats: RunStats) -> Progress:
        """Return the figures of a run as they are now."""
        has_ended = stats.ended_at is not None
        if has_ended or self.is_on_loop or not self._loop.loop.is_running():
            return stats.progress(time.time())
        progress: Progress = self._loop.start(self._progress(stats)).result()
        return progress

    def cancel(self, context: QueryContext) -> None:
        """Drop the requests that only ``context`` waits for, in flight or not. Returns at once."""
        context.cancelled.set()
        self._loop.call(partial(self._drop, context, in_flight=True))

    def close(self) -> None:
        """Cancel the requests in flight and close providers and stores. Returns when all are closed.

        On the loop's own thread, where the garbage collector may call it, it returns at once.
        """
        if not self._loop.loop.is_running():
            return  # at the end of the process the loop closed everything before it stopped
        closing = self._loop.start(self._close())
        if not self._loop.is_here():
            closing.result()

    # --- requests in

    def _accept(
        self,
        endpoint: Endpoint,
        requests: Sequence[Request],
        keys: list[bytes],
        future: BatchFuture,
    ) -> None:
        if future.context.crashed_by is not None:
            future.abort(future.context.crashed_by)
            return
        self._futures.add(future)
        worker = self._workers.get(endpoint)
        unknown: list[InFlightRequest] = []
        for i, (key, request) in enumerate(zip(keys, requests, strict=True)):
            known = self._known_outcome(key, future.context)
            if known is not None:
                self._count_cache_hit(endpoint, key, future.context, known)
                future.settle(i, known)
            elif key and (same := self._in_flight.get(key)) is not None:
                same.waiters.append((future, i))
            else:
                new = InFlightRequest(request, key, future, i)
                self.waiting_bytes += new.size
                if key:
                    self._in_flight[key] = new
                if key and self.cache.durable:
                    new.move_to(LOOKING_UP)
                    unknown.append(new)
                else:
                    self._queue(worker, new)
        if unknown:
            self._tasks.spawn(self._look_up(worker, unknown))
        worker.start_ready()
        self.run_writer.soon()

    def _known_outcome(self, key: bytes, context: QueryContext) -> Outcome | None:
        if key in self.cache:
            return Outcome(self.cache[key])
        if key in context.failures:
            return context.failures[key]
        if context.stopped_by is not None:
            return context.stopped_by
        return STOPPED if context.cancelled.is_set() else None

    def _count_cache_hit(
        self, endpoint: Endpoint, key: bytes, context: QueryContext, known: Outcome
    ) -> None:
        """Count an answer in memory, unless this run requested it or read it before."""
        if known.error is None and self.cache.mark_read(key, context.reader_id):
            self.cache_hits[endpoint.name] += 1
            if context.stats is not None:
                context.stats.cache_hits += 1

    def _queue(self, worker: EndpointWorker, request: InFlightRequest) -> None:
        given_up = request.context.failures.get(worker.given_up_key)
        if worker.error is not None:
            self.on_error(request, worker.error)
        elif given_up is not None:
            self.on_outcome(request, given_up)
        elif self.budget_guard is not None and self.budget_guard.reached is not None:
            self._reject([request])
        else:
            worker.add(request)

    async def _look_up(
        self, worker: EndpointWorker, requests: list[InFlightRequest]
    ) -> None:
        """Settle the requests that are in the store; queue the others, except those that another process sends."""
        reader_id = requests[0].context.reader_id
        templates = {one.key: one.request.template for one in requests}

        def check(key: bytes, value: object) -> bool:
            return is_answer(value, templates[key])

        while requests:
            keys = [one.key for one in requests]
            found = await self.cache.find(keys, reader_id, check)
            elsewhere = set(found.elsewhere)
            for request in requests:
                request.claimed = (
                    request.key not in found.values and request.key not in elsewhere
                )
                context = request.context
                if request.key in found.values:
                    self.cache_hits[worker.endpoint.name] += 1
                    request.count_cache_hit(found.made_at[request.key])
                    self.on_outcome(request, Outcome(found.values[request.key]))
                elif request.is_unwanted() or context.stopped_by is not None:
                    self.on_outcome(request, context.stopped_by or STOPPED)
                elif request.claimed:
                    self._queue(worker, request)
            worker.start_ready()
            requests = [
                one for one in requests if one.key in elsewhere and not one.is_done
            ]
            if requests:
                await asyncio.sleep(POLL_S)

    # --- callbacks of the workers: see Completion

    def on_value(self, request: InFlightRequest, value: object) -> None:
        """Store an answer; its waiters get it once it is safe."""
        outcome = Outcome(value)
        if not request.key:
            self.on_outcome(request, outcome)
            return
        request.move_to(STORING)
        request.claimed = False
        self.cache.store(
            request.key,
            request.request.template.endpoint,
            value,
            request.context.reader_id,
            then=partial(self.on_outcome, request, outcome),
            lost=request.count_not_stored,
        )

    def on_outcome(self, request: InFlightRequest, outcome: Outcome) -> None:
        """Settle a request."""
        self._end(request)
        has_failed = outcome.error is not None and outcome is not STOPPED
        if outcome.error is not None and has_failed:
            request.count_failure(outcome, outcome.error)
        for future, i in request.waiters:
            if has_failed and not future.context.cancelled.is_set():
                self._remember_failure(request, future, outcome)
            future.settle(i, outcome)

    def on_error(self, request: InFlightRequest, error: AIQueryError) -> None:
        """End the statements that wait for a request."""
        self._end(request)
        for future, _ in request.waiters:
            future.abort(error)

    def on_abandoned(self, request: InFlightRequest) -> None:
        """Let no further statement join a request that is being cancelled."""
        if self._in_flight.get(request.key) is request:
            del self._in_flight[request.key]

    def on_given_up(self, context: QueryContext, key: bytes, outcome: Outcome) -> None:
        """Remember that a statement's endpoint was given up."""
        self._remember(context, key, outcome)

    def _remember(self, context: QueryContext, key: bytes, outcome: Outcome) -> None:
        """Remember a failure of a statement, in every process that runs it."""
        is_new = key not in context.failures
        context.failures[key] = outcome
        if not is_new or self.coordinator is None:
            return
        if context.statement and outcome.error:
            self.coordinator.report_failure(context.statement, key, outcome.error)

    def on_attempt(self, attempt: Attempt) -> None:
        """Record an attempt in the ledger."""
        self.ledger.record(attempt)
        self.run_writer.soon()

    def on_crash(self, error: BaseException) -> None:
        """End every statement after an unexpected error on the loop, which is logged: requests could wait for ever."""
        problem = AIQueryError(
            f"an unexpected error ended the statement: {error!r}. Answers so far are in the cache. Please report it, "
            "with the lines that are in the log."
        )
        for future in list(self._futures):
            if not future.done():
                future.context.crashed_by = problem
                future.abort(problem)
        self._in_flight.clear()
        self.waiting_bytes = 0
        for worker in self._workers:
            worker.discard(problem)

    def on_budget_settled(self) -> None:
        """Let the workers look again: the budget that one attempt did not spend, another may."""
        if not self._is_starting:
            self._is_starting = True
            self._loop.loop.call_soon(self._start_all_ready)

    def on_budget_exhausted(self) -> None:
        """Reject the requests that wait, soon."""
        self._loop.loop.call_soon(self._reject_waiting)

    # --- callbacks of the coordinator's client

    def on_coordinator_lost(self, error: CoordinatorLost) -> None:
        """Fail the requests that wait: without the coordinator no further permit is granted."""
        for worker in self._workers:
            worker.fail(error)

    def on_coordinator_budget_exhausted(self) -> None:
        """Reject the requests that wait: the budget of the cluster is reached."""
        self._reject_waiting()

    # --- how requests end

    def _remember_failure(
        self, request: InFlightRequest, future: BatchFuture, outcome: Outcome
    ) -> None:
        context = future.context
        if request.key:
            self._remember(context, request.key, outcome)
        if future.strict and context.stop_on_error and context.stopped_by is None:
            context.stopped_by = outcome
            drop = partial(self._drop, context, in_flight=False)
            self._loop.loop.call_soon(drop)

    def _end(self, request: InFlightRequest) -> None:
        request.move_to(SETTLED)
        self.waiting_bytes = max(self.waiting_bytes - request.size, 0)
        if self._in_flight.get(request.key) is request:
            del self._in_flight[request.key]
        if request.claimed:
            request.claimed = False
            self.cache.release(request.key)

    def _reject_waiting(self) -> None:
        for worker in self._workers:
            self._reject(worker.drop(lambda _: True))

    def _reject(self, requests: list[InFlightRequest]) -> None:
        """End requests that the budget does not allow; all are counted before the first error reports the number."""
        for request in requests:
            self._end(request)
            for future, _ in request.waiters:
                key = request.key or id(request).to_bytes(8, "big")
                future.context.over_budget.add(key)
        for future, i in (waiter for request in requests for waiter in request.waiters):
            if future.null_on_budget:
                future.settle(i, NOT_SENT)
            else:
                future.abort(self._budget_error(len(future.context.over_budget)))

    def _budget_error(self, left: int) -> BudgetReached:
        if self.budget_guard is None:
            raise AssertionError("no budget was set")
        return budget_error(self.budget_guard, left)

    def _drop(self, context: QueryContext, *, in_flight: bool) -> None:
        """Drop the requests that only ``context`` waits for; with ``in_flight`` also those that were sent."""

        def is_unwanted(request: InFlightRequest) -> bool:
            return all(future.context is context for future, _ in request.waiters)

        for worker in self._workers:
            for request in worker.drop(is_unwanted):
                self.on_outcome(request, context.stopped_by or STOPPED)
            if in_flight:
                worker.abandon(is_unwanted)
            self._loop.loop.call_soon(worker.start_ready)

    def _start_all_ready(self) -> None:
        self._is_starting = False
        self._workers.start_ready()

    async def _progress(self, stats: RunStats) -> Progress:
        """Add the requests in flight at the endpoints of this run, whichever run sent them."""
        now = time.monotonic()
        workers = self._workers.of_run(stats)
        slots = [worker.slots(now) for worker in workers]
        known_slots = [count for count in slots if count is not None]
        limit = sum(known_slots) if len(known_slots) == len(slots) else None
        outages = filter(None, (worker.describe_trouble(now) for worker in workers))
        in_flight = sum(len(worker.in_flight) for worker in workers)
        return stats.progress(time.time(), in_flight, limit, "; ".join(outages))

    async def _close(self) -> None:
        if self._close in self._loop.closers:
            self._loop.closers.remove(self._close)
            self._loop.crash_listeners.remove(self.on_crash)
        await self._tasks.close()
        await self._workers.close()
        if self.coordinator is not None:
            await self.coordinator.close()
        await self.cache.close()
        await self.run_writer.close()
