"""Messages about permits, budget and failures between the workers of a cluster and its coordinator."""

from __future__ import annotations

from typing import Literal

import msgspec

from aiquery.config.budget import Budget  # noqa: TC001  read by msgspec
from aiquery.requests.request import RateLimits  # noqa: TC001  read by msgspec


class Message(msgspec.Struct, array_like=True, tag=True):
    """Base class of all messages."""


# --- from a worker


class EndpointLimits(msgspec.Struct, kw_only=True, array_like=True):
    """An endpoint's limits. ``slots``: the first number of the adaptive limit; 0: each process has its own slots."""

    max_concurrency: int | None
    slots: int
    requests_per_minute: int | None
    tokens_per_minute: int | None


class Subscribe(Message):
    """Announces an endpoint.

    channel      the worker's number for it
    endpoint     its identity in the cluster
    limits       its limits
    budget_name  names the budget: workers with the same name share one
    budget       the budget itself
    """

    channel: int
    endpoint: str
    limits: EndpointLimits
    budget_name: str
    budget: Budget | None


class PermitRequest(Message):
    """Requests a permit for one attempt, with its tokens and its highest cost."""

    channel: int
    tokens: float
    max_tokens: float
    max_usd: float


class PermitReleased(Message):
    """An attempt ended: how, after how many seconds, and the pause that the endpoint asked for.

    The permit returns to the coordinator. With ``next_tokens`` the worker has used it for another attempt, as
    ``QuotaGranted`` allows.
    """

    permit: int
    how: Literal["answered", "throttled", "failed", "rejected", "cancelled", "unused"]
    took_s: float = 0.0
    tokens: float = 0.0
    wait_s: float | None = None
    next_tokens: float | None = None


class BudgetSettled(Message):
    """The reserved and the actual cost (tokens, USD) of an attempt; None if the actual cost is unknown."""

    channel: int
    max_cost: tuple[float, float]
    cost: tuple[float, float] | None


class LimitsObserved(Message):
    """The limits in the endpoint's headers."""

    channel: int
    limits: RateLimits


class TurnRequest(Message):
    """Requests the turn to show the endpoint these features of a request, which the worker does not know yet."""

    channel: int
    features: list[str]


class TurnEnded(Message):
    """The worker gives its turn back. The features are those that the endpoint's model took or rejected."""

    channel: int
    accepted: list[str]
    rejected: list[str]


class RequestFailure(Message):
    """A request failed for good in a statement. The coordinator passes it on to the other workers."""

    statement: str
    key: bytes
    kind: str
    message: str


# --- from the coordinator


class PermitsGranted(Message):
    """A permit, and what was reserved for it."""

    channel: int
    permit: int
    tokens: float
    max_tokens: float
    max_usd: float


class QuotaGranted(Message):
    """The worker's share: it may reuse this many permits without a request, while its attempts are answered."""

    channel: int
    permits: int


class TurnGranted(Message):
    """It is the worker's turn: it sends one request with unknown features, and reports what it learned."""

    channel: int


class CapabilitiesLearned(Message):
    """The features that the endpoint's model takes or rejects, as far as the cluster knows."""

    channel: int
    accepted: list[str]
    rejected: list[str]


class CooldownStarted(Message):
    """Start no request for ``for_s`` seconds; 0 ends the cooldown. ``down_for_s`` is how long the outage has lasted."""

    channel: int
    for_s: float
    down_for_s: float | None = None


class BudgetExhausted(Message):
    """The budget is reached; the amounts that were spent."""

    channel: int
    reached: str
    requests: int
    tokens: float
    usd: float
