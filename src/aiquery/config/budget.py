"""The budget of a client: no attempt starts that could exceed it."""

from __future__ import annotations

from typing import Literal

import msgspec

OnBudget = Literal["error", "null"]


class Budget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table ``[budget]``. It bounds a client: all connections of one configuration while one of them is open.

    max_cost_usd        by the endpoints' prices
    max_requests        attempts, retries included
    max_tokens          input and output, cached ones included
    max_seconds         since the first request of the client
    confirm_above_usd   ``aiquery sql`` asks for confirmation above this estimate, or when the cost is unknown
    on_budget           error: the statement fails and reports the cost so far and the requests left;
                        null: other rows are NULL
    """

    max_cost_usd: float | None = None
    max_requests: int | None = None
    max_tokens: int | None = None
    max_seconds: float | None = None
    confirm_above_usd: float | None = None
    on_budget: OnBudget = "error"

    @property
    def bounds_tokens(self) -> bool:
        """True if the highest number of tokens of an attempt must be known."""
        return self.max_cost_usd is not None or self.max_tokens is not None

    @property
    def is_set(self) -> bool:
        """True if any limit is set."""
        return (
            self.bounds_tokens
            or self.max_requests is not None
            or self.max_seconds is not None
        )
