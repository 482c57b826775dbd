"""Budget: how much one run may spend. A run never begins a call that could exceed it."""

from __future__ import annotations

from typing import Literal

import msgspec

OnBudget = Literal["error", "null"]


class Budget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table ``[budget]``. A run is what connections of the same configuration share, while one of them is open.

    max_cost_usd   by the endpoints' prices
    max_requests   attempts, repeated ones included
    max_tokens     in and out, cached ones included
    max_seconds    since the first request of the run
    confirm_above_usd    ``aiquery sql`` asks before a statement that may cost more, or whose cost nobody can tell
    on_budget      error: the statement ends and says what was spent and what is left to ask; null: the rest is NULL
    """

    max_cost_usd: float | None = None
    max_requests: int | None = None
    max_tokens: int | None = None
    max_seconds: float | None = None
    confirm_above_usd: float | None = None
    on_budget: OnBudget = "error"

    @property
    def bounds_tokens(self) -> bool:
        """Say whether it must be known how many tokens a call can cost at most."""
        return self.max_cost_usd is not None or self.max_tokens is not None

    @property
    def is_set(self) -> bool:
        """Say whether anything is bounded."""
        return self.bounds_tokens or self.max_requests is not None or self.max_seconds is not None
