"""Reservations of an attempt before it starts: tokens from the rate limit, cost from the budget."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiquery.inference.scheduling.budget_guard import Cost, cost_of

if TYPE_CHECKING:
    from aiquery.config.endpoint import Endpoint
    from aiquery.inference.completion import Completion
    from aiquery.inference.in_flight import Attempted
    from aiquery.inference.scheduling.budget_guard import Budgets
    from aiquery.inference.scheduling.rate_limit import OutputTokenEstimate
    from aiquery.requests.request import Response

NO_COST = Cost()
CHARACTERS_PER_TOKEN = 4


class Reservations:
    """Reserves and settles the attempts of one endpoint."""

    def __init__(
        self,
        endpoint: Endpoint,
        budget_guard: Budgets | None,
        output_tokens: OutputTokenEstimate,
        completion: Completion,
    ) -> None:
        """Without a ``budget_guard`` every attempt is within the budget."""
        self._price = endpoint.price
        self._budget_guard = budget_guard
        self._output_tokens = output_tokens
        self._completion = completion

    def tokens(self, item: Attempted) -> float:
        """Return the tokens to reserve from the rate limit."""
        expected = self._output_tokens.expected(item.request.template.max_tokens)
        return item.size / CHARACTERS_PER_TOKEN + expected

    def max_cost(self, item: Attempted) -> Cost:
        """Return the highest cost of an attempt."""
        if item.max_cost is None:
            tokens_in = item.request.max_tokens_in()
            tokens_out = item.request.template.max_tokens
            usd = self._price.highest_usd(tokens_in, tokens_out) if self._price else 0.0
            item.max_cost = Cost(tokens_in + tokens_out, usd)
        return item.max_cost

    def reserve(self, item: Attempted, now: float) -> bool:
        """Reserve the cost of an attempt; False if the budget might be exceeded."""
        if self._budget_guard is None:
            return True
        if self._budget_guard.reserve(self.max_cost(item), now):
            return True
        if self._budget_guard.reached is not None:
            self._completion.on_budget_exhausted()
        return False

    def settle(self, item: Attempted, cost: Cost | None) -> None:
        """End the reservation of an attempt. ``cost`` is None if the attempt may have been billed in full."""
        if self._budget_guard is not None and item.max_cost is not None:
            self._budget_guard.settle(item.max_cost, cost)
            self._completion.on_budget_settled()

    def settle_answered(self, item: Attempted, response: Response) -> None:
        """End the reservation of an attempt that was answered."""
        if self._budget_guard is not None:
            is_known = response.usage.tokens_in or response.usage.tokens_out
            cost = cost_of(response.usage, self._price) if is_known else None
            self.settle(item, cost)
