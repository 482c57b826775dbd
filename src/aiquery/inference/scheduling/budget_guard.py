"""Pure: what a run has spent, what its calls in flight may still cost, and whether one more can be afforded."""

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
    """Of one attempt, at most or in fact."""

    tokens: float = 0.0
    usd: float = 0.0


def cost_of(usage: Usage, price: Price | None) -> Cost:
    """Return what an answer cost; no USD where no price is known."""
    usd = (
        price.cost_usd(usage.tokens_in, usage.tokens_cached, usage.tokens_out)
        if price
        else 0.0
    )
    return Cost(usage.tokens_in + usage.tokens_out, usd)


class Budgets(Protocol):
    """A budget and what was spent of it: in this process, or at the coordinator of a cluster."""

    budget: Budget
    requests: int
    spent: Cost
    reached: str | None
    """The limit that was reached; None before."""

    def reserve(self, most: Cost, now: float) -> bool:
        """Reserve the highest cost of an attempt; False if the budget might be exceeded."""

    def settle(self, most: Cost, fact: Cost | None) -> None:
        """End an attempt that reserved ``most`` and cost ``fact``; None if the cost is unknown."""


def budget_error(guard: Budgets, left: int) -> BudgetReached:
    """Return the error of a statement that the budget stopped with at least ``left`` requests left to send."""
    return BudgetReached(
        f"the budget is reached: {guard.reached}. Spent: {guard.requests:,} requests, "
        f"{guard.spent.tokens:,.0f} tokens, {guard.spent.usd:.6f} USD. Left to send: at least "
        f"{left:,} distinct requests. Answers so far are in the cache: run the statement again "
        "with a higher budget to go on, or with on_budget => 'null' to finish now."
    )


class BudgetGuard:
    """Reserve what a call costs at most, settle what it did cost: so ``spent`` never exceeds the budget.

    An attempt whose end is unknown (a timeout, a reset, a cancelled copy) may have been billed: it counts in full.
    Seconds on any monotonic clock.
    """

    def __init__(self, budget: Budget) -> None:
        """Start with nothing spent."""
        self.budget = budget
        self.in_flight = 0
        self.requests = 0
        self.spent = Cost()
        self._reserved = Cost()
        self._began: float | None = None
        self.reached: str | None = None

    def reserve(self, most: Cost, now: float) -> bool:
        """Set ``most`` aside and return True, or say False: it might exceed the budget.

        While others are in flight that may only mean to wait, since most calls cost less than they could. With none in
        flight the budget is ``reached``, for good.
        """
        self._began = now if self._began is None else self._began
        exceeded = self._exceeded_by(most, now)
        if exceeded is None and self.reached is None:
            self.in_flight += 1
            self.requests += 1
            self._reserved.tokens += most.tokens
            self._reserved.usd += most.usd
            return True
        if not self.in_flight:
            self.reached = self.reached or exceeded
        return False

    def settle(self, most: Cost, fact: Cost | None) -> None:
        """End one call that reserved ``most``; ``fact`` is None where nobody knows."""
        fact = fact or most
        self.in_flight -= 1
        self._reserved.tokens -= most.tokens
        self._reserved.usd -= most.usd
        self.spent.tokens += fact.tokens
        self.spent.usd += fact.usd

    def undo_start(self, most: Cost) -> None:
        """Take back what ``reserve`` set aside: nothing was sent."""
        self.requests -= 1
        self.settle(most, Cost())

    def _exceeded_by(self, most: Cost, now: float) -> str | None:
        budget = self.budget
        if budget.max_requests is not None and self.requests + 1 > budget.max_requests:
            return f"max_requests = {budget.max_requests:,}"
        tokens = self.spent.tokens + self._reserved.tokens + most.tokens
        if budget.max_tokens is not None and tokens > budget.max_tokens:
            return f"max_tokens = {budget.max_tokens:,}"
        usd = self.spent.usd + self._reserved.usd + most.usd
        if budget.max_cost_usd is not None and usd > budget.max_cost_usd:
            return f"max_cost_usd = {budget.max_cost_usd:g}"
        if (
            budget.max_seconds is not None
            and self._began is not None
            and now - self._began >= budget.max_seconds
        ):
            return f"max_seconds = {budget.max_seconds:g}"
        return None
