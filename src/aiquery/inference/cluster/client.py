"""A worker's connection to the coordinator: its permits, and its share of the budget."""

from __future__ import annotations

import asyncio
import logging
import time
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol

from aiquery import errors
from aiquery.errors import CoordinatorLost, RowError
from aiquery.inference.cluster.connection import Connection
from aiquery.inference.cluster.handshake import greet_coordinator
from aiquery.inference.cluster.leases import LeasedAdmission
from aiquery.inference.cluster.messages import (
    BudgetExhausted,
    BudgetSettled,
    CapabilitiesLearned,
    CooldownStarted,
    EndpointLimits,
    PermitsGranted,
    QuotaGranted,
    RequestFailure,
    Subscribe,
    TurnGranted,
)
from aiquery.inference.cluster.protocol import FROM_COORDINATOR, Ack
from aiquery.inference.cluster.shared_capabilities import SharedCapabilities
from aiquery.inference.scheduling.budget_guard import Cost
from aiquery.requests.request import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiquery.config.budget import Budget
    from aiquery.config.endpoint import Endpoint
    from aiquery.config.environment import CoordinatorAddress
    from aiquery.errors import AIQueryError
    from aiquery.inference.adaptive_sender import AdaptiveSender
    from aiquery.inference.cluster.leases import Reserve
    from aiquery.inference.cluster.protocol import FromCoordinator, RunReport
    from aiquery.inference.failure_cache import FailureCache
    from aiquery.interfaces import Provider

log = logging.getLogger("aiquery")
CONNECT_S = 10.0


class CoordinatorListener(Protocol):
    """The client that a coordinator client belongs to."""

    def on_coordinator_lost(self, error: CoordinatorLost) -> None:
        """Fail the requests that wait."""

    def on_coordinator_budget_exhausted(self) -> None:
        """Reject the requests that wait: the budget is reached."""

    @property
    def failures(self) -> FailureCache:
        """Failed requests by statement."""


class CoordinatorClient:
    """One connection per process and client. Touched on the loop thread only."""

    def __init__(
        self, address: CoordinatorAddress, budget_name: str, budget: Budget | None
    ) -> None:
        """``connect`` opens the connection. Workers with the same ``budget_name`` share one budget."""
        self.budget_guard: RemoteBudgetGuard | None = None
        if budget is not None and budget.is_set:
            self.budget_guard = RemoteBudgetGuard(budget, self.send)
        self.listener: CoordinatorListener | None = None
        self._address = address
        self._budget_name = budget_name
        self._budget = budget
        self._channels: list[tuple[LeasedAdmission, Callable[[], None]]] = []
        self._shared: dict[int, SharedCapabilities] = {}
        self._connection: Connection[FromCoordinator] | None = None
        self._connecting = asyncio.Lock()
        self._reading: asyncio.Task[None] | None = None
        self._reports: dict[int, asyncio.Future[None]] = {}
        self._numbers = count(1)

    async def connect(self) -> None:
        """Connect, unless connected. Raises ``CoordinatorLost``."""
        host, port, token = self._address
        async with self._connecting:
            if self._connection is not None:
                return
            try:
                async with asyncio.timeout(CONNECT_S):
                    reader, writer = await asyncio.open_connection(host, port)
                    await _greet(reader, writer, token)
            except OSError as error:  # also a timeout
                raise CoordinatorLost(host, port, str(error) or "timeout") from error
            connection = Connection(reader, writer, FROM_COORDINATOR)
            self._connection = connection
            self._reading = asyncio.create_task(self._read(connection))

    def lease(
        self,
        endpoint: Endpoint,
        provider: Provider,
        reserve: Reserve,
        start_ready: Callable[[], None],
    ) -> LeasedAdmission:
        """Return the admission of an endpoint; ``start_ready`` is called when a request may start.

        A model in the process has slots of its own in each process.
        """
        channel = len(self._channels)
        own_slots = (
            None if provider.remote else endpoint.max_concurrency or provider.slots
        )
        leased = LeasedAdmission(
            channel, self.send, reserve, own_slots, time.monotonic()
        )
        self._channels.append((leased, start_ready))
        is_shared = own_slots is None
        limits = EndpointLimits(
            max_concurrency=endpoint.max_concurrency if is_shared else None,
            slots=provider.slots if is_shared else 0,
            requests_per_minute=endpoint.requests_per_minute,
            tokens_per_minute=endpoint.tokens_per_minute,
        )
        identity = endpoint.limits()
        self.send(Subscribe(channel, identity, limits, self._budget_name, self._budget))
        if self.budget_guard is not None:
            self.budget_guard.channel = channel
        return leased

    def share_capabilities(
        self, leased: LeasedAdmission, sender: AdaptiveSender, model: str
    ) -> None:
        """Share with the other workers what the model of an endpoint takes, which ``leased`` belongs to."""
        channel = leased.channel
        self._shared[channel] = SharedCapabilities(channel, self.send, sender, model)

    def send(self, message: Any) -> None:
        """Send a ``FromWorker`` message soon; without a connection do nothing."""
        if self._connection is not None:
            self._connection.send(message)

    def report_failure(self, statement: str, key: bytes, error: AIQueryError) -> None:
        """Report a request that failed for good to the other workers."""
        if isinstance(error, RowError) and not error.retryable:
            kind = type(error).__name__
            self.send(RequestFailure(statement, key, kind, error.message))

    async def report_runs(self, report: RunReport) -> None:
        """Report runs; returns when they are stored. Raises ``CoordinatorLost``."""
        await self.connect()
        report.number = next(self._numbers)
        stored = asyncio.get_running_loop().create_future()
        self._reports[report.number] = stored
        self.send(report)
        try:
            await stored
        finally:
            del self._reports[report.number]

    async def close(self) -> None:
        """Close the connection; the permits return to the coordinator."""
        if self._reading is not None:
            self._reading.cancel()
        if self._connection is not None:
            self._connection.close()

    # --- messages of the coordinator

    async def _read(self, connection: Connection[FromCoordinator]) -> None:
        try:
            while True:
                self._receive(await connection.receive())
        except (OSError, IndexError) as error:  # IndexError: an unknown channel
            self._lose(connection, error)
        except Exception as error:
            log.exception("a message of the coordinator could not be handled")
            self._lose(connection, error)

    def _lose(self, connection: Connection[FromCoordinator], error: Exception) -> None:
        connection.close()
        self._connection = None
        self._channels = []
        for shared in self._shared.values():
            shared.end()
        host, port, _ = self._address
        lost = CoordinatorLost(host, port, f"the connection ended ({error})")
        for stored in self._reports.values():
            if not stored.done():
                stored.set_exception(lost)
        if self.listener is not None:
            self.listener.on_coordinator_lost(lost)

    def _receive(self, messages: list[FromCoordinator]) -> None:
        callbacks = {}
        for message in messages:
            if isinstance(message, RequestFailure):
                self._remember_failure(message)
            elif isinstance(message, Ack):
                self._acknowledge(message)
            elif isinstance(message, (TurnGranted, CapabilitiesLearned)):
                if message.channel in self._shared:
                    self._shared[message.channel].receive(message)
            else:
                leased, start_ready = self._channels[message.channel]
                callbacks[message.channel] = start_ready
                self._update(leased, message)
        for start_ready in callbacks.values():
            start_ready()

    def _update(
        self,
        leased: LeasedAdmission,
        message: PermitsGranted | QuotaGranted | CooldownStarted | BudgetExhausted,
    ) -> None:
        if isinstance(message, PermitsGranted):
            leased.add_permit(message)
        elif isinstance(message, QuotaGranted):
            leased.set_quota(message.permits)
        elif isinstance(message, CooldownStarted):
            now = time.monotonic()
            down_for_s = message.down_for_s
            down_since = None if down_for_s is None else now - down_for_s
            leased.start_cooldown(now + message.for_s, down_since)
        elif self.budget_guard is not None:
            self.budget_guard.exhaust(message)
            if self.listener is not None:
                self.listener.on_coordinator_budget_exhausted()

    def _acknowledge(self, ack: Ack) -> None:
        stored = self._reports.get(ack.number)
        if stored is not None and not stored.done():
            stored.set_result(None)

    def _remember_failure(self, failure: RequestFailure) -> None:
        if self.listener is None:
            return
        kind = getattr(errors, failure.kind, RowError)
        failures = self.listener.failures.of(failure.statement)
        failures[failure.key] = Outcome(error=kind(failure.message))


async def _greet(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, token: str
) -> None:
    try:
        await greet_coordinator(reader, writer, token)
    except BaseException:
        writer.transport.abort()
        raise


class RemoteBudgetGuard:
    """The budget of a cluster. The coordinator reserved the cost of a permit before it granted it."""

    def __init__(self, budget: Budget, send: Callable[[Any], None]) -> None:
        """Start with no cost."""
        self.budget = budget
        self.requests = 0
        self.spent = Cost()
        self.reached: str | None = None
        self.channel = 0
        self._send = send

    def reserve(self, max_cost: Cost, now: float) -> bool:
        """Return True until the budget is reached."""
        del max_cost, now
        return self.reached is None

    def settle(self, max_cost: Cost, cost: Cost | None) -> None:
        """Report the cost of an attempt; None if it is unknown."""
        actual = None if cost is None else (cost.tokens, cost.usd)
        reserved = (max_cost.tokens, max_cost.usd)
        self._send(BudgetSettled(self.channel, reserved, actual))

    def exhaust(self, message: BudgetExhausted) -> None:
        """Record that the budget is reached."""
        self.reached = message.reached
        self.requests = message.requests
        self.spent = Cost(message.tokens, message.usd)
