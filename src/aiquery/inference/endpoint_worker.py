"""The worker of one endpoint: its queue, its limits, and every attempt from start to end.

It reports results through ``Completion`` and does not know the client. Everything runs on the loop thread.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any

from aiquery.errors import AIQueryError, ReplyParseError, RequestFailed, RowError
from aiquery.inference.adaptive_sender import AdaptiveSender, adapt_requests
from aiquery.inference.attempt_record import AttemptResult, record_attempt
from aiquery.inference.batching import Batch, Batcher
from aiquery.inference.cluster.leases import Reserve
from aiquery.inference.feedback import AttemptFeedback
from aiquery.inference.in_flight import QUEUED, RESTING, SENT, SETTLED, contexts_of
from aiquery.inference.reservations import NO_COST, Reservations
from aiquery.inference.scheduling.admission import Admission
from aiquery.inference.scheduling.concurrency import FixedLimit, make_limit
from aiquery.inference.scheduling.hedging import Hedging
from aiquery.inference.scheduling.outage import OutageMonitor
from aiquery.inference.scheduling.rate_limit import RateLimiter
from aiquery.inference.scheduling.retry import Retry
from aiquery.inference.scheduling.scheduler import Scheduler
from aiquery.requests.chat import repair
from aiquery.requests.reasoning import read_answer
from aiquery.requests.request import Outcome
from aiquery.runtime.task_set import TaskSet
from aiquery.runtime.timer import Timer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from aiquery.config.endpoint import Endpoint
    from aiquery.inference.cluster.client import CoordinatorClient
    from aiquery.inference.completion import Completion
    from aiquery.inference.in_flight import Attempted, InFlightRequest
    from aiquery.inference.scheduling.admission import Admits
    from aiquery.inference.scheduling.budget_guard import Budgets
    from aiquery.interfaces import Provider
    from aiquery.requests.request import Request, Response

log = logging.getLogger("aiquery")
CANCELLED = Outcome(error=RequestFailed("the request was cancelled."))


class EndpointWorker:
    """Sends the requests that are added to it, as many at a time as the endpoint can take."""

    def __init__(
        self,
        endpoint: Endpoint,
        completion: Completion,
        *,
        budget_guard: Budgets | None = None,
        coordinator: CoordinatorClient | None = None,
    ) -> None:
        """Send nothing before ``open``.

        completion    receives the results
        budget_guard  reserves the cost of each attempt
        coordinator   decides about the endpoint's limits, in a cluster
        """
        self.endpoint = endpoint
        self.in_flight: set[Attempted] = set()
        self.tasks = TaskSet(f"endpoint {endpoint.name}", completion.on_crash)
        self.error: AIQueryError | None = None
        """Why the worker cannot be used any more."""
        self.given_up_key = b"endpoint " + endpoint.name.encode()
        """The key in ``QueryContext.failures`` under which a statement remembers that the endpoint was given up."""
        self._completion = completion
        self._coordinator = coordinator
        self._retry = Retry(
            max_attempts=endpoint.max_attempts, outage_s=endpoint.timeout.outage_s
        )
        self._rates = RateLimiter(
            endpoint.requests_per_minute, endpoint.tokens_per_minute
        )
        self._reservations = Reservations(
            endpoint, budget_guard, self._rates.output, completion
        )
        self._scheduler: Scheduler[Attempted] = Scheduler(
            Admission(FixedLimit(1)), allows=self._reservations.reserve
        )
        is_batched = endpoint.task in {"embedding", "rerank"}
        self._batcher = Batcher() if is_batched else None
        self._loop = asyncio.get_running_loop()
        self._provider: Provider | None = None
        self._timer = Timer(self._loop, self.start_ready)
        self._seen_limits: object = None
        self._sender: AdaptiveSender | None = None
        self._complete: Callable[[Request], Awaitable[Response]]
        self._outage = OutageMonitor(endpoint.name, self._retry)
        self._feedback = AttemptFeedback(
            endpoint=endpoint,
            scheduler=self._scheduler,
            rates=self._rates,
            retry=self._retry,
            outage=self._outage,
            reservations=self._reservations,
        )

    def open(self, provider: Provider) -> None:
        """Start to send requests through ``provider``."""
        self._provider = provider
        self._sender = adapt_requests(self.endpoint.name, provider)
        self._complete = (self._sender or provider).complete
        self._scheduler.admission = self._make_admission(provider)
        if self._batcher is not None:
            self._batcher.max_size = (
                self.endpoint.max_batch_size or provider.max_batch_size
            )
        if self.endpoint.hedge and provider.remote:
            self._scheduler.hedge = Hedging()
        self.start_ready()

    def _make_admission(self, provider: Provider) -> Admits:
        coordinator = self._coordinator
        has_budget = coordinator is not None and coordinator.budget_guard is not None
        if coordinator is not None and (provider.remote or has_budget):
            max_cost = self._reservations.max_cost if has_budget else None
            reserve = Reserve(self._reservations.tokens, max_cost)
            leased = coordinator.lease(
                self.endpoint, provider, reserve, self.start_ready
            )
            if self._sender is not None:
                model = self.endpoint.model
                coordinator.share_capabilities(leased, self._sender, model)
            return leased
        configured = self.endpoint.max_concurrency
        if configured or provider.remote:
            limit = make_limit(configured, provider.slots)
        else:
            limit = FixedLimit(provider.slots)
        return Admission(limit, self._rates, cost=self._tokens)

    def _tokens(self, item: Attempted) -> float:
        return self._reservations.tokens(item) if self._rates.counts_tokens else 0.0

    async def close(self) -> None:
        """Cancel the attempts in flight and close the provider."""
        self._timer.cancel()
        await self.tasks.close()
        if self._provider is not None:
            await self._provider.close()

    # --- figures

    def slots(self, now: float) -> int | None:
        """Return the concurrency limit at ``now``; None if a coordinator decides about it."""
        admission = self._scheduler.admission
        return admission.limit.slots(now) if isinstance(admission, Admission) else None

    def describe_trouble(self, now: float) -> str:
        """Describe what prevents answers at ``now``, or what requests are sent without; empty if it is nothing."""
        outage = self._outage.describe(
            self._scheduler.admission, now, self._has_only_suspects
        )
        return outage or (self._sender.describe() if self._sender is not None else "")

    # --- the queue

    def add(self, request: InFlightRequest) -> None:
        """Queue a request; ``start_ready`` starts it."""
        request.move_to(QUEUED)
        request.queued_at = time.monotonic()
        if self._batcher is not None and not request.request.template.counts:
            self._batcher.add(request)
        else:
            self._scheduler.add(request)

    def drop(
        self, unwanted: Callable[[InFlightRequest], bool]
    ) -> list[InFlightRequest]:
        """Remove and return the waiting requests for which ``unwanted`` is true; attempts in flight go on."""
        dropped = [] if self._batcher is None else self._batcher.drop(unwanted)
        for item in self._scheduler.drop(
            lambda item: any(map(unwanted, item.requests))
        ):
            for request in item.requests:
                if unwanted(request):
                    dropped.append(request)
                else:
                    self.add(request)
        return dropped

    def abandon(self, unwanted: Callable[[InFlightRequest], bool]) -> None:
        """Cancel the attempts whose requests are all unwanted."""
        for item in list(self.in_flight):
            if all(map(unwanted, item.requests)):
                for request in item.requests:
                    self._completion.on_abandoned(request)
                for task in item.tasks:
                    task.cancel()

    def fail(self, error: AIQueryError) -> None:
        """End the requests that wait with an error that is not a row's."""
        self.error = error
        for request in self.drop(lambda _: True):
            if not request.is_done:
                self._completion.on_error(request, error)

    def discard(self, error: AIQueryError) -> None:
        """Cancel everything after an unexpected error, and take no further request."""
        self.error = error
        self._timer.cancel()
        for task in self.tasks:
            task.cancel()

    def start_ready(self) -> None:
        """Start the requests that may start now, and set a timer for the next time that some may."""
        if self._provider is None:
            return
        if self._outage.is_holding and self._scheduler.in_flight:
            return
        self._outage.is_holding = False
        now = time.monotonic()
        gives_up_at = self._gives_up_at()
        if gives_up_at is not None and now >= gives_up_at:
            error = self._outage.give_up_error(self._scheduler.admission, now)
            self._give_up(error)
        while (item := self._take(now) or self._scheduler.take_hedge(now)) is not None:
            self.tasks.spawn(self._work(self._provider, item))
        self._scheduler.plan(now)
        times = (self._scheduler.wake_at(now), self._gives_up_at())
        self._timer.set(now, min(filter(None, times), default=None))

    def _take(self, now: float) -> Attempted | None:
        """Return the item that starts now. A batch is built no sooner, so that it has as many texts as possible."""
        if self._batcher is not None and self._scheduler.is_idle():
            batch = self._batcher.take()
            if batch is not None:
                batch.move_to(QUEUED)
                self._scheduler.add(batch)
        return self._scheduler.take(now)

    # --- attempts

    async def _work(self, provider: Provider, first: Attempted) -> None:
        """Attempt one item after another for as long as one may start: one task per slot."""
        item: Attempted | None = first
        task: Any = asyncio.current_task()
        while item is not None:
            item.tasks.append(task)
            self.in_flight.add(item)
            try:
                await self._attempt(provider, item)
            except asyncio.CancelledError:
                self._loop.call_soon(self.start_ready)
                raise
            finally:
                item.tasks.remove(task)
                if not item.tasks:
                    self.in_flight.discard(item)
            item = self._take_next()
        self.start_ready()

    def _take_next(self) -> Attempted | None:
        if self._outage.is_holding:
            return None
        now = time.monotonic()
        item = self._take(now)
        if item is not None and self._scheduler.admission.may_have_room(now):
            # One answer may make room for several requests.
            self._loop.call_soon(self.start_ready)
        return item

    async def _attempt(self, provider: Provider, item: Attempted) -> None:
        if item.is_done:
            # It was answered before its hedge could start.
            self._scheduler.record_cancellation(item)
            self._reservations.settle(item, NO_COST)
            return
        if not item.attempts and not item.sent_again:
            if self._coordinator is not None and self._failed_elsewhere(item):
                return
            item.seen = self._scheduler.admission.answer_count
            for request in item.requests:
                request.count_sent()
        item.move_to(SENT)
        item.attempts += 1
        result = AttemptResult(started=time.monotonic())
        try:
            counts = item.request.template.counts
            send = provider.count_tokens if counts else self._complete
            response = await send(item.request)
            result.response = response.with_possible_usage(item.request)
            result.response = read_answer(result.response)
            result.values = item.read(result.response)
        except RowError as error:
            result.error = error
        except asyncio.CancelledError:
            result.cancelled = True
            self._end_cancelled(item, result)
            raise
        except Exception as problem:
            log.exception("endpoint %s: unexpected error", self.endpoint.name)
            result.error = RequestFailed(
                f"unexpected {type(problem).__name__}: {problem}"
            )
        limits = provider.rate_limits
        if limits is not None and limits is not self._seen_limits:
            self._seen_limits = limits
            self._scheduler.admission.observe(limits)
        self._end_attempt(item, result)

    def _failed_elsewhere(self, item: Attempted) -> bool:
        """Settle a request that failed in another process of the same statement, and return True."""
        failure = None
        if len(item.requests) == 1:
            failure = item.requests[0].failure_elsewhere()
        if failure is None:
            return False
        self._scheduler.record_cancellation(item)
        self._reservations.settle(item, NO_COST)
        self._settle(item, failure)
        return True

    # --- how attempts end

    def _end_cancelled(self, item: Attempted, result: AttemptResult) -> None:
        self._record(item, result)
        self._scheduler.record_cancellation(item)
        self._reservations.settle(item, None)
        if not item.is_done and len(item.tasks) == 1:
            self._settle(item, CANCELLED)

    def _end_attempt(self, item: Attempted, result: AttemptResult) -> None:
        """Learn from an attempt that ended, record it, and decide what it means for its requests."""
        if result.response is not None:
            self._feedback.record_reply(item, result.started, result.response)
        elif result.error is not None:
            self._feedback.record_failure(item, result, result.error)
        self._record(item, result)
        if item.is_done:
            return  # a hedge was faster
        if result.error is None:
            self._win(item, result.values)
        elif len(item.tasks) == 1:
            self._lose(item, result, result.error)

    def _record(self, item: Attempted, result: AttemptResult) -> None:
        self._completion.on_attempt(record_attempt(result, item, self.endpoint))

    def _win(self, item: Attempted, values: Sequence[object]) -> None:
        """Hand the values up and cancel the other attempt."""
        if len(item.tasks) > 1:
            current = asyncio.current_task()
            for task in item.tasks:
                if task is not current:
                    task.cancel()
        if isinstance(item, Batch):
            item.move_to(SETTLED)
        for request, value in zip(item.requests, values, strict=True):
            if not request.is_done:
                self._completion.on_value(request, value)

    def _lose(self, item: Attempted, result: AttemptResult, error: RowError) -> None:
        """Try again, repair the reply, split the batch, or fail."""
        response = result.response
        if result.wait_s is not None and self.error is None:
            item.move_to(RESTING)
            item.queued_at = time.monotonic()
            self._scheduler.rest(item, item.queued_at + result.wait_s)
            self._loop.call_soon(self.start_ready)
        elif (
            response is not None
            and isinstance(error, ReplyParseError)
            and item.start_repair(error)
        ):
            self._repair(item, response.text, error)
        else:
            self._fail(item, error, is_fatal=result.is_fatal)

    def _repair(self, item: Attempted, reply: str, error: ReplyParseError) -> None:
        item.request = repair(item.request, reply, error.message)
        item.move_to(QUEUED)
        item.queued_at = time.monotonic()
        self._scheduler.add(item)

    def _fail(self, item: Attempted, error: RowError, *, is_fatal: bool) -> None:
        if isinstance(item, Batch) and (smaller := item.split(error)):
            self._scheduler.forget(item)
            for batch in smaller:
                batch.move_to(QUEUED)
                self._scheduler.add(batch)
            self._loop.call_soon(self.start_ready)
            return
        self._name_endpoint(error, item)
        self._settle(item, Outcome(error=error))
        if is_fatal:
            self._give_up(error, item)

    def _settle(self, item: Attempted, outcome: Outcome) -> None:
        self._scheduler.forget(item)
        if isinstance(item, Batch):
            item.move_to(SETTLED)
        for request in item.requests:
            if not request.is_done:
                self._completion.on_outcome(request, outcome)

    def _name_endpoint(self, error: RowError, item: Attempted) -> None:
        """Add the endpoint and the number of attempts to the error's message."""
        tries = f" (after {item.attempts} attempts)" if item.attempts > 1 else ""
        error.message = f"endpoint {self.endpoint.name!r}: {error.message}{tries}"

    # --- giving the endpoint up

    def _gives_up_at(self) -> float | None:
        return self._outage.gives_up_at(
            self._scheduler.admission, self._has_only_suspects
        )

    def _has_only_suspects(self) -> bool:
        """Return True if every request that is left failed while others were answered."""
        has_new = self._batcher is not None and len(self._batcher) > 0
        if has_new or not self._scheduler.is_idle():
            return False
        items = (*self._scheduler.resting(), *self.in_flight)
        return all(item.suspect for item in items)

    def _outage_probes(self) -> list[Attempted]:
        """Return the attempts that started during the outage and have not ended."""
        since = self._scheduler.admission.down_since
        if since is None:
            return []
        return [
            one for one in self.in_flight if one.started > since and not one.is_done
        ]

    def _give_up(self, error: RowError, *ended: Attempted) -> None:
        """End the requests that wait, and later ones of the same statements, with one error."""
        outcome = Outcome(error=error)
        probes = self._outage_probes()
        waiting = self.drop(lambda _: True)
        requests = [request for item in (*ended, *probes) for request in item.requests]
        for context in contexts_of([*requests, *waiting]):
            self._completion.on_given_up(context, self.given_up_key, outcome)
        self._scheduler.admission.reset_outage(time.monotonic())
        self._outage.record_answer()
        for request in waiting:
            self._completion.on_outcome(request, outcome)
        for probe in probes:
            tasks = list(probe.tasks)
            self._settle(probe, outcome)
            for task in tasks:
                task.cancel()
