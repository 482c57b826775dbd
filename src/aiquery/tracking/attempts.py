"""The ledger: every attempt in the order they ended, and totals by endpoint and function."""

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

from aiquery.requests.request import KEY_BYTES, Usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Ending = Literal[
    "answered", "truncated", "unreadable", "retried", "failed", "cancelled"
]
"""answered; answered but cut off at the token limit; answered, but the reply did not parse (a repair may follow);
failed and attempted again; failed for good; cancelled."""

ENDINGS: tuple[Ending, ...] = (
    "answered",
    "truncated",
    "unreadable",
    "retried",
    "failed",
    "cancelled",
)
IN_MEMORY = 50_000
WIDTH = 16
"""Numbers per attempt."""

RUN_NUMBER = 14
"""The position of the run number among them."""

_ENDING_NUMBERS = {ending: number for number, ending in enumerate(ENDINGS)}


class Attempt(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One attempt.

    key           of the request
    started_at    seconds since the epoch
    latency_s     how long it took
    queued_s      how long it waited before it started
    status        HTTP status; 0 if there was none
    usage         tokens, as the endpoint counted them
    cost_usd      None if the endpoint has no price
    rows          distinct rows of the request: an embedding request has many
    truncated     rows whose text or answer was cut
    function      the AI function
    error         the class of the error; empty if there was none
    run_number    the run that it belongs to; 0 for none
    size          size of the request in characters
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
    function: str = ""
    error: str = ""
    run_number: int = 0
    size: int = 0


@dataclass(kw_only=True, slots=True)
class Totals:
    """Sums over attempts.

    size        characters of the attempts whose tokens are known
    cost_usd    of the endpoints with a price
    has_price   True if any endpoint had one
    """

    attempts: int = 0
    tokens_in: int = 0
    tokens_cached: int = 0
    tokens_out: int = 0
    truncated: int = 0
    size: int = 0
    cost_usd: float = 0.0
    has_price: bool = False
    endings: Counter[str] = field(default_factory=Counter)

    def add(self, attempt: Attempt) -> None:
        """Add one attempt."""
        usage = attempt.usage
        self.attempts += 1
        self.tokens_in += usage.tokens_in
        self.tokens_cached += usage.tokens_cached
        self.tokens_out += usage.tokens_out
        self.truncated += attempt.truncated
        if usage.tokens_in:
            self.size += attempt.size
        if attempt.cost_usd is not None:
            self.cost_usd += attempt.cost_usd
            self.has_price = True
        self.endings[attempt.ending] += 1

    def join(self, other: Totals) -> None:
        """Add the sums of ``other``, to which another thread may be adding."""
        self.attempts += other.attempts
        self.tokens_in += other.tokens_in
        self.tokens_cached += other.tokens_cached
        self.tokens_out += other.tokens_out
        self.truncated += other.truncated
        self.size += other.size
        self.cost_usd += other.cost_usd
        self.has_price |= other.has_price
        self.endings.update(dict(other.endings))


TotalsByFunction = dict[tuple[str, str], Totals]
"""Totals by endpoint and function."""


def sum_by_endpoint(parts: Iterable[TotalsByFunction]) -> dict[str, Totals]:
    """Return the sums of all parts by endpoint."""
    sums: dict[str, Totals] = {}
    for part in parts:
        for (endpoint, _), totals in list(part.items()):
            sums.setdefault(endpoint, Totals()).join(totals)
    return sums


class Block(msgspec.Struct):
    """Attempts as columns: names by number, and for each attempt a key and ``WIDTH`` numbers."""

    names: list[str]
    keys: bytes
    numbers: array[float]

    def attempts(self) -> Iterator[Attempt]:
        """Yield each attempt."""
        for i in range(len(self.keys) // KEY_BYTES):
            key = self.keys[i * KEY_BYTES : (i + 1) * KEY_BYTES]
            yield self._attempt(key, self.numbers[i * WIDTH : (i + 1) * WIDTH])

    def _attempt(self, key: bytes, row: array[float]) -> Attempt:
        endpoint, ending, started_at, latency_s, queued_s, status = row[:6]
        tokens_in, tokens_cached, tokens_out, cost_usd, rows, truncated = row[6:12]
        function, error, run_number, size = row[12:]
        return Attempt(
            endpoint=self.names[int(endpoint)],
            key=key,
            ending=ENDINGS[int(ending)],
            started_at=started_at,
            latency_s=latency_s,
            queued_s=queued_s,
            status=int(status),
            usage=Usage(int(tokens_in), int(tokens_cached), int(tokens_out)),
            cost_usd=None if math.isnan(cost_usd) else cost_usd,
            rows=int(rows),
            truncated=int(truncated),
            function=self.names[int(function)],
            error=self.names[int(error)],
            run_number=int(run_number),
            size=int(size),
        )


class Ledger:
    """Every attempt in the order they ended, and their totals.

    The last ``IN_MEMORY`` attempts are columns in memory, the older ones are in a temporary file that ends with the
    client: a run of millions of rows takes a few megabytes.
    """

    def __init__(self) -> None:
        """Start empty."""
        self._totals: dict[int, TotalsByFunction] = {}
        self._names: dict[str, int] = {}
        self._keys = bytearray()
        self._numbers = array("d")
        self._older = 0
        self._taken = 0
        self._file: IO[bytes] | None = None

    def __len__(self) -> int:
        """Count the attempts."""
        return self._older + len(self._keys) // KEY_BYTES

    @property
    def totals(self) -> dict[str, Totals]:
        """The current totals by endpoint."""
        return sum_by_endpoint(list(self._totals.values()))

    def totals_of(self, run_number: int) -> TotalsByFunction:
        """Return the totals of one run; further attempts are added to them."""
        return self._totals.setdefault(run_number, {})

    def close(self, run_number: int) -> None:
        """Add the totals of a run that has ended to those of run 0."""
        ended = self._totals.pop(run_number, {})
        rest = self.totals_of(0)
        for names, totals in ended.items():
            rest.setdefault(names, Totals()).join(totals)

    def record(self, attempt: Attempt) -> None:
        """Record one attempt."""
        self._add_to_totals(attempt)
        usage = attempt.usage
        names = self._names
        self._keys += attempt.key
        self._numbers.extend(
            (
                names.setdefault(attempt.endpoint, len(names)),
                _ENDING_NUMBERS[attempt.ending],
                attempt.started_at,
                attempt.latency_s,
                attempt.queued_s,
                attempt.status,
                usage.tokens_in,
                usage.tokens_cached,
                usage.tokens_out,
                math.nan if attempt.cost_usd is None else attempt.cost_usd,
                attempt.rows,
                attempt.truncated,
                names.setdefault(attempt.function, len(names)),
                names.setdefault(attempt.error, len(names)),
                attempt.run_number,
                attempt.size,
            )
        )
        if len(self._keys) >= IN_MEMORY * KEY_BYTES:
            self._write_to_file()

    def _add_to_totals(self, attempt: Attempt) -> None:
        by_function = self._totals.get(attempt.run_number)
        if by_function is None:
            by_function = self.totals_of(attempt.run_number)
        names = (attempt.endpoint, attempt.function)
        totals = by_function.get(names)
        if totals is None:
            totals = Totals()
            by_function[names] = totals
        totals.add(attempt)

    def attempts(self) -> Iterator[Attempt]:
        """Yield every attempt in the order they ended."""
        for block in self._blocks(0):
            yield from block.attempts()

    def take(self) -> list[Block]:
        """Return the attempts since the last call."""
        blocks = [block for block in self._blocks(self._taken) if block.keys]
        self._taken = len(self)
        return blocks

    def _blocks(self, start: int) -> Iterator[Block]:
        """Yield the attempts from number ``start`` on."""
        for i in range(start // IN_MEMORY, self._older // IN_MEMORY):
            keys, numbers = self._read(i)
            yield self._block(keys, numbers, max(start - i * IN_MEMORY, 0))
        yield self._block(bytes(self._keys), self._numbers, max(start - self._older, 0))

    def _block(self, keys: bytes, numbers: array[float], skip: int) -> Block:
        return Block(
            list(self._names), keys[skip * KEY_BYTES :], numbers[skip * WIDTH :]
        )

    def _write_to_file(self) -> None:
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
