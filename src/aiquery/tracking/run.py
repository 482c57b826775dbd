"""What one statement did: its figures while it runs and after. Pure counting; nothing here waits or writes."""

from __future__ import annotations

import math
import secrets
import threading
from itertools import count
from time import gmtime, strftime
from typing import TYPE_CHECKING, Literal

import msgspec

from aiquery.tracking.attempts import Totals, TotalsByFunction

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiquery.requests.request import Content

State = Literal["running", "done", "failed", "stopped"]
"""At work; every row has its value; ended by an error; interrupted, or its process is gone."""

HIDDEN = "…"
LEAST_HIDDEN = 12
"""Characters in a row that a message must have in common with a request to be taken for the request's."""

LONGEST = 200_000
_numbers = count(1)


class ErrorSummary(msgspec.Struct):
    """Errors of one class: attempts that ended so, requests that failed so for good, and what one of them said."""

    attempts: int = 0
    requests: int = 0
    example: str = ""


class Progress(msgspec.Struct, frozen=True):
    """What a run did so far, or in all. No figure ever goes back.

    run                  its identifier, for ``aiquery report`` and ``aiquery_attempts``
    engine, statement    what ran; string literals of the statement stand as '…' unless ``[runs] texts`` is set
    state                running, done, failed or stopped
    started_at           seconds since the epoch
    seconds              since then, or what it took
    rows, rows_total     rows that have their value; rows in all, None where it is not known yet
    asked                distinct requests that it sent
    stored               distinct requests that were answered before, and cost nothing
    in_flight, limit     requests at the endpoints now, and how many these may have; None: somebody else knows
    attempts, retries    tries, and those of them that were tried again
    failed               distinct requests without an answer
    tokens_in, tokens_cached, tokens_out    as the endpoints counted them
    cost_usd             of the endpoints with a price, None where none has one
    trouble              what keeps endpoints from answering now: since when, the error, when they are asked again, and
                         when they are given up; empty where nothing does
    not_kept             answers that the store did not get while it was away: another process asks for them again
    """

    run: str
    engine: str
    statement: str | None
    state: State
    started_at: float
    seconds: float
    rows: int = 0
    rows_total: int | None = None
    requests: int = 0
    cache_hits: int = 0
    failed: int = 0
    in_flight: int | None = 0
    limit: int | None = None
    attempts: int = 0
    retries: int = 0
    tokens_in: int = 0
    tokens_cached: int = 0
    tokens_out: int = 0
    cost_usd: float | None = None
    trouble: str = ""
    not_stored: int = 0

    def __str__(self) -> str:
        """Return one line; what is none is not named."""
        rows = (
            f"{self.rows:,}"
            if self.rows_total is None
            else f"{self.rows:,} of {self.rows_total:,}"
        )
        limit = "" if self.limit is None else f" of {self.limit:,}"
        running, left = self.state == "running", self.seconds_left
        parts = [
            f"{rows} rows",
            f"{self.rows_per_s:,.1f} rows/s",
            f"{self.in_flight:,}{limit} in flight"
            if running and self.in_flight is not None
            else "",
            f"{self.requests:,} requests",
            f"{self.cache_hits:,} cache hits" if self.cache_hits else "",
            f"{self.tokens_in:,} tokens in",
            f"{self.tokens_cached:,} cached" if self.tokens_cached else "",
            f"{self.tokens_out:,} out",
            "" if self.cost_usd is None else f"{self.cost_usd:.4f} USD",
            f"{self.retries:,} retries" if self.retries else "",
            f"{self.failed:,} errors" if self.failed else "",
            f"{self.not_stored:,} not kept" if self.not_stored else "",
            f"{left:,.0f} s left"
            if left is not None
            else ""
            if running
            else f"{self.seconds:,.1f} s",
            "" if self.state in {"running", "done"} else self.state,
            self.trouble if running else "",
        ]
        return ", ".join(filter(None, parts))

    @property
    def rows_per_s(self) -> float:
        """Rows per second, on average."""
        return self.rows / self.seconds if self.seconds else 0.0

    @property
    def deduplicated(self) -> int:
        """Rows that needed no request of their own: equal to another, or NULL."""
        return max(self.rows - self.requests - self.cache_hits, 0)

    @property
    def seconds_left(self) -> float | None:
        """What is left at the average so far; None where nobody knows."""
        if self.rows_total is None or not self.rows or self.state != "running":
            return None
        return (self.rows_total - self.rows) / self.rows_per_s


class RowCounter:
    """Rows of one call of a statement: handed in, and done."""

    __slots__ = ("_done_at_once", "_lock", "done", "known", "total")

    def __init__(self) -> None:
        """Nothing is handed in yet."""
        self.total = 0
        self.done = 0.0  # by the loop thread only
        self.known = False
        self._done_at_once = 0
        self._lock = threading.Lock()

    def add(self, rows: int, *, done: bool) -> None:
        """Count rows that are handed in, from any thread; ``done`` where they ask nothing."""
        with self._lock:
            self.total += rows
            self._done_at_once += rows * done

    def rows(self) -> int:
        """Return how many have their value."""
        return int(
            self.done + self._done_at_once + 0.001
        )  # a row's share of its batch is a fraction


class RunStats:
    """One statement: its rows, its requests, and the totals of its attempts, which the ledger adds to.

    ``open_ended``: it is all that one connection or object asks, since nobody knows where its statements end.
    """

    def __init__(
        self,
        engine: str,
        statement: str | None,
        now: float,
        *,
        open_ended: bool = False,
    ) -> None:
        """Begin at ``now``, in seconds since the epoch."""
        self.open_ended = open_ended
        self.number = self.reader_id = next(_numbers)
        self.since = now  # an answer that is older was there before
        self.name = f"{strftime('%Y%m%d-%H%M%S', gmtime(now))}-{int(now * 1000) % 1000:03}{secrets.token_hex(2)}"
        self.engine = engine
        self.statement = statement
        self.started_at = now
        self.ended_at: float | None = None
        self.state: State = "running"
        self.error: str | None = None
        self.requests = 0
        self.cache_hits = 0
        self.failed = 0
        self.not_stored = 0
        self.row_counters: dict[str, RowCounter] = {}
        self.errors: dict[str, ErrorSummary] = {}
        self.totals: TotalsByFunction = {}
        self.price_lists: dict[
            str, str
        ] = {}  # of endpoints whose price the configuration does not say: its date

    def row_counter(self, call: str) -> RowCounter:
        """Return the tally of a call."""
        return self.row_counters.setdefault(call, RowCounter())

    def is_idle(self) -> bool:
        """Say whether nothing was asked, or found, or handed in."""
        return not (self.row_counters or self.requests or self.cache_hits)

    def count_error(self, kind: str, message: str, content: Content) -> None:
        """Count an attempt that went wrong; the first of its class is the example, without the request's own words."""
        self._of_class(kind, message, content).attempts += 1

    def count_failed_request(self, kind: str, message: str, content: Content) -> None:
        """Count a request that failed for good."""
        self._of_class(kind, message, content).requests += 1
        self.failed += 1

    def _of_class(self, kind: str, message: str, content: Content) -> ErrorSummary:
        if kind not in self.errors:
            self.errors[kind] = ErrorSummary(example=without(message, content))
        return self.errors[kind]

    def end(self, state: State, now: float, error: str | None = None) -> None:
        """Stop the clock; the first end counts."""
        if self.ended_at is None:
            self.state, self.error, self.ended_at = state, error, now

    def progress(
        self, now: float, in_flight: int | None = 0, limit: int | None = None, trouble: str = ""
    ) -> Progress:  # fmt: skip
        """Return the figures at ``now``."""
        row_counters = list(self.row_counters.values())
        whole = Totals()
        for totals in list(self.totals.values()):
            whole.join(totals)
        return Progress(
            self.name, self.engine, self.statement, self.state, self.started_at,
            max((self.ended_at or now) - self.started_at, 0.0),
            sum(row_counter.rows() for row_counter in row_counters),
            sum(row_counter.total for row_counter in row_counters) if self.ended_at or all(row_counter.known for
            row_counter in row_counters) else None,
            self.requests, self.cache_hits, self.failed, in_flight, limit,
            whole.attempts, whole.endings["retried"], whole.tokens_in, whole.tokens_cached, whole.tokens_out,
            usd([whole.cost_usd]) if whole.priced else None, trouble, self.not_stored,
        )  # fmt: skip


def usd(costs: Iterable[float | None]) -> float | None:
    """Return the sum of the costs that are known, to a billionth of a dollar; None where none is."""
    known = [cost for cost in costs if cost is not None]
    return round(math.fsum(known), 9) if known else None


def without(message: str, content: Content) -> str:
    """Return ``message`` without what it has in common with a request: endpoints like to quote it.

    >>> without("HTTP 400: cannot read 'my cat is ill'", "Classify: my cat is ill")
    "HTTP 400: cannot read '…'"
    """
    text = " ".join(str(content)[:LONGEST].split())
    message = " ".join(message.split())
    if len(text) >= LEAST_HIDDEN // 3:
        message = message.replace(text, HIDDEN)
    shown, i = [], 0
    while i < len(message):
        end = i + LEAST_HIDDEN
        if end <= len(message) and message[i:end] in text:
            while end < len(message) and message[i : end + 1] in text:
                end += 1
            shown.append(HIDDEN)
            i = end
        else:
            shown.append(message[i])
            i += 1
    return "".join(shown)
