"""Run: what queries share: endpoints, limits, answers, ledger, budget. The asyncio shell around the pure parts.

An engine thread hands requests in with ``submit`` and waits on the ``BatchFuture`` it gets. Everything else happens on the
loop thread, and only there: hence no locks. Equal requests are one entry, whoever waits for it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any

from aiquery.errors import AIQueryError, BudgetReached, RequestFailed
from aiquery.inference.cache.cache import AnswerCache
from aiquery.inference.endpoint_worker import EndpointWorker
from aiquery.inference.failure_cache import FailureCache
from aiquery.inference.in_flight import InFlightRequest
from aiquery.inference.query_context import BatchFuture, QueryContext
from aiquery.inference.scheduling.budget_guard import BudgetGuard
from aiquery.requests.request import Outcome
from aiquery.runtime.event_loop import event_loop
from aiquery.tracking.attempts import Ledger
from aiquery.tracking.writer import RunWriter

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence

    from aiquery.config.budget import Budget
    from aiquery.config.endpoint import Endpoint
    from aiquery.errors import CoordinatorLost
    from aiquery.inference.cache.base import Store
    from aiquery.inference.cluster.client import CoordinatorClient, RemoteBudgetGuard
    from aiquery.interfaces import Provider
    from aiquery.requests.request import Request
    from aiquery.tracking.record import RunSink
    from aiquery.tracking.run import Progress, RunStats

log = logging.getLogger("aiquery")
STOPPED = Outcome(error=RequestFailed("the query stopped before this row was asked."))
NOT_ASKED = Outcome()
CANCELLED_S = 1.0
"""How long what was cancelled may take to end, in seconds."""

POLL_S = 0.1
"""How often to look for an answer that another process asks for, in seconds."""


class Client:
    """Asks every distinct request once, as many at a time as the endpoint can take."""

    def __init__(
        self,
        open_provider: Callable[[Endpoint], Awaitable[Provider]],
        open_store: Callable[[], Store] | None = None,
        budget: Budget | None = None,
        member: CoordinatorClient | None = None,
        open_sink: Callable[[], RunSink] | None = None,
    ) -> None:
        """``open_provider`` is awaited on the loop thread, once per endpoint; no store: answers live in memory.

        member      of a cluster, which then has the limits and the budget
        open_sink   where is kept what statements did; None: nowhere
        """
        self._open_provider = open_provider
        self._loop = event_loop()
        self._loop.closers.append(self._close)
        self._lanes: dict[str, EndpointWorker] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._kicking = False
        self.member = member
        self.purse: BudgetGuard | RemoteBudgetGuard | None = None
        if member is not None:
            self.purse = member.purse
            member.serve(self)
        elif budget is not None and budget.is_set:
            self.purse = BudgetGuard(budget)
        self.answers = AnswerCache(open_store)
        self.ledger = Ledger()
        self.journal = RunWriter(self.ledger, open_sink, self._cancelled)
        self.found: Counter[str] = Counter()  # requests that were answered without a call, by endpoint
        self.waiting_bytes = 0
        self.failures: FailureCache = FailureCache()

    # --- from any thread -------------------------------------------------------------------------------------------

    def submit(self, endpoint: Endpoint, requests: Sequence[Request], pending: BatchFuture) -> None:
        """Hand requests in, one for each place of ``pending``, and return at once."""
        if requests:
            keys = [request.key() if request.target.shared else b"" for request in requests]
            self._loop.call(self._accept, endpoint, requests, keys, pending)

    def known(self, keys: Sequence[bytes]) -> set[bytes]:
        """Return those of the keys that are answered already; nothing is asked."""
        known: set[bytes] = self._loop.start(self.answers.known(keys)).result()
        return known

    def begin(self, account: RunStats) -> None:
        """Count for ``account`` what is asked in scopes that name it, and keep it."""
        self._loop.call(self.journal.begin, account)

    def written(self) -> Future[None]:
        """Write down what was done so far, and how what was cancelled ended; what is returned is done when it is."""
        if not self._loop.loop.is_running():
            done: Future[None] = Future()  # the process ends: it was written before the loop stopped
            done.set_result(None)
            return done
        return self._loop.start(self.journal.flush())

    async def _cancelled(self) -> None:
        """Wait until what was cancelled has ended, and is counted."""
        if cancelled := [task for task in self._tasks if task.cancelling()]:
            await asyncio.wait(cancelled, timeout=CANCELLED_S)

    def kept(self, read: Callable[[Any], Any]) -> Any:  # noqa: ANN401  what ``read`` makes of the sink
        """Return what ``read`` makes of what was kept, this moment included. Raises ``StoreFailed``."""
        return self._loop.start(self.journal.use(read)).result()

    @property
    def on_its_loop(self) -> bool:
        """Say whether the caller runs on the loop's thread, where nobody may wait."""
        return self._loop.is_here()

    def progress(self, account: RunStats) -> Progress:
        """Return the figures of an account as they are now."""
        if account.ended_at is not None or self.on_its_loop or not self._loop.loop.is_running():
            return account.progress(time.time())
        progress: Progress = self._loop.start(self._progress(account)).result()
        return progress

    async def _progress(self, account: RunStats) -> Progress:
        """Count what is at the endpoints of this account, for whomever."""
        names = {endpoint for endpoint, _ in account.book}
        lanes = [lane for name, lane in self._lanes.items() if name in names or not names]
        places = [lane.places(time.monotonic()) for lane in lanes]
        limit = None if None in places else sum(place for place in places if place is not None)
        trouble = "; ".join(filter(None, (lane.trouble(time.monotonic()) for lane in lanes)))
        return account.progress(time.time(), sum(len(lane.flying) for lane in lanes), limit, trouble)

    def cancel(self, scope: QueryContext) -> None:
        """Stop asking for ``scope``: what only it wanted is dropped, in flight or not. Returns at once."""
        scope.cancelled.set()
        self._loop.call(self._drop, scope, True)  # noqa: FBT003  a positional of call_soon

    def close(self) -> None:
        """Close every client; what is in flight is cancelled. Returns when it is done.

        On the loop's own thread, where the garbage collector may call it, it returns at once.
        """
        if not self._loop.loop.is_running():
            return  # the process ends: the loop closed everything before it stopped
        closing = self._loop.start(self._close())
        if not self._loop.is_here():
            closing.result()

    # --- on the loop thread: what comes in -------------------------------------------------------------------------

    def _accept(self, endpoint: Endpoint, requests: Sequence[Request], keys: list[bytes], pending: BatchFuture) -> None:
        lane = self._lanes.get(endpoint.name)
        if lane is None:
            lane = self._lanes[endpoint.name] = EndpointWorker(endpoint, self)
            self.spawn(self._open(lane))
        unknown: list[InFlightRequest] = []
        for i, (key, request) in enumerate(zip(keys, requests, strict=True)):
            known = self._known(key, pending.scope)
            if known is not None:
                self._found(endpoint, key, pending.scope, known)
                pending.settle(i, known)
            elif key and (entry := lane.entries.get(key)) is not None:
                entry.waiters.append((pending, i))
            else:
                entry = InFlightRequest(request, key, pending, i)
                self.waiting_bytes += entry.size
                if key:
                    lane.entries[key] = entry
                if key and self.answers.durable:
                    unknown.append(entry)
                else:
                    self._ask(lane, entry)
        if unknown:
            self.spawn(self._look_up(lane, unknown))
        lane.kick()
        self.journal.soon()

    def _found(self, endpoint: Endpoint, key: bytes, scope: QueryContext, known: Outcome) -> None:
        """Count an answer that was there before anybody asked for it in this statement."""
        if known.error is None and self.answers.is_news(key, scope.told):
            self.found[endpoint.name] += 1
            if scope.account is not None:
                scope.account.stored += 1

    def _known(self, key: bytes, scope: QueryContext) -> Outcome | None:
        if key in self.answers:
            return Outcome(self.answers[key])
        if key in scope.failed:
            return scope.failed[key]
        if scope.stopped is not None:
            return scope.stopped
        return STOPPED if scope.cancelled.is_set() else None

    def _ask(self, lane: EndpointWorker, entry: InFlightRequest) -> None:
        given_up = entry.waiters[0][0].scope.failed.get(lane.given_up_key)
        if lane.failed is not None:
            self._give_error(lane, entry, lane.failed)
        elif given_up is not None:
            self.settle(lane, entry, given_up)
        elif self.purse is not None and self.purse.reached is not None:
            self._refuse(lane, [entry])
        else:
            lane.add(entry)

    async def _look_up(self, lane: EndpointWorker, entries: list[InFlightRequest]) -> None:
        """See ``_ask_unknown``; an error that nobody expected ends the statement, which would wait for ever."""
        try:
            await self._ask_unknown(lane, entries)
        except Exception as error:
            log.exception("answers could not be looked up")
            for entry in entries:
                if not entry.done:
                    self._give_error(lane, entry, AIQueryError(f"answers could not be looked up: {error!r}"))

    async def _ask_unknown(self, lane: EndpointWorker, entries: list[InFlightRequest]) -> None:
        """Settle what the store has; ask the rest, but for what another process asks already."""
        scope = entries[0].waiters[0][0].scope
        while entries:
            values, elsewhere, made_at = await self.answers.find([entry.key for entry in entries], scope.told)
            theirs = set(elsewhere)
            for entry in entries:
                entry.claimed = entry.key not in values and entry.key not in theirs
                if entry.key in values:
                    self.found[lane.endpoint.name] += 1
                    entry.was_stored(made_at[entry.key])
                    self.settle(lane, entry, Outcome(values[entry.key]))
                elif entry.unwanted() or entry.waiters[0][0].scope.stopped is not None:
                    self.settle(lane, entry, entry.waiters[0][0].scope.stopped or STOPPED)
                elif entry.claimed:
                    self._ask(lane, entry)
            lane.kick()
            entries = [entry for entry in entries if entry.key in theirs and not entry.done]
            if entries:
                await asyncio.sleep(POLL_S)

    async def _open(self, lane: EndpointWorker) -> None:
        try:
            if self.member is not None:
                await self.member.connect()
            lane.open(await self._open_provider(lane.endpoint))
        except AIQueryError as error:
            self._abort(lane, error)
        except Exception as error:
            log.exception("endpoint %s could not be opened", lane.endpoint.name)
            self._abort(lane, AIQueryError(f"endpoint {lane.endpoint.name!r} could not be opened: {error!r}"))

    def _abort(self, lane: EndpointWorker, error: AIQueryError) -> None:
        self._lanes.pop(lane.endpoint.name, None)
        lane.failed = error
        for entry in lane.drop(lambda _: True):
            self._give_error(lane, entry, error)

    def broken(self, lane: EndpointWorker, problem: Exception) -> None:
        """End what waits for a lane whose task ended with an error that nobody expected: it would wait for ever."""
        log.error("endpoint %s: unexpected error", lane.endpoint.name, exc_info=problem)
        error = AIQueryError(f"endpoint {lane.endpoint.name!r}: unexpected {type(problem).__name__}: {problem}")
        flying = [member for entry in lane.flying for member in entry.members if not member.done]
        self._abort(lane, error)
        for entry in flying:
            self._give_error(lane, entry, error)

    def lost(self, error: CoordinatorLost) -> None:
        """Fail what waits: without the coordinator nothing more is granted."""
        for lane in list(self._lanes.values()):
            self._abort(lane, error)

    def _give_error(self, lane: EndpointWorker, entry: InFlightRequest, error: AIQueryError) -> None:
        self._end(lane, entry)
        for pending, _ in entry.waiters:
            pending.abort(error)

    # --- on the loop thread: how it ends ---------------------------------------------------------------------------

    def keep(self, lane: EndpointWorker, entry: InFlightRequest, value: object) -> None:
        """Settle ``entry`` with its answer, once that is safe."""
        entry.claimed = False
        then = partial(self.settle, lane, entry, Outcome(value))
        told = entry.waiters[0][0].scope.told
        self.answers.keep(entry.key, lane.endpoint.name, value, told, then, entry.not_kept)

    def settle(self, lane: EndpointWorker, entry: InFlightRequest, outcome: Outcome) -> None:
        """Give everybody who waits for ``entry`` its outcome."""
        self._end(lane, entry)
        if outcome.error is not None and outcome is not STOPPED:
            entry.failed(outcome, outcome.error)
        for pending, i in entry.waiters:
            scope = pending.scope
            if outcome.error is not None and outcome is not STOPPED and not scope.cancelled.is_set():
                if entry.key:
                    self.remember(scope, entry.key, outcome)
                if pending.strict and scope.stop_on_error and scope.stopped is None:
                    scope.stopped = outcome
                    self._loop.loop.call_soon(self._drop, scope, False)  # noqa: FBT003
            pending.settle(i, outcome)

    def remember(self, scope: QueryContext, key: bytes, outcome: Outcome) -> None:
        """Let whoever asks for ``key`` again in the same statement, in any process, have the same error."""
        first, scope.failed[key] = key not in scope.failed, outcome
        if first and self.member is not None and scope.statement and outcome.error is not None:
            self.member.failed(scope.statement, key, outcome.error)

    def _end(self, lane: EndpointWorker, entry: InFlightRequest) -> None:
        entry.done = True
        self.waiting_bytes -= entry.size
        lane.forget(entry)
        if entry.claimed:
            entry.claimed = False
            self.answers.give_up(entry.key)

    def _refuse(self, lane: EndpointWorker, entries: list[InFlightRequest]) -> None:
        """End entries that the budget does not allow; all are counted before the first error says how many."""
        for entry in entries:
            self._end(lane, entry)
            for pending, _ in entry.waiters:
                pending.scope.unasked.add(entry.key or id(entry).to_bytes(8, "big"))
        for pending, i in (waiter for entry in entries for waiter in entry.waiters):
            if pending.null_on_budget:
                pending.settle(i, NOT_ASKED)
            else:
                pending.abort(self._budget_reached(pending.scope))

    def _budget_reached(self, scope: QueryContext) -> BudgetReached:
        purse = self.purse
        if purse is None:
            raise AssertionError("no budget was set")
        return BudgetReached(
            f"the budget is reached: {purse.reached}. Spent: {purse.requests:,} requests, "
            f"{purse.spent.tokens:,.0f} tokens, {purse.spent.usd:.6f} USD. Left to ask: at "
            f"least {len(scope.unasked):,} distinct requests. What was answered is kept: run the statement again with "
            "a higher budget to go on, or with on_budget => 'null' to finish now."
        )

    def halt(self) -> None:
        """Ask nothing more of what waits: the budget is reached."""
        for lane in list(self._lanes.values()):
            self._refuse(lane, lane.drop(lambda _: True))

    def _drop(self, scope: QueryContext, in_flight: bool) -> None:  # noqa: FBT001  called by the loop
        """Forget what only ``scope`` waits for; with ``in_flight`` also what was already sent."""

        def unwanted(entry: InFlightRequest) -> bool:
            return all(pending.scope is scope for pending, _ in entry.waiters)

        for lane in self._lanes.values():
            for entry in lane.drop(unwanted):
                self.settle(lane, entry, scope.stopped or STOPPED)
            if in_flight:
                lane.abandon(unwanted)
            self._loop.loop.call_soon(lane.kick)

    # ---

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Start a task that ends with the run."""
        task = self._loop.loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a task of the run failed: %r", error, exc_info=error)

    def kick_soon(self) -> None:
        """Let every lane look again: what one call did not spend, another may."""
        if not self._kicking:
            self._kicking = True
            self._loop.loop.call_soon(self._kick_all)

    def _kick_all(self) -> None:
        self._kicking = False
        for lane in list(self._lanes.values()):
            lane.kick()

    async def _close(self) -> None:
        if self._close in self._loop.closers:
            self._loop.closers.remove(self._close)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        lanes, self._lanes = self._lanes, {}
        for lane in lanes.values():
            await lane.close()
        if self.member is not None:
            await self.member.close()
        await self.answers.close()
        await self.journal.close()
