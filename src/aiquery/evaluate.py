"""The seam: a function's call, columns and a run -> a column, as a stream.

This is the one file where functions (what to ask), inference (how to ask reliably) and providers (whom to ask) meet.
An engine hands over Arrow columns and takes one back; the next batches are already in flight while it reads.
"""

from __future__ import annotations

import hashlib
import os
import sys
import threading
from collections import deque
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from aiquery import plugins
from aiquery.config import credentials
from aiquery.errors import ConfigError
from aiquery.inference.cluster.far_sink import FarSink
from aiquery.inference.cluster.member import Member
from aiquery.inference.loop import loop_thread
from aiquery.inference.run import Run
from aiquery.inference.scope import Pending, Scope
from aiquery.schema import to_column

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import pyarrow as pa

    from aiquery.config import AnswersSettings, Config, Coordinated
    from aiquery.endpoint import Endpoint
    from aiquery.history.store import RunStore
    from aiquery.inference.account import Tally
    from aiquery.inference.answers.store import Store
    from aiquery.plugins import Answered, Call, Provider, Rounds
    from aiquery.request import Request
    from aiquery.schema import Type


DAY_S = 86400.0
REDIS = ("redis://", "rediss://")
IN_MEMORY_BYTES = 64e6
"""What runs may take where they are kept in memory."""

KEPT = 8
"""Runs that a worker process keeps open between tasks."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One batch on its way: the rounds of its call, of which one is being asked."""

    call: Call
    run: Run
    rounds: Rounds
    pending: Pending

    def column(self, build: Callable[[Any, Type], pa.Array] = to_column) -> pa.Array:
        """Wait and return one value per row, in row order; ``build`` turns values of a type into an Arrow array."""
        answered = self._answered()
        values, index = answered.values, answered.index
        if index.null_count and self.call.unasked is not None:
            index = index.fill_null(len(values))
            values = [*values, self.call.unasked]
        column: pa.Array = build(values, self.call.returns).take(index)
        return column

    def _answered(self) -> Answered:
        outcomes = self.pending.wait()
        while True:
            try:
                requests = self.rounds.send(outcomes)
            except StopIteration as end:
                answered: Answered = end.value
                return answered
            outcomes = _submit(self.call, requests, self.run, self.pending.scope).wait()


def ask(
    call: Call, columns: Sequence[pa.Array], run: Run, scope: Scope, *, keep: bool = True, tally: Tally | None = None
) -> Asked:
    """Hand the first round of one batch in and return at once.

    keep    False asks ahead and hands nothing back
    tally   where the rows of the batch are counted
    """
    rounds = call.rounds(columns)
    requests = next(rounds)
    if tally is not None:
        tally.add(len(columns[0]), done=not requests)
    return Asked(call, run, rounds, _submit(call, requests, run, scope, keep=keep, tally=tally, rows=len(columns[0])))


def _submit(
    call: Call,
    requests: list[Request],
    run: Run,
    scope: Scope,
    *,
    keep: bool = True,
    tally: Tally | None = None,
    rows: int = 0,
) -> Pending:
    on_budget = call.on_budget or (run.purse.budget.on_budget if run.purse is not None else "error")
    null_on_budget = on_budget == "null"
    strict = call.strict and rows != 1  # one row: DuckDB may evaluate it while it plans, and go on without it
    pending = Pending(
        len(requests), scope, keep=keep, strict=strict, null_on_budget=null_on_budget, tally=tally, rows=rows
    )
    run.submit(call.endpoint, requests, pending)
    return pending


def evaluate_stream(
    call: Call, batches: Iterable[Sequence[pa.Array]], run: Run, *, ahead: int = 4, scope: Scope | None = None
) -> Iterator[pa.Array]:
    """Yield one column per batch, in order, while the next ``ahead`` batches are already in flight.

    call      a function bound to its constants
    batches   each the Arrow columns of one batch, in the order of the function's column parameters
    ahead     batches in flight beyond the one being read. More keeps the endpoint busy past slow replies (16 batches
              with 0.5 % slow calls: 7.97 s one by one, 3.34 s with four ahead) and holds more memory
    scope     what is cancelled together; one of its own unless given

    NULL rows stay NULL. A failed row raises its error, or is part of the value where the call says so. Closing the
    iterator early cancels what is in flight.
    """
    scope = scope or Scope()
    tally = scope.account.tally(call.target.function) if scope.account is not None else None
    flying: deque[Asked] = deque()
    try:
        for columns in batches:
            flying.append(ask(call, columns, run, scope, tally=tally))
            if len(flying) > ahead:
                yield flying.popleft().column()
        if tally is not None:
            tally.known = True
        while flying:
            yield flying.popleft().column()
    finally:
        if any(not asked.pending.done() for asked in flying):
            run.cancel(scope)


def check(call: Call, config: Config) -> None:
    """Raise a ``ConfigError`` for what can be known before the first call: missing key, extra, file, price or bound."""
    endpoint = call.endpoint
    credentials(endpoint)
    if (place := config.answers.place()).startswith(REDIS):
        from aiquery.inference.answers.redis import check_redis

        check_redis(place)
    plugins.provider(endpoint.provider).check(endpoint)
    budget = config.budget
    answers = endpoint.task == "chat" and not call.target.counts
    if budget.bounds_tokens and answers and not call.target.max_tokens:
        raise ConfigError(
            f"endpoint {endpoint.name!r}: a budget of tokens or cost needs to know how long an answer can be; set "
            "max_tokens for the endpoint, or modelParameters => named_struct('max_tokens', 256)."
        )
    if budget.max_cost_usd is not None and endpoint.price is None and endpoint.base_url is not None:
        raise ConfigError(
            f"endpoint {endpoint.name!r}: max_cost_usd needs its price; set price = {{ input = .., output = .. }}, in "
            "USD per million tokens."
        )


def open_store(settings: AnswersSettings) -> Store:
    """Open the store that the table ``[answers]`` names, which is not memory. Raises ``StoreFailed``."""
    place = settings.place()
    ttl_s = None if settings.ttl_days is None else settings.ttl_days * DAY_S
    if place.startswith(REDIS):
        from aiquery.inference.answers.redis import RedisStore

        return RedisStore(place, ttl_s=ttl_s)
    from aiquery.inference.answers.sqlite import SQLiteStore

    return SQLiteStore(Path(place), ttl_s=ttl_s, max_bytes=int(settings.max_mb * 1e6))


def open_runs(config: Config) -> RunStore:
    """Open the file where runs are kept, or a place in memory. Raises ``StoreFailed``."""
    from aiquery.history.store import RunStore

    settings, place = config.runs, config.runs_place()
    if place is None:
        return RunStore(":memory:", keep_days=settings.keep_days, max_bytes=IN_MEMORY_BYTES)
    return RunStore(place, keep_days=settings.keep_days, max_bytes=settings.max_mb * 1e6)


def _open_sink(config: Config) -> RunStore:
    store = open_runs(config)
    if "opentelemetry.trace" in sys.modules:  # the program uses it
        from aiquery.history.telemetry import Telemetry

        store.listener = Telemetry(config.endpoint).tell
    return store


def prompt_tokens(endpoint: Endpoint, requests: Sequence[Request]) -> int | None:
    """Return how many tokens chat requests have in all, None where the model's tokenizer is not in this process."""
    if endpoint.task != "chat" or plugins.provider(endpoint.provider).remote:
        return None
    count: int | None = loop_thread().start(_prompt_tokens(endpoint, requests)).result()
    return count


async def _prompt_tokens(endpoint: Endpoint, requests: Sequence[Request]) -> int | None:
    provider = await _open(endpoint)
    try:
        if not isinstance(provider, plugins.Tokenizes):
            return None
        return sum([await provider.prompt_tokens(request) for request in requests])
    finally:
        await provider.close()


async def _open(endpoint: Endpoint) -> Provider:
    return await plugins.provider(endpoint.provider).open(endpoint, credentials(endpoint))


class SharedRun:
    """A run that everybody in this process with the same configuration shares, closed by the last who leaves."""

    _open_runs: ClassVar[dict[bytes, SharedRun]] = {}
    _kept: ClassVar[dict[bytes, SharedRun]] = {}
    _table = threading.Lock()

    def __init__(self, identity: bytes, config: Config, place: Coordinated | None) -> None:
        """Use ``SharedRun.join``."""
        self.identity = identity
        store = None if config.answers.in_memory() else partial(open_store, config.answers)
        member = None if place is None else Member(place, hashlib.sha256(identity).hexdigest(), config.budget)
        sink = (
            partial(_open_sink, config)
            if member is None
            else lambda: FarSink(member, loop_thread().loop, config.runs_told())
        )
        self.run = Run(_open, store, config.budget, member, sink)
        self.pid = os.getpid()
        self.users = 0

    @classmethod
    def join(cls, config: Config, place: Coordinated | None = None) -> SharedRun:
        """Return the run for ``config``; whoever joins leaves once. ``place``: of a cluster's coordinator."""
        identity = config.identity()
        with cls._table:
            shared = cls._open_runs.get(identity)
            if shared is None:
                shared = cls._open_runs[identity] = cls(identity, config, place)
            shared.users += 1
        return shared

    @classmethod
    def kept(cls, config: Config, place: Coordinated | None = None) -> SharedRun:
        """Join for as long as this process lives, or until ``KEPT`` others were joined in this way."""
        identity = config.identity()
        shared = cls._kept.pop(identity, None) or cls.join(config, place)
        cls._kept[identity] = shared
        if len(cls._kept) > KEPT:
            cls._kept.pop(next(iter(cls._kept))).leave()
        return shared

    def leave(self) -> None:
        """Close the run if nobody else uses it."""
        with self._table:
            self.users -= 1
            if self.users or self.pid != os.getpid():
                return
            self._open_runs.pop(self.identity, None)
        self.run.close()

    @classmethod
    def forget(cls) -> None:
        """In a forked child: the parent's runs are not ours, their loop thread does not run here."""
        cls._open_runs, cls._kept = {}, {}
        cls._table = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=SharedRun.forget)
