"""Lane: one endpoint within a run: its provider, its schedule, and every attempt from start to end."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from typing import TYPE_CHECKING, Any

from aiquery.errors import ReplyParseError, RequestFailed, RowError
from aiquery.inference.attempt_record import Ended, attempt, ending
from aiquery.inference.batching import Batch, Batcher
from aiquery.inference.cluster.leases import Size
from aiquery.inference.scheduling.admission import Admission, Failure
from aiquery.inference.scheduling.budget_guard import Cost, cost_of
from aiquery.inference.scheduling.concurrency import FixedLimit, make_limit
from aiquery.inference.scheduling.hedging import Hedging
from aiquery.inference.scheduling.outage import OutageMonitor
from aiquery.inference.scheduling.rate_limit import RateLimiter
from aiquery.inference.scheduling.retry import Retry
from aiquery.inference.scheduling.scheduler import Scheduler
from aiquery.requests.chat import repair
from aiquery.requests.request import Outcome
from aiquery.runtime.timer import Timer

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiquery.config.endpoint import Endpoint
    from aiquery.errors import AIQueryError
    from aiquery.inference.client import Client
    from aiquery.inference.in_flight import InFlightRequest
    from aiquery.inference.scheduling.admission import Admits
    from aiquery.interfaces import Provider
    from aiquery.requests.request import Response

log = logging.getLogger("aiquery")
FREE = Cost()
CANCELLED = Outcome(error=RequestFailed("the request was cancelled."))


class EndpointWorker:
    """Asks what is added to it, as many at a time as the endpoint can take. Touched on the loop thread only."""

    def __init__(self, endpoint: Endpoint, run: Client) -> None:
        """Start closed: nothing is asked before ``open``."""
        self.endpoint = endpoint
        self.entries: dict[bytes, InFlightRequest] = {}
        self.flying: set[InFlightRequest] = set()
        self.failed: AIQueryError | None = None
        self.retry = Retry(max_attempts=endpoint.max_attempts, outage_s=endpoint.timeout.outage_s)
        self.given_up_key = b"endpoint " + endpoint.name.encode()  # in ``QueryContext.failed``
        self.rates = RateLimiter(endpoint.requests_per_minute, endpoint.tokens_per_minute)
        self.schedule: Scheduler[InFlightRequest] = Scheduler(Admission(FixedLimit(1)), allows=self._afford)
        self._packer = Batcher() if endpoint.task == "embedding" else None
        self._run = run
        self._loop = asyncio.get_running_loop()
        self._provider: Provider | None = None
        self._alarm = Timer(self._loop, self.kick)
        self._known_limits: object = None
        self._trouble = OutageMonitor(endpoint.name, self.retry)

    # --- what comes in ---------------------------------------------------------------------------------------------

    def open(self, provider: Provider) -> None:
        """Begin to ask through ``provider``."""
        self._provider = provider
        self.schedule.admission = self._admission(provider)
        if self._packer is not None:
            self._packer.texts = self.endpoint.max_batch_size or provider.max_batch_size
        if self.endpoint.hedge and provider.remote:
            self.schedule.hedge = Hedging()
        self.kick()

    def _admission(self, provider: Provider) -> Admits:
        member = self._run.member
        if member is not None and (provider.remote or member.purse is not None):
            most = None if member.purse is None else self._most
            return member.permits(self.endpoint, provider, Size(self._tokens, most), self.kick)
        configured, slots = self.endpoint.max_concurrency, provider.slots
        limit = FixedLimit(slots) if not (configured or provider.remote) else make_limit(configured, slots)
        return Admission(limit, self.rates, cost=self._tokens)

    def places(self, now: float) -> int | None:
        """Return how many requests may be in flight at ``now``; None where a coordinator knows."""
        admission = self.schedule.admission
        return admission.limit.places(now) if isinstance(admission, Admission) else None

    def trouble(self, now: float) -> str:
        """Say what keeps the endpoint from answering at ``now``; nothing where nothing does."""
        return self._trouble.words(self.schedule.admission, now, self._only_suspects)

    def add(self, entry: InFlightRequest) -> None:
        """Queue an entry; ``kick`` starts it."""
        entry.queued_at = time.monotonic()
        if self._packer is not None and not entry.request.target.counts:
            self._packer.add(entry)
        else:
            self.schedule.add(entry)

    def drop(self, unwanted: Callable[[InFlightRequest], bool]) -> list[InFlightRequest]:
        """Remove and return every entry that nobody wants any more; what is in flight is not touched."""
        gone = self._packer.drop(unwanted) if self._packer is not None else []
        for entry in self.schedule.drop(lambda entry: any(map(unwanted, entry.members))):
            for member in entry.members:
                if unwanted(member):
                    gone.append(member)
                else:
                    self.add(member)
        return gone

    def forget(self, entry: InFlightRequest) -> None:
        """Let nobody join ``entry`` any more."""
        if self.entries.get(entry.key) is entry:
            del self.entries[entry.key]

    def abandon(self, unwanted: Callable[[InFlightRequest], bool]) -> None:
        """Cancel what is in flight and nobody wants."""
        for entry in list(self.flying):
            if all(map(unwanted, entry.members)):
                for member in entry.members:
                    self.forget(member)  # whoever asks the same from now on must not wait for what is being cancelled
                for task in entry.tasks:
                    task.cancel()

    def kick(self) -> None:
        """Start what may start now, and look again when time alone allows more."""
        if self._provider is None or (self._trouble.holds and self.schedule.in_flight):
            return
        self._trouble.holds = False
        now = time.monotonic()
        gives_up_at = self._gives_up_at()
        if gives_up_at is not None and now >= gives_up_at:
            self._give_up(self._trouble.given_up(self.schedule.admission, now))
        while (entry := self._take(now) or self.schedule.take_again(now)) is not None:
            self._run.spawn(self._work(self._provider, entry))
        self.schedule.plan(now)
        wake_at = self.schedule.wake_at(now)
        self._alarm.set(now, min(filter(None, (wake_at, self._gives_up_at())), default=None))

    def _take(self, now: float) -> InFlightRequest | None:
        """Return what starts now; texts are packed no sooner, so that as many as possible go together."""
        if self._packer is not None and self.schedule.is_idle() and (pack := self._packer.take()) is not None:
            self.schedule.add(pack)
        return self.schedule.take(now)

    async def close(self) -> None:
        """Close the provider."""
        self._alarm.cancel()
        if self._provider is not None:
            await self._provider.close()

    # --- one attempt -----------------------------------------------------------------------------------------------

    async def _work(self, provider: Provider, first: InFlightRequest) -> None:
        """Ask one entry after another for as long as something may start: one task per place in flight."""
        entry: InFlightRequest | None = first
        task: Any = asyncio.current_task()
        while entry is not None:
            entry.tasks.append(task)
            self.flying.add(entry)
            try:
                await self._attempt(provider, entry)
            except asyncio.CancelledError:
                self._loop.call_soon(self.kick)
                raise
            except Exception as problem:
                self._run.broken(self, problem)
                raise
            finally:
                entry.tasks.remove(task)
                if not entry.tasks:
                    self.flying.discard(entry)
            entry = None if self._trouble.holds else self._take(now := time.monotonic())
            if entry is not None and self.schedule.admission.may_have_room(now):
                self._loop.call_soon(self.kick)  # an answer may make room for more than one
        self.kick()

    async def _attempt(self, provider: Provider, entry: InFlightRequest) -> None:
        started = time.monotonic()
        if not entry.attempts and not entry.sent_again:
            if self._run.member is not None and (failure := entry.failed_elsewhere()) is not None:
                self.schedule.ended(entry)
                self._pay(entry, FREE)
                self._settle(entry, failure)
                return
            entry.seen = self.schedule.admission.served
            for member in entry.members:
                member.count()
        entry.attempts += 1
        response: Response | None = None
        error: RowError | None = None
        values: list[object] = []
        try:
            request = entry.request
            counts = request.target.counts
            response = await (provider.count_tokens(request) if counts else provider.complete(request))
            values = entry.read(response)
        except RowError as problem:
            error = problem
        except asyncio.CancelledError:
            self._record(Ended("cancelled", started, response, None), entry)
            self.schedule.ended(entry)
            self._pay(entry, None)
            if not entry.done and len(entry.tasks) == 1:
                self._settle(entry, CANCELLED)
            raise
        except Exception as problem:
            log.exception("endpoint %s: unexpected error", self.endpoint.name)
            error = RequestFailed(f"unexpected {type(problem).__name__}: {problem}")
        self._learn(provider)
        self._next_step(entry, started, response, error, values)

    def _next_step(
        self,
        entry: InFlightRequest,
        started: float,
        response: Response | None,
        error: RowError | None,
        values: list[object],
    ) -> None:
        """Decide what an attempt that ended means for its entry: an answer, another attempt, or an error."""
        is_over, wait_s = False, None
        if response is not None:
            self._answered(entry, started, response)
        elif error is not None:
            is_over, wait_s = self._hear(entry, started, error)
        self._record(Ended(ending(entry, response, error, wait_s), started, response, error), entry)
        if entry.done or (error is not None and len(entry.tasks) > 1):
            return  # a copy was faster, or may still be
        if error is None:
            self._win(entry, values)
        elif wait_s is not None:
            entry.queued_at = time.monotonic()
            self.schedule.rest(entry, entry.queued_at + wait_s)
            self._loop.call_soon(self.kick)
        elif response is not None and isinstance(error, ReplyParseError) and entry.may_repair(error):
            entry.request = repair(entry.request, response.text, error.message)
            self.add(entry)
        else:
            self._fail(entry, error, is_over=is_over)

    def _learn(self, provider: Provider) -> None:
        limits = provider.rate_limits
        if limits is not None and limits is not self._known_limits:
            self._known_limits = limits
            self.schedule.admission.learn(limits)

    def _answered(self, entry: InFlightRequest, started: float, response: Response) -> None:
        usage = response.usage
        self.schedule.answered(entry, time.monotonic(), started, usage.tokens_in + usage.tokens_out)
        if self._trouble.in_a_row:
            self._trouble.answered()
        if entry.attempts == 1:
            self.retry.first += 1
        if self.schedule.admission.counts_tokens:
            self.rates.output.learn(usage.tokens_out)
        if self._run.purse is not None:
            self._pay(entry, cost_of(usage, self.endpoint.price))

    def _not_answered(self, entry: InFlightRequest, started: float, error: RowError) -> None:
        now = time.monotonic()
        if error.retryable:
            if error.wait_s is not None:
                error.wait_s = min(error.wait_s, self.retry.outage_s)
            jitter = random.random()  # noqa: S311  no secret
            failure = Failure(now, started, error.refused, error.wait_s, jitter)
            self.schedule.failed(entry, failure)
        elif error.status and error.gives_up_after is None:
            self.schedule.rejected(entry, now)
            self._trouble.answered()
        else:
            self.schedule.ended(entry)
        self._pay(entry, FREE if error.refused or error.status else None)

    def _send_again(self, entry: InFlightRequest) -> float:
        """Let a request go out once more that may have reached nobody: no attempt is spent, and nothing is learned."""
        entry.sent_again = True
        entry.attempts -= 1
        self.schedule.ended(entry)
        self._pay(entry, None)
        return 0.0

    def _hear(self, entry: InFlightRequest, started: float, error: RowError) -> tuple[bool, float | None]:
        """Learn from an attempt without a reply; return whether the endpoint is given up, and when to try again."""
        was_down = self.schedule.admission.down_since is not None
        if error.sendable_again and not (was_down or entry.sent_again or entry.unwanted()):
            return False, self._send_again(entry)
        self._not_answered(entry, started, error)
        is_over = self._trouble.failed(error, self.schedule.in_flight)
        return is_over, None if is_over else self._wait_s(entry, started, error, was_down=was_down)

    def _wait_s(self, entry: InFlightRequest, started: float, error: RowError, *, was_down: bool) -> float | None:
        """Return how long to wait before the entry is asked again; None if it is not."""
        if entry.unwanted():
            return None
        admission = self.schedule.admission
        self.retry.charge(entry, error, admission.served, was_down=was_down)
        if entry.deadline is None:
            entry.deadline = started + self.endpoint.timeout.total_s
        wait_s = self.retry.wait_s(error, entry.charged, random.random())  # noqa: S311  jitter is no secret
        now = time.monotonic()
        gate_s = max(admission.closed_until - now, 0.0) if error.refused else 0.0
        return None if wait_s is None or now + max(wait_s, gate_s) > entry.deadline else wait_s

    def _win(self, entry: InFlightRequest, values: list[object]) -> None:
        entry.done = True
        current = asyncio.current_task()
        for task in entry.tasks:
            if task is not current:
                task.cancel()
        for member, value in zip(entry.members, values, strict=True):
            if member.key:
                self._run.keep(self, member, value)
            else:
                self._settle(member, Outcome(value))

    def _fail(self, entry: InFlightRequest, error: RowError, *, is_over: bool) -> None:
        if isinstance(entry, Batch) and (smaller := entry.smaller(error)):
            self.schedule.forget(entry)
            for pack in smaller:
                self.schedule.add(pack)
            self._loop.call_soon(self.kick)
            return
        named = self._named(error, entry)
        self._settle(entry, Outcome(error=named))
        if is_over:
            self._give_up(named, entry)  # what waits would only fail the same way, one by one

    def _gives_up_at(self) -> float | None:
        return self._trouble.gives_up_at(self.schedule.admission, self._only_suspects)

    def _only_suspects(self) -> bool:
        """Say whether all that is left failed while others were served."""
        is_new = self._packer is not None and len(self._packer) > 0
        entries = (*self.schedule.resting(), *self.flying)
        return self.schedule.is_idle() and not is_new and all(entry.suspect for entry in entries)

    def _give_up(self, error: RowError, *ended: InFlightRequest) -> None:
        """End what waits, and what the same statements will ask of this endpoint, with one error."""
        outcome, down_since = Outcome(error=error), self.schedule.admission.down_since
        waiting = self.drop(lambda _: True)
        probes = [entry for entry in self.flying if down_since is not None and entry.started > down_since]
        entries = [member for entry in (*ended, *waiting, *probes) for member in entry.members]
        for scope in {pending.scope for entry in entries for pending, _ in entry.waiters}:
            self._run.remember(scope, self.given_up_key, outcome)
        self.schedule.admission.forget(time.monotonic())
        self._trouble.answered()
        for entry in (*waiting, *probes):
            self._settle(entry, outcome)
        for task in [task for entry in probes for task in entry.tasks]:
            task.cancel()

    def _settle(self, entry: InFlightRequest, outcome: Outcome) -> None:
        entry.done = True
        self.schedule.forget(entry)
        for member in entry.members:
            self._run.settle(self, member, outcome)

    def _named(self, error: RowError, entry: InFlightRequest) -> RowError:
        """Say which endpoint it was and how often we tried; once, on the way out."""
        tries = f" (after {entry.attempts} attempts)" if entry.attempts > 1 else ""
        error.message = f"endpoint {self.endpoint.name!r}: {error.message}{tries}"
        return error

    # --- what it costs ---------------------------------------------------------------------------------------------

    def _tokens(self, entry: InFlightRequest) -> float:
        """Return the tokens to reserve for an attempt of ``entry`` from the rate limit."""
        if not self.schedule.admission.counts_tokens:
            return 0.0
        return entry.size / 4 + self.rates.output.expected(entry.max_tokens)

    def _afford(self, entry: InFlightRequest, now: float) -> bool:
        purse = self._run.purse
        if purse is None:
            return True
        if purse.reserve(self._most(entry), now):
            return True
        if purse.reached is not None:
            self._loop.call_soon(self._run.halt)
        return False

    def _most(self, entry: InFlightRequest) -> Cost:
        if entry.most is None:
            tokens_in, tokens_out = entry.request.most_tokens_in(), entry.max_tokens
            price = self.endpoint.price
            entry.most = Cost(tokens_in + tokens_out, price.cost_usd(tokens_in, 0, tokens_out) if price else 0.0)
        return entry.most

    def _pay(self, entry: InFlightRequest, fact: Cost | None) -> None:
        purse = self._run.purse
        if purse is not None and entry.most is not None:
            purse.settle(entry.most, fact)
            self._run.kick_soon()

    def _record(self, ended: Ended, entry: InFlightRequest) -> None:
        self._run.ledger.record(attempt(ended, entry, self.endpoint))
        self._run.journal.soon()
