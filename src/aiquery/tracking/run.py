"""The figures of one run, while it is running and afterwards. Only counting; nothing here waits or writes."""

from __future__ import annotations

import math
import secrets
import threading
from itertools import count
from time import gmtime, strftime
from typing import TYPE_CHECKING, Literal

import msgspec

from aiquery.errors import RequestFailed
from aiquery.renamed import rename_attributes
from aiquery.tracking.attempts import Totals, TotalsByFunction
from aiquery.tracking.redaction import cut_at_quote, redact_detail

if TYPE_CHECKING:
    from collections.abc import Iterable


State = Literal["running", "done", "failed", "stopped"]
"""running; every row has its value; ended by an error; interrupted, or its process ended."""

_numbers = count(1)

RENAMED_FIGURES = {
    "asked": "requests",
    "stored": "cache_hits",
    "shared": "deduplicated",
    "not_kept": "not_stored",
}
"""Attributes of ``Progress``, and columns of ``aiquery_runs()``, by their names before the first release."""


class ErrorSummary(msgspec.Struct):
    """The errors of one class: attempts and requests that ended so, and the message of one of them."""

    attempts: int = 0
    requests: int = 0
    example: str = ""


@rename_attributes(**RENAMED_FIGURES)
class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of a run so far, or in all. A figure never decreases.

    Attributes
    ----------
    run
        Its identifier, for ``aiquery report`` and ``aiquery_attempts``.
    engine, statement
        What ran; string literals of the statement are replaced by '…' unless ``[runs] texts`` is set.
    state
        Running, done, failed or stopped.
    started_at
        Seconds since the epoch.
    seconds
        Since then, or the total time.
    rows, rows_total
        Rows that have their value; all rows, None while unknown.
    requests
        Distinct requests that were sent.
    cache_hits
        Distinct requests whose answer was in the cache, at no cost.
    deduplicated
        Rows that needed no request of their own.
    in_flight, limit
        Current requests and concurrency limit; None when a Spark coordinator manages them.
    attempts, retries
        Attempts, and those of them that were followed by another one.
    failed
        Distinct requests without an answer.
    tokens_in, tokens_cached, tokens_out
        As the endpoints counted them.
    cost_usd
        Of the endpoints with a price; None if none has one.
    trouble
        What prevents answers now: since when, the error, the time of the next attempt, and the time when the
        endpoint is given up; empty if nothing does.
    waves
        How the requests are sent if not all at once: ``in waves until 5 rows``; empty otherwise.
    not_stored
        Answers that the cache's store did not get while it was away: other processes request them again.
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
    waves: str = ""
    not_stored: int = 0

    def __str__(self) -> str:
        """Return one line without the figures that are zero."""
        return ", ".join(part for part in self._parts() if part)

    def _parts(self) -> Iterable[str]:
        is_running = self.state == "running"
        total = "" if self.rows_total is None else f" of {self.rows_total:,}"
        yield f"{self.rows:,}{total} rows"
        yield f"{self.rows_per_s:,.1f} rows/s"
        if is_running and self.in_flight is not None:
            limit = "" if self.limit is None else f" of {self.limit:,}"
            yield f"{self.in_flight:,}{limit} in flight"
        yield f"{self.requests:,} requests"
        yield _count(self.cache_hits, "cache hits")
        yield f"{self.tokens_in:,} tokens in"
        yield _count(self.tokens_cached, "cached")
        yield f"{self.tokens_out:,} out"
        if self.cost_usd is not None:
            yield f"{self.cost_usd:.4f} USD"
        yield _count(self.retries, "retries")
        yield _count(self.failed, "errors")
        yield _count(self.not_stored, "not stored")
        if self.seconds_left is not None:
            yield f"{self.seconds_left:,.0f} s left"
        elif not is_running:
            yield f"{self.seconds:,.1f} s"
        if self.state not in {"running", "done"}:
            yield self.state
        if is_running:
            yield self.waves
            yield self.trouble

    @property
    def rows_per_s(self) -> float:
        """Rows per second, on average."""
        return self.rows / self.seconds if self.seconds else 0.0

    @property
    def deduplicated(self) -> int:
        """Rows that needed no request of their own: equal to another row, or NULL."""
        return max(self.rows - self.requests - self.cache_hits, 0)

    @property
    def seconds_left(self) -> float | None:
        """The remaining time at the average so far; None while unknown."""
        if self.rows_total is None or not self.rows or self.state != "running":
            return None
        return (self.rows_total - self.rows) / self.rows_per_s


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" if number else ""


class RowCounter:
    """The rows of one call of a statement: submitted, and done."""

    __slots__ = ("_done_at_once", "_lock", "done", "known", "total")

    def __init__(self) -> None:
        """Start at zero. ``done`` is written by the loop thread only; ``known``: all rows are submitted."""
        self.total = 0
        self.done = 0.0
        self.known = False
        self._done_at_once = 0
        self._lock = threading.Lock()

    def add(self, rows: int, *, done: bool) -> None:
        """Count submitted rows, from any thread; ``done``: they need no request."""
        with self._lock:
            self.total += rows
            if done:
                self._done_at_once += rows

    def rows(self) -> int:
        """Return the number of rows that have their value."""
        # Each request adds its share of the rows of a batch, which is a fraction.
        return int(self.done + self._done_at_once + 0.001)


class RunStats:
    """Counts one run: rows, requests, errors, and the totals of its attempts, which the ledger adds to.

    number      identifies the run in this process
    run_id      identifies it everywhere
    reader_id   identifies it in the cache: the tasks of a Spark execution share it
    since       an answer that is older is a cache hit
    open_ended  it has no end of its own: it is all that one connection or object requests
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
        self.number = next(_numbers)
        self.reader_id = self.number
        self.since = now
        self.run_id = _new_run_id(now)
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
        self.waves = ""
        self.row_counters: dict[str, RowCounter] = {}
        self.errors: dict[str, ErrorSummary] = {}
        self.totals: TotalsByFunction = {}
        self.price_lists: dict[str, str] = {}
        """Dates of the packaged price lists in use, by endpoint."""

    def row_counter(self, call: str) -> RowCounter:
        """Return the row counter of a call."""
        return self.row_counters.setdefault(call, RowCounter())

    def is_idle(self) -> bool:
        """Return True if nothing was submitted, sent or found."""
        return not (self.row_counters or self.requests or self.cache_hits)

    def count_error(self, kind: str, message: str) -> None:
        """Count an attempt that failed; the first of its class is the example, without the request's own words."""
        self._summary(kind, message).attempts += 1

    def count_failed_request(self, kind: str, message: str) -> None:
        """Count a request that failed for good."""
        self._summary(kind, message).requests += 1
        self.failed += 1

    def _summary(self, kind: str, message: str) -> ErrorSummary:
        if kind not in self.errors:
            is_of_server = kind == RequestFailed.__name__
            redact = redact_detail if is_of_server else cut_at_quote
            self.errors[kind] = ErrorSummary(example=redact(message))
        return self.errors[kind]

    def end(self, state: State, now: float, error: str | None = None) -> None:
        """Stop the clock; only the first call counts."""
        if self.ended_at is None:
            self.state = state
            self.error = error
            self.ended_at = now

    def progress(
        self,
        now: float,
        in_flight: int | None = 0,
        limit: int | None = None,
        trouble: str = "",
    ) -> Progress:
        """Return the figures at ``now``."""
        whole = Totals()
        for totals in list(self.totals.values()):
            whole.join(totals)
        counters = list(self.row_counters.values())
        until = self.ended_at or now
        is_total_known = self.ended_at or all(counter.known for counter in counters)
        return Progress(
            run=self.run_id,
            engine=self.engine,
            statement=self.statement,
            state=self.state,
            started_at=self.started_at,
            seconds=max(until - self.started_at, 0.0),
            rows=sum(counter.rows() for counter in counters),
            rows_total=sum(counter.total for counter in counters)
            if is_total_known
            else None,
            requests=self.requests,
            cache_hits=self.cache_hits,
            failed=self.failed,
            in_flight=in_flight,
            limit=limit,
            attempts=whole.attempts,
            retries=whole.endings["retried"],
            tokens_in=whole.tokens_in,
            tokens_cached=whole.tokens_cached,
            tokens_out=whole.tokens_out,
            cost_usd=sum_usd([whole.cost_usd]) if whole.has_price else None,
            trouble=trouble,
            waves=self.waves,
            not_stored=self.not_stored,
        )


def _new_run_id(now: float) -> str:
    moment = strftime("%Y%m%d-%H%M%S", gmtime(now))
    milliseconds = int(now * 1000) % 1000
    return f"{moment}-{milliseconds:03}{secrets.token_hex(2)}"


def sum_usd(costs: Iterable[float | None]) -> float | None:
    """Return the sum of the known costs, rounded to a billionth of a dollar; None if none is known."""
    known = [cost for cost in costs if cost is not None]
    return round(math.fsum(known), 9) if known else None
