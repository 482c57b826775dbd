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

from aiquery.requests.request import KEY_BYTES, Usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Ending = Literal[
    "answered", "truncated", "unreadable", "retried", "failed", "cancelled"
]
"""answered; answered but cut off at the token limit; answered, but the reply did not parse (a repair may follow);
failed and tried again; failed for good; given up because nobody waits any more."""

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

ACCOUNT = 14
"""Which of them is the account's."""

_NUMBER = {ending: number for number, ending in enumerate(ENDINGS)}


class Attempt(msgspec.Struct, frozen=True, gc=False):
    """One try. Times in seconds, ``started_at`` since the epoch; ``queued_s`` is the wait before it started.

    ``status`` is the HTTP status, 0 where there was none; ``cost_usd`` is None where the endpoint has no price;
    ``rows`` is how many distinct rows it asked about (texts are embedded many at a time), ``truncated`` how many of
    them were cut; ``function`` is the AI function that asked, ``error`` the class of what went wrong, empty if nothing
    did; ``run_number`` is the number of its run, 0 for none; ``size`` is
    what the request holds, in characters.
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


@dataclass(slots=True)
class Totals:
    """Sums over attempts. ``size`` is of those whose tokens are known.

    ``cost_usd`` counts only endpoints with a price; ``priced`` says whether there was one.
    """

    attempts: int = 0
    tokens_in: int = 0
    tokens_cached: int = 0
    tokens_out: int = 0
    truncated: int = 0
    size: int = 0
    cost_usd: float = 0.0
    priced: bool = False
    endings: Counter[str] = field(default_factory=Counter)

    def add(self, attempt: Attempt) -> None:
        """Add one attempt."""
        usage = attempt.usage
        self.attempts += 1
        self.tokens_in += usage.tokens_in
        self.tokens_cached += usage.tokens_cached
        self.tokens_out += usage.tokens_out
        self.truncated += attempt.truncated
        if attempt.usage.tokens_in:
            self.size += attempt.size
        if attempt.cost_usd is not None:
            self.cost_usd += attempt.cost_usd
            self.priced = True
        self.endings[attempt.ending] += 1

    def join(self, other: Totals) -> None:
        """Add the sums of ``other``, which another thread may be adding to."""
        self.attempts += other.attempts
        self.tokens_in += other.tokens_in
        self.tokens_cached += other.tokens_cached
        self.tokens_out += other.tokens_out
        self.truncated += other.truncated
        self.size += other.size
        self.cost_usd += other.cost_usd
        self.priced |= other.priced
        self.endings.update(dict(other.endings))


TotalsByFunction = dict[tuple[str, str], Totals]
"""Totals by endpoint and function."""


def by_endpoint(books: Iterable[TotalsByFunction]) -> dict[str, Totals]:
    """Return the totals of all books by endpoint."""
    found: dict[str, Totals] = {}
    for book in books:
        for (endpoint, _), totals in list(book.items()):
            found.setdefault(endpoint, Totals()).join(totals)
    return found


class Block(msgspec.Struct):
    """Attempts as columns: what the numbers of names stand for, a key and ``WIDTH`` numbers for each attempt."""

    names: list[str]
    keys: bytes
    numbers: array[float]

    def attempts(self) -> Iterator[Attempt]:
        """Yield each."""
        names, numbers = self.names, self.numbers
        for i in range(len(self.keys) // KEY_BYTES):
            row = numbers[i * WIDTH : (i + 1) * WIDTH]
            (
                name,
                ending,
                started,
                latency,
                queued,
                status,
                t_in,
                cached,
                out,
                cost,
                rows,
                cut,
            ) = row[:12]
            function, error, stats, size = row[12:]
            yield Attempt(
                names[int(name)], self.keys[i * KEY_BYTES : (i + 1) * KEY_BYTES], ENDINGS[int(ending)], started,
                latency, queued, int(status), Usage(int(t_in), int(cached), int(out)),
                None if math.isnan(cost) else cost, int(rows), int(cut), names[int(function)], names[int(error)],
                int(stats), int(size),
            )  # fmt: skip


class Ledger:
    """Every attempt in the order they ended, and their totals by endpoint.

    The last ``IN_MEMORY`` attempts are columns in memory, the older ones in a temporary file that ends with the run:
    so a run of millions of rows holds a few megabytes.
    """

    def __init__(self) -> None:
        """Start empty."""
        self._books: dict[int, TotalsByFunction] = {}
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
        """The totals by endpoint, as they are now."""
        return by_endpoint(list(self._books.values()))

    def book(self, stats: int) -> TotalsByFunction:
        """Return the totals of one account, which go on being added to."""
        return self._books.setdefault(stats, {})

    def close(self, stats: int) -> None:
        """Count the totals of an account that has ended with those of none."""
        book, rest = self._books.pop(stats, {}), self.book(0)
        for names, totals in book.items():
            rest.setdefault(names, Totals()).join(totals)

    def record(self, attempt: Attempt) -> None:
        """Write one attempt down."""
        book = self._books.get(attempt.run_number)
        if book is None:
            book = self.book(attempt.run_number)
        totals = book.get((attempt.endpoint, attempt.function))
        if totals is None:
            totals = book[attempt.endpoint, attempt.function] = Totals()
        totals.add(attempt)
        usage = attempt.usage
        cost = float("nan") if attempt.cost_usd is None else attempt.cost_usd
        names = self._names
        name = names.setdefault(attempt.endpoint, len(names))
        function = names.setdefault(attempt.function, len(names))
        error = names.setdefault(attempt.error, len(names))
        self._keys += attempt.key
        self._numbers.extend((
            name, _NUMBER[attempt.ending], attempt.started_at, attempt.latency_s, attempt.queued_s, attempt.status,
            usage.tokens_in, usage.tokens_cached, usage.tokens_out, cost, attempt.rows, attempt.truncated,
            function, error, attempt.run_number, attempt.size,
        ))  # fmt: skip
        if len(self._keys) >= IN_MEMORY * KEY_BYTES:
            self._put_away()

    def attempts(self) -> Iterator[Attempt]:
        """Yield every attempt in the order they ended."""
        for block in self._blocks(0):
            yield from block.attempts()

    def take(self) -> list[Block]:
        """Return what was written since this was called last."""
        blocks = [block for block in self._blocks(self._taken) if block.keys]
        self._taken = len(self)
        return blocks

    def _blocks(self, start: int) -> Iterator[Block]:
        """Yield the attempts from number ``start`` on."""
        for i in range(start // IN_MEMORY, self._older // IN_MEMORY):
            yield self._block(*self._read(i), max(start - i * IN_MEMORY, 0))
        yield self._block(bytes(self._keys), self._numbers, max(start - self._older, 0))

    def _block(self, keys: bytes, numbers: array[float], skip: int) -> Block:
        return Block(
            list(self._names), keys[skip * KEY_BYTES :], numbers[skip * WIDTH :]
        )

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
