"""Every attempt written down once: when, whom, how it ended, how long it took, what it cost."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import msgspec

from aiquery.request import KEY_BYTES, Usage

if TYPE_CHECKING:
    from collections.abc import Iterator

Ending = Literal["answered", "truncated", "unreadable", "retried", "failed", "cancelled"]
"""answered; answered but cut off at the token limit; answered, but the reply did not parse (a repair may follow);
failed and tried again; failed for good; given up because nobody waits any more."""

_ENDINGS: tuple[Ending, ...] = ("answered", "truncated", "unreadable", "retried", "failed", "cancelled")
_NUMBER = {ending: number for number, ending in enumerate(_ENDINGS)}


class Attempt(msgspec.Struct, frozen=True, gc=False):
    """One try. Times in seconds, ``started_at`` since the epoch; ``queued_s`` is the wait before it started.

    ``status`` is the HTTP status, 0 where there was none; ``cost_usd`` is None where the endpoint has no price.
    """

    endpoint: str
    key: bytes
    ending: Ending
    started_at: float
    latency_s: float
    queued_s: float
    status: int
    usage: Usage
    cost_usd: float | None


@dataclass(slots=True)
class Totals:
    """Sums over attempts. ``cost_usd`` counts only endpoints with a price."""

    attempts: int = 0
    tokens_in: int = 0
    tokens_cached: int = 0
    tokens_out: int = 0
    cost_usd: float = 0.0
    endings: Counter[str] = field(default_factory=Counter)

    def add(self, attempt: Attempt) -> None:
        """Add one attempt."""
        usage = attempt.usage
        self.attempts += 1
        self.tokens_in += usage.tokens_in
        self.tokens_cached += usage.tokens_cached
        self.tokens_out += usage.tokens_out
        self.cost_usd += attempt.cost_usd or 0.0
        self.endings[attempt.ending] += 1


class Ledger:
    """Attempts in columns (about 100 bytes each), and their totals by endpoint."""

    def __init__(self) -> None:
        """Start empty."""
        self.totals: dict[str, Totals] = {}
        self._endpoints: list[str] = []
        self._keys = bytearray()
        self._numbers = array("d")

    def __len__(self) -> int:
        """Count the attempts."""
        return len(self._endpoints)

    def record(self, attempt: Attempt) -> None:
        """Write one attempt down."""
        totals = self.totals.get(attempt.endpoint)
        if totals is None:
            totals = self.totals[attempt.endpoint] = Totals()
        totals.add(attempt)
        usage = attempt.usage
        cost = float("nan") if attempt.cost_usd is None else attempt.cost_usd
        self._endpoints.append(attempt.endpoint)
        self._keys += attempt.key
        self._numbers.extend((
            _NUMBER[attempt.ending], attempt.started_at, attempt.latency_s, attempt.queued_s, attempt.status,
            usage.tokens_in, usage.tokens_cached, usage.tokens_out, cost,
        ))  # fmt: skip

    def attempts(self) -> Iterator[Attempt]:
        """Yield every attempt in the order they ended."""
        width = len(self._numbers) // len(self) if len(self) else 0
        for i, endpoint in enumerate(self._endpoints):
            ending, started, latency, queued, status, t_in, cached, out, cost = self._numbers[
                i * width : (i + 1) * width
            ]
            yield Attempt(
                endpoint, bytes(self._keys[i * KEY_BYTES : (i + 1) * KEY_BYTES]), _ENDINGS[int(ending)], started,
                latency, queued, int(status), Usage(int(t_in), int(cached), int(out)),
                None if math.isnan(cost) else cost,
            )  # fmt: skip
