"""The budget of a client: what was spent, what attempts in flight may still cost, and whether one more fits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from aiquery.errors import BudgetReached

if TYPE_CHECKING:
    from aiquery.config.budget import Budget
    from aiquery.config.endpoint import Price
    from aiquery.requests.request import Usage


@dataclass(slots=True)
class Cost:
    """Tokens and USD of one attempt."""

    tokens: float = 0.0
    usd: float = 0.0


def cost_of(usage: Usage, price: Price | None) -> Cost:
    """Return the cost of an answer; 0 USD without a price."""
    tokens = usage.tokens_in + usage.tokens_out
    if price is None:
        return Cost(tokens)
    usd = price.cost_usd(
        usage.tokens_in, usage.tokens_cached, usage.tokens_out, usage.tokens_written
    )
    return Cost(tokens, usd)


class Budgets(Protocol):
    """A budget and what was spent of it: in this process, or at the coordinator of a cluster."""

    budget: Budget
    requests: int
    spent: Cost
    reached: str | None
    """The limit that was reached; None before."""

    def reserve(self, max_cost: Cost, now: float) -> bool:
        """Reserve the highest cost of an attempt; False if the budget might be exceeded."""

    def settle(self, max_cost: Cost, cost: Cost | None) -> None:
        """End an attempt that reserved ``max_cost`` and cost ``cost``; None if the cost is unknown."""


def budget_error(guard: Budgets, left: int) -> BudgetReached:
    """Return the error of a statement that the budget stopped with at least ``left`` requests left to send."""
    return BudgetReached(
        f"the budget is reached: {guard.reached}. Spent: {guard.requests:,} requests, "
        f"{guard.spent.tokens:,.0f} tokens, {guard.spent.usd:.6f} USD. Left to send: at least "
        f"{left:,} distinct requests. Answers so far are in the cache: run the statement again "
        "with a higher budget to go on, or with on_budget => 'null' to finish now."
    )


class BudgetGuard:
    """Reserves the highest cost of an attempt and settles its actual cost, so that the budget is never exceeded.

    An attempt whose end is unknown (a timeout, a reset, a cancelled hedge) may have been billed: it counts in full.
    Times in seconds on any monotonic clock.
    """

    def __init__(self, budget: Budget) -> None:
        """Start with no cost."""
        self.budget = budget
        self.in_flight = 0
        self.requests = 0
        self.spent = Cost()
        self.reached: str | None = None
        self._reserved = Cost()
        self._started_at: float | None = None

    def reserve(self, max_cost: Cost, now: float) -> bool:
        """Reserve ``max_cost`` and return True; False if the budget might be exceeded.

        While other attempts are in flight False may only mean to wait, since most attempts cost less than reserved.
        With none in flight the budget is ``reached``, for good.
        """
        if self._started_at is None:
            self._started_at = now
        exceeded = self._exceeded_by(max_cost, now - self._started_at)
        if exceeded is None and self.reached is None:
            self.in_flight += 1
            self.requests += 1
            self._reserved.tokens += max_cost.tokens
            self._reserved.usd += max_cost.usd
            return True
        if not self.in_flight:
            self.reached = self.reached or exceeded
        return False

    def settle(self, max_cost: Cost, cost: Cost | None) -> None:
        """End an attempt that reserved ``max_cost``; ``cost`` is None if it is unknown."""
        cost = cost or max_cost
        self.in_flight -= 1
        self._reserved.tokens -= max_cost.tokens
        self._reserved.usd -= max_cost.usd
        self.spent.tokens += cost.tokens
        self.spent.usd += cost.usd

    def undo_start(self, max_cost: Cost) -> None:
        """Undo ``reserve`` for a request that was not sent."""
        self.requests -= 1
        self.settle(max_cost, Cost())

    def _exceeded_by(self, max_cost: Cost, elapsed_s: float) -> str | None:
        """Return the limit that one more attempt might exceed."""
        budget = self.budget
        if budget.max_requests is not None and self.requests + 1 > budget.max_requests:
            return f"max_requests = {budget.max_requests:,}"
        tokens = self.spent.tokens + self._reserved.tokens + max_cost.tokens
        if budget.max_tokens is not None and tokens > budget.max_tokens:
            return f"max_tokens = {budget.max_tokens:,}"
        usd = self.spent.usd + self._reserved.usd + max_cost.usd
        if budget.max_cost_usd is not None and usd > budget.max_cost_usd:
            return f"max_cost_usd = {budget.max_cost_usd:g}"
        if budget.max_seconds is not None and elapsed_s >= budget.max_seconds:
            return f"max_seconds = {budget.max_seconds:g}"
        return None
