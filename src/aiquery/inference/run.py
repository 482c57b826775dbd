"""Run: what queries share: endpoints, limits, answers, ledger. The asyncio shell around the pure parts.

An engine thread hands requests in with ``submit`` and waits on the ``Pending`` it gets. Everything else happens on the
loop thread, and only there: hence no locks. Equal requests are one entry, whoever waits for it.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from typing import TYPE_CHECKING, Any

from aiquery.errors import AIQueryError, ReplyParseError, RequestFailed, RowError
from aiquery.inference.answers import Answers
from aiquery.inference.ledger import Attempt, Ledger
from aiquery.inference.limit import Limit
from aiquery.inference.loop import loop_thread
from aiquery.inference.retry import Retry
from aiquery.inference.schedule import Schedule
from aiquery.inference.scope import Entry, Pending, Scope
from aiquery.prompt import repair
from aiquery.request import Outcome, Usage

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence

    from aiquery.endpoint import Endpoint
    from aiquery.inference.ledger import Ending
    from aiquery.plugins import Provider
    from aiquery.request import Request, Response

log = logging.getLogger("aiquery")
NO_USAGE = Usage()
STOPPED = Outcome(error=RequestFailed("the query stopped before this row was asked."))


class Lane:
    """One endpoint within a run: its provider, its schedule, what may be joined by key, and what is in flight."""

    def __init__(self, endpoint: Endpoint) -> None:
        """Start closed: the provider is opened by the first request."""
        self.endpoint = endpoint
        self.provider: Provider | None = None
        self.retry = Retry(max_attempts=endpoint.max_attempts)
        self.schedule: Schedule[Entry] = Schedule(Limit(endpoint.max_concurrency or 1))
        self.entries: dict[bytes, Entry] = {}
        self.flying: set[Entry] = set()
        self.alarm: asyncio.TimerHandle | None = None

    def forget(self, entry: Entry) -> None:
        """Let nobody join ``entry`` any more."""
        if self.entries.get(entry.key) is entry:
            del self.entries[entry.key]


class Run:
    """Asks every distinct request once, as many at a time as the endpoint's limit says."""

    def __init__(self, open_provider: Callable[[Endpoint], Awaitable[Provider]]) -> None:
        """``open_provider`` is awaited on the loop thread, once per endpoint."""
        self._open_provider = open_provider
        self._loop = loop_thread()
        self._loop.closers.append(self._close)
        self._lanes: dict[str, Lane] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.answers = Answers()
        self.ledger = Ledger()
        self.waiting_bytes = 0

    # --- from any thread -------------------------------------------------------------------------------------------

    def submit(
        self, endpoint: Endpoint, requests: Sequence[Request], scope: Scope, *, keep: bool = True, strict: bool = False
    ) -> Pending:
        """Hand requests in and return at once.

        ``keep=False`` asks without handing the outcomes back; ``strict`` says that a failed row fails the query.
        """
        pending = Pending(len(requests), scope, keep=keep, strict=strict)
        if requests:
            keys = [request.key() if request.target.shared else b"" for request in requests]
            self._loop.call(self._accept, endpoint, requests, keys, pending)
        return pending

    def cancel(self, scope: Scope) -> None:
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

    # --- on the loop thread ----------------------------------------------------------------------------------------

    def _accept(self, endpoint: Endpoint, requests: Sequence[Request], keys: list[bytes], pending: Pending) -> None:
        lane = self._lanes.get(endpoint.name)
        if lane is None:
            lane = self._lanes[endpoint.name] = Lane(endpoint)
            self._spawn(self._open(lane))
        failed = pending.scope.failed
        for i, (key, request) in enumerate(zip(keys, requests, strict=True)):
            if key in self.answers:
                pending.settle(i, Outcome(self.answers[key]))
            elif key in failed:
                pending.settle(i, failed[key])
            elif pending.scope.stopped is not None:
                pending.settle(i, pending.scope.stopped)
            elif pending.scope.cancelled.is_set():
                pending.settle(i, STOPPED)
            elif key and (entry := lane.entries.get(key)) is not None:
                entry.waiters.append((pending, i))
            else:
                self._enqueue(lane, Entry(request, key, pending, i, time.monotonic()))
        self._kick(lane)

    def _enqueue(self, lane: Lane, entry: Entry) -> None:
        if entry.key:
            lane.entries[entry.key] = entry
        self.waiting_bytes += entry.size
        lane.schedule.add(entry)

    async def _open(self, lane: Lane) -> None:
        try:
            lane.provider = await self._open_provider(lane.endpoint)
        except AIQueryError as error:
            self._abort(lane, error)
            return
        except Exception as error:
            log.exception("endpoint %s could not be opened", lane.endpoint.name)
            self._abort(lane, AIQueryError(f"endpoint {lane.endpoint.name!r} could not be opened: {error!r}"))
            return
        if lane.endpoint.max_concurrency is None:
            lane.schedule.limit = Limit(lane.provider.slots)
        self._kick(lane)

    def _abort(self, lane: Lane, error: AIQueryError) -> None:
        del self._lanes[lane.endpoint.name]
        for entry in lane.schedule.drop(lambda _: True):
            self.waiting_bytes -= entry.size
            for pending, _ in entry.waiters:
                pending.abort(error)

    def _kick(self, lane: Lane) -> None:
        if lane.provider is None:
            return
        now = time.monotonic()
        while (entry := lane.schedule.take(now)) is not None:
            self._spawn(self._work(lane, lane.provider, entry))
        wake_at = lane.schedule.wake_at()
        if lane.alarm is not None:
            lane.alarm.cancel()
        lane.alarm = None
        if wake_at is not None and wake_at > now:
            lane.alarm = self._loop.loop.call_later(wake_at - now, self._kick, lane)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = self._loop.loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self, lane: Lane, provider: Provider, first: Entry) -> None:
        """Ask one entry after another for as long as something may start: one task per place in flight."""
        entry: Entry | None = first
        task = asyncio.current_task()
        while entry is not None:
            entry.task = task
            lane.flying.add(entry)
            try:
                await self._attempt(lane, provider, entry)
            except asyncio.CancelledError:
                self._settle(lane, entry, Outcome(error=RequestFailed("the request was cancelled.")))
                self._loop.loop.call_soon(self._kick, lane)
                raise
            finally:
                entry.task = None
                lane.flying.discard(entry)
                lane.schedule.end()
            entry = lane.schedule.take(time.monotonic())

    async def _attempt(self, lane: Lane, provider: Provider, entry: Entry) -> None:
        started = time.monotonic()
        entry.attempts += 1
        response: Response | None = None
        error: RowError | None = None
        try:
            response = await provider.complete(entry.request)
            entry.value = entry.request.target.reply.read(response)
        except RowError as problem:
            error = problem
        except asyncio.CancelledError:
            self._record(lane, entry, "cancelled", started, response, None)
            raise
        except Exception as problem:
            log.exception("endpoint %s: unexpected error", lane.endpoint.name)
            error = RequestFailed(f"unexpected {type(problem).__name__}: {problem}")
        wait_s = self._wait_s(lane, entry, error) if response is None else None
        self._record(lane, entry, _ending(response, error, wait_s), started, response, error)
        if wait_s is not None:
            self._rest(lane, entry, wait_s)
        elif isinstance(error, ReplyParseError) and response is not None and entry.may_repair(error):
            entry.request = repair(entry.request, response.text, error.message)
            entry.queued_at = time.monotonic()
            lane.schedule.add(entry)
        elif error is not None:
            self._settle(lane, entry, Outcome(error=_named(error, lane.endpoint, entry)))
        else:
            if entry.key:
                self.answers.keep(entry.key, entry.value)
            self._settle(lane, entry, Outcome(entry.value))

    def _wait_s(self, lane: Lane, entry: Entry, error: RowError | None) -> float | None:
        if error is None or entry.unwanted():
            return None
        return lane.retry.wait_s(error, entry.attempts, random.random())  # noqa: S311  jitter is no secret

    def _rest(self, lane: Lane, entry: Entry, wait_s: float) -> None:
        entry.queued_at = time.monotonic()
        lane.schedule.rest(entry, entry.queued_at + wait_s)
        self._loop.loop.call_soon(self._kick, lane)

    def _settle(self, lane: Lane, entry: Entry, outcome: Outcome) -> None:
        self.waiting_bytes -= entry.size
        lane.forget(entry)
        for pending, i in entry.waiters:
            scope = pending.scope
            if outcome.error is not None and not scope.cancelled.is_set():
                if entry.key:
                    scope.failed[entry.key] = outcome
                if pending.strict and scope.stop_on_error and scope.stopped is None:
                    scope.stopped = outcome
                    self._loop.loop.call_soon(self._drop, scope, False)  # noqa: FBT003
            pending.settle(i, outcome)

    def _drop(self, scope: Scope, in_flight: bool) -> None:  # noqa: FBT001  called by the loop
        """Forget what only ``scope`` waits for; with ``in_flight`` also what was already sent."""

        def unwanted(entry: Entry) -> bool:
            return all(pending.scope is scope for pending, _ in entry.waiters)

        for lane in self._lanes.values():
            for entry in lane.schedule.drop(unwanted):
                self.waiting_bytes -= entry.size
                lane.forget(entry)
                for pending, i in entry.waiters:
                    pending.settle(i, scope.stopped or STOPPED)
            for entry in list(lane.flying) if in_flight else ():
                if entry.task is not None and unwanted(entry):
                    lane.forget(entry)  # whoever asks the same from now on must not wait for what is being cancelled
                    entry.task.cancel()
            self._loop.loop.call_soon(self._kick, lane)

    def _record(
        self,
        lane: Lane,
        entry: Entry,
        ending: Ending,
        started: float,
        response: Response | None,
        error: RowError | None,
    ) -> None:
        latency_s, queued_s = time.monotonic() - started, started - entry.queued_at
        usage = NO_USAGE if response is None else response.usage
        price = lane.endpoint.price
        cost = price.cost_usd(usage.tokens_in, usage.tokens_cached, usage.tokens_out) if price else None
        status = 200 if response is not None else getattr(error, "status", None) or 0
        started_at = time.time() - latency_s
        self.ledger.record(
            Attempt(lane.endpoint.name, entry.ledger_key, ending, started_at, latency_s, queued_s, status, usage, cost)
        )

    async def _close(self) -> None:
        if self._close in self._loop.closers:
            self._loop.closers.remove(self._close)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        lanes, self._lanes = self._lanes, {}
        for lane in lanes.values():
            if lane.alarm is not None:
                lane.alarm.cancel()
            if lane.provider is not None:
                await lane.provider.close()


def _ending(response: Response | None, error: RowError | None, wait_s: float | None) -> Ending:
    if error is None:
        return "truncated" if response is not None and response.truncated else "answered"
    if response is not None:
        return "unreadable"
    return "failed" if wait_s is None else "retried"


def _named(error: RowError, endpoint: Endpoint, entry: Entry) -> RowError:
    """Say which endpoint it was and how often we tried; once, on the way out."""
    tries = f" (after {entry.attempts} attempts)" if entry.attempts > 1 else ""
    error.message = f"endpoint {endpoint.name!r}: {error.message}{tries}"
    return error
