"""What coordinator and members say to each other."""

from __future__ import annotations

from typing import Literal

import msgspec

from aiquery.config.budget import Budget  # noqa: TC001  read by msgspec


class Message(msgspec.Struct, array_like=True, tag=True):
    """Anything that is said."""


# --- from a member


class Hello(Message):
    """The first message; without the right token the coordinator hangs up."""

    token: str


class EndpointLimits(msgspec.Struct, array_like=True):
    """An endpoint's limits. ``slots``: where a search for ``max_concurrency`` begins; 0: each process has its own."""

    max_concurrency: int | None
    slots: int
    requests_per_minute: int | None
    tokens_per_minute: int | None


class Subscribe(Message):
    """Announces an endpoint: ``channel`` is the worker's number for it, ``endpoint`` its identity."""

    channel: int
    endpoint: str
    terms: EndpointLimits
    run: str
    budget: Budget | None


class PermitRequest(Message):
    """One permit is wanted, for a request of so many tokens, that costs at most so much."""

    channel: int
    tokens: float
    most_tokens: float
    most_usd: float


class PermitReleased(Message):
    """An attempt ended: how, the seconds that it took, what a refusal asks to wait.

    The permit comes back; but with ``next_tokens`` the member has begun another attempt on it, as ``QuotaGranted``
    allows.
    """

    permit: int
    how: Literal["answered", "throttled", "failed", "rejected", "ended", "unused"]
    took_s: float = 0.0
    tokens: float = 0.0
    wait_s: float | None = None
    next_tokens: float | None = None


class BudgetSettled(Message):
    """What an attempt cost at most, and in fact; None where nobody knows."""

    channel: int
    most: tuple[float, float]
    fact: tuple[float, float] | None


class LimitsObserved(Message):
    """What the endpoint's headers say about its limits."""

    channel: int
    limits: tuple[float | None, float | None, float | None, float | None]


class RequestFailure(Message):
    """A request failed for good in a statement; told to one member by the other, through the coordinator."""

    statement: str
    key: bytes
    kind: str
    message: str


# --- from the coordinator


class PermitsGranted(Message):
    """A permit, and what it was reserved for."""

    channel: int
    permit: int
    tokens: float
    most_tokens: float
    most_usd: float


class QuotaGranted(Message):
    """The member's share: it may go on with so many permits without asking, while its attempts are answered."""

    channel: int
    permits: int


class CooldownStarted(Message):
    """Start nothing for so many seconds (0: from now on as before); ``down_for_s``: nobody was answered for so long."""

    channel: int
    for_s: float
    down_for_s: float | None = None


class BudgetExhausted(Message):
    """The budget is reached; what was spent of it."""

    channel: int
    reached: str
    requests: int
    tokens: float
    usd: float
