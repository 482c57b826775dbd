"""Every attempt written down once: when, whom, how it ended, how long it took, what it cost."""

from __future__ import annotations

import math
import os
import tempfile
import weakref
from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Literal

import msgspec

from aiquery.request import KEY_BYTES, Usage

if TYPE_CHECKING:
    from collections.abc import Iterator

Ending = Literal["answered", "truncated", "unreadable", "retried", "failed", "cancelled"]
"""answered; answered but cut off at the token limit; answered, but the reply did not parse (a repair may follow);
failed and tried again; failed for good; given up because nobody waits any more."""

_ENDINGS: tuple[Ending, ...] = ("answered", "truncated", "unreadable", "retried", "failed", "cancelled")
IN_MEMORY = 50_000
WIDTH = 12
"""Numbers per attempt."""

_NUMBER = {ending: number for number, ending in enumerate(_ENDINGS)}


class Attempt(msgspec.Struct, frozen=True, gc=False):
    """One try. Times in seconds, ``started_at`` since the epoch; ``queued_s`` is the wait before it started.

    ``status`` is the HTTP status, 0 where there was none; ``cost_usd`` is None where the endpoint has no price;
    ``rows`` is how many distinct rows it asked about (texts are embedded many at a time), ``truncated`` how many of
    them were cut.
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
    rows: int = 1
    truncated: int = 0


@dataclass(slots=True)
class Totals:
    """Sums over attempts. ``cost_usd`` counts only endpoints with a price."""

    attempts: int = 0
    tokens_in: int = 0
    tokens_cached: int = 0
    tokens_out: int = 0
    truncated: int = 0
    cost_usd: float = 0.0
    endings: Counter[str] = field(default_factory=Counter)

    def add(self, attempt: Attempt) -> None:
        """Add one attempt."""
        usage = attempt.usage
        self.attempts += 1
        self.tokens_in += usage.tokens_in
        self.tokens_cached += usage.tokens_cached
        self.tokens_out += usage.tokens_out
        self.truncated += attempt.truncated
        self.cost_usd += attempt.cost_usd or 0.0
        self.endings[attempt.ending] += 1


class Ledger:
    """Every attempt in the order they ended, and their totals by endpoint.

    The last ``IN_MEMORY`` attempts are columns in memory, the older ones in a temporary file that ends with the run:
    so a run of millions of rows holds a few megabytes.
    """

    def __init__(self) -> None:
        """Start empty."""
        self.totals: dict[str, Totals] = {}
        self._names: dict[str, int] = {}
        self._keys = bytearray()
        self._numbers = array("d")
        self._older = 0
        self._file: IO[bytes] | None = None

    def __len__(self) -> int:
        """Count the attempts."""
        return self._older + len(self._keys) // KEY_BYTES

    def record(self, attempt: Attempt) -> None:
        """Write one attempt down."""
        totals = self.totals.get(attempt.endpoint)
        if totals is None:
            totals = self.totals[attempt.endpoint] = Totals()
        totals.add(attempt)
        usage = attempt.usage
        cost = float("nan") if attempt.cost_usd is None else attempt.cost_usd
        number = self._names.setdefault(attempt.endpoint, len(self._names))
        self._keys += attempt.key
        self._numbers.extend((
            number, _NUMBER[attempt.ending], attempt.started_at, attempt.latency_s, attempt.queued_s, attempt.status,
            usage.tokens_in, usage.tokens_cached, usage.tokens_out, cost, attempt.rows, attempt.truncated,
        ))  # fmt: skip
        if len(self._keys) >= IN_MEMORY * KEY_BYTES:
            self._put_away()

    def attempts(self) -> Iterator[Attempt]:
        """Yield every attempt in the order they ended."""
        names = list(self._names)
        for i in range(self._older // IN_MEMORY):
            keys, numbers = self._read(i)
            yield from _attempts(names, keys, numbers)
        yield from _attempts(names, bytes(self._keys), array("d", self._numbers))

    def _put_away(self) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="aiquery-ledger-")  # noqa: SIM115  it lives as long as the ledger
            weakref.finalize(self, self._file.close)
        self._file.seek(0, os.SEEK_END)
        self._file.write(self._keys + self._numbers.tobytes())
        self._older += IN_MEMORY
        self._keys.clear()
        del self._numbers[:]

    def _read(self, block: int) -> tuple[bytes, array[float]]:
        if self._file is None:
            raise AssertionError("older attempts are in a file")
        size = IN_MEMORY * (KEY_BYTES + WIDTH * 8)
        self._file.seek(block * size)
        data = self._file.read(size)
        numbers = array("d")
        numbers.frombytes(data[IN_MEMORY * KEY_BYTES :])
        return data[: IN_MEMORY * KEY_BYTES], numbers


def _attempts(names: list[str], keys: bytes, numbers: array[float]) -> Iterator[Attempt]:
    for i in range(len(keys) // KEY_BYTES):
        row = numbers[i * WIDTH : (i + 1) * WIDTH]
        name, ending, started, latency, queued, status, t_in, cached, out, cost, rows, truncated = row
        yield Attempt(
            names[int(name)], keys[i * KEY_BYTES : (i + 1) * KEY_BYTES], _ENDINGS[int(ending)], started,
            latency, queued, int(status), Usage(int(t_in), int(cached), int(out)),
            None if math.isnan(cost) else cost, int(rows), int(truncated),
        )  # fmt: skip
