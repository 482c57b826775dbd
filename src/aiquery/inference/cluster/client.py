"""A worker's connection to the coordinator: its permits, and its share of the budget."""

from __future__ import annotations

import asyncio
import time
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol

from aiquery import errors
from aiquery.errors import CoordinatorLost, RowError
from aiquery.inference.cluster.connection import Connection
from aiquery.inference.cluster.leases import LeasedAdmission
from aiquery.inference.cluster.messages import (
    BudgetExhausted,
    BudgetSettled,
    CooldownStarted,
    EndpointLimits,
    Hello,
    PermitsGranted,
    QuotaGranted,
    RequestFailure,
    Subscribe,
)
from aiquery.inference.cluster.protocol import FROM_COORDINATOR, Ack
from aiquery.inference.scheduling.budget_guard import Cost
from aiquery.requests.request import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiquery.config.budget import Budget
    from aiquery.config.endpoint import Endpoint
    from aiquery.config.environment import CoordinatorAddress
    from aiquery.errors import AIQueryError
    from aiquery.inference.cluster.leases import Reserve
    from aiquery.inference.cluster.protocol import FromCoordinator, RunReport
    from aiquery.inference.failure_cache import FailureCache
    from aiquery.interfaces import Provider

CONNECT_S = 10.0


class CoordinatorListener(Protocol):
    """The run that a member is there for."""

    def on_coordinator_lost(self, error: CoordinatorLost) -> None:
        """Fail what waits."""

    def on_coordinator_budget_exhausted(self) -> None:
        """Reject the requests that wait: the budget is reached."""

    @property
    def failures(self) -> FailureCache:
        """What failed, by statement."""


class CoordinatorClient:
    """Joins once per process and run. Touched on the loop thread only."""

    def __init__(
        self, place: CoordinatorAddress, run: str, budget: Budget | None
    ) -> None:
        """Connect later: ``connect``. ``run`` names what shares one budget."""
        self.budget_guard = (
            RemoteBudgetGuard(budget, self.send)
            if budget is not None and budget.is_set
            else None
        )
        self._place = place
        self._run = run
        self._budget = budget
        self._channels: list[tuple[LeasedAdmission, Callable[[], None]]] = []
        self._connection: Connection[FromCoordinator] | None = None
        self._connecting = asyncio.Lock()
        self._reading: asyncio.Task[None] | None = None
        self.listener: CoordinatorListener | None = None
        self._on_report: dict[int, asyncio.Future[None]] = {}
        self._numbers = count(1)

    async def connect(self) -> None:
        """Connect unless that is done. Raises ``CoordinatorLost``."""
        async with self._connecting:
            if self._connection is not None:
                return
            try:
                async with asyncio.timeout(CONNECT_S):
                    reader, writer = await asyncio.open_connection(
                        self._place.host, self._place.port
                    )
            except OSError as error:  # a timeout is one
                raise CoordinatorLost(
                    self._place.host, self._place.port, str(error) or "timeout"
                ) from error
            self._connection = connection = Connection(reader, writer, FROM_COORDINATOR)
            self.send(Hello(self._place.token))
            self._reading = asyncio.create_task(self._listen(connection))

    def lease(
        self,
        endpoint: Endpoint,
        provider: Provider,
        reserve: Reserve,
        start_ready: Callable[[], None],
    ) -> LeasedAdmission:
        """Return what stands for the limits of ``endpoint``; ``start_ready`` is called when something may start.

        A model in the process has slots of its own in each process.
        """
        channel = len(self._channels)
        own = None if provider.remote else endpoint.max_concurrency or provider.slots
        permits = LeasedAdmission(channel, self.send, reserve, own, time.monotonic())
        self._channels.append((permits, start_ready))
        per_minute = endpoint.requests_per_minute, endpoint.tokens_per_minute
        terms = (
            EndpointLimits(endpoint.max_concurrency, provider.slots, *per_minute)
            if own is None
            else EndpointLimits(None, 0, *per_minute)
        )
        self.send(Subscribe(channel, endpoint.limits(), terms, self._run, self._budget))
        if self.budget_guard is not None:
            self.budget_guard.channel = channel
        return permits

    def send(self, message: Any) -> None:
        """Send soon; without a connection nobody is left to hear it."""
        if self._connection is not None:
            self._connection.send(message)

    async def tell(self, report: RunReport) -> None:
        """Tell what tasks did; returns when it is kept. Raises ``CoordinatorLost``."""
        await self.connect()
        report.number = next(self._numbers)
        acknowledged = self._on_report[report.number] = (
            asyncio.get_running_loop().create_future()
        )
        self.send(report)
        try:
            await acknowledged
        finally:
            del self._on_report[report.number]

    async def _listen(self, connection: Connection[FromCoordinator]) -> None:
        try:
            while True:
                self._take(await connection.receive())
        except (OSError, IndexError) as error:  # a lane that there is not
            connection.close()
            self._connection, self._channels = None, []
            lost = CoordinatorLost(
                self._place.host, self._place.port, f"the connection ended ({error})"
            )
            for acknowledged in self._on_report.values():
                if not acknowledged.done():
                    acknowledged.set_exception(lost)
            if self.listener is not None:
                self.listener.on_coordinator_lost(lost)

    def _take(self, messages: list[FromCoordinator]) -> None:
        callbacks = {}
        for message in messages:
            if isinstance(message, RequestFailure):
                self._hear(message)
                continue
            if isinstance(message, Ack):
                self._noted(message)
                continue
            permits, start_ready = self._channels[message.channel]
            callbacks[message.channel] = start_ready
            if isinstance(message, PermitsGranted):
                permits.add_permit(message)
            elif isinstance(message, QuotaGranted):
                permits.set_quota(message.permits)
            elif isinstance(message, CooldownStarted):
                now, down_for_s = time.monotonic(), message.down_for_s
                permits.start_cooldown(
                    now + message.for_s,
                    None if down_for_s is None else now - down_for_s,
                )
            elif isinstance(message, BudgetExhausted):
                self._halt(message)
        for start_ready in callbacks.values():
            start_ready()

    def report_failure(self, statement: str, key: bytes, error: AIQueryError) -> None:
        """Let the others know what failed for good."""
        if isinstance(error, RowError) and not error.retryable:
            self.send(
                RequestFailure(statement, key, type(error).__name__, error.message)
            )

    def _halt(self, halt: BudgetExhausted) -> None:
        if self.budget_guard is not None:
            self.budget_guard.exhausted(halt)
            if self.listener is not None:
                self.listener.on_coordinator_budget_exhausted()

    def _noted(self, acknowledged: Ack) -> None:
        waiting = self._on_report.get(acknowledged.number)
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    def _hear(self, failed: RequestFailure) -> None:
        if self.listener is not None:
            kind = getattr(errors, failed.kind, RowError)
            self.listener.failures.of(failed.statement)[failed.key] = Outcome(
                error=kind(failed.message)
            )

    async def close(self) -> None:
        """Hang up; permits that are held go back with that."""
        if self._reading is not None:
            self._reading.cancel()
        if self._connection is not None:
            self._connection.close()


class RemoteBudgetGuard:
    """A ``BudgetGuard`` that the coordinator keeps: what a permit may cost was reserved before it was granted."""

    def __init__(self, budget: Budget, send: Callable[[Any], None]) -> None:
        """Start with nothing known to be spent."""
        self.budget = budget
        self.requests = 0
        self.spent = Cost()
        self.reached: str | None = None
        self.channel = 0
        self._send = send

    def reserve(self, most: Cost, now: float) -> bool:
        """Say whether the budget allows anything."""
        del most, now
        return self.reached is None

    def settle(self, most: Cost, fact: Cost | None) -> None:
        """See ``BudgetGuard``."""
        cost = None if fact is None else (fact.tokens, fact.usd)
        self._send(BudgetSettled(self.channel, (most.tokens, most.usd), cost))

    def exhausted(self, halt: BudgetExhausted) -> None:
        """Note that the budget is reached."""
        self.reached, self.requests, self.spent = (
            halt.reached,
            halt.requests,
            Cost(halt.tokens, halt.usd),
        )
