"""Pure: how many requests may be in flight at one endpoint."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Limit:
    """A fixed number of requests in flight: exactly that many while there is work, never more."""

    max_concurrency: int

    def has_room(self, in_flight: int) -> bool:
        """Say whether one more request may start beside ``in_flight`` others."""
        return in_flight < self.max_concurrency
