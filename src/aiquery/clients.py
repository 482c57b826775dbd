"""Composition root: builds clients with their stores and sinks, and shares them between connections."""

from __future__ import annotations

import hashlib
import os
import sys
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from aiquery import interfaces, registry
from aiquery.config.environment import read_credentials
from aiquery.errors import ConfigError
from aiquery.inference.client import Client
from aiquery.inference.cluster.client import CoordinatorClient
from aiquery.inference.cluster.coordinator_sink import CoordinatorSink
from aiquery.runtime.event_loop import event_loop

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiquery.config.endpoint import Endpoint
    from aiquery.config.environment import CoordinatorAddress
    from aiquery.config.settings import CacheSettings, Config
    from aiquery.inference.cache.base import Store
    from aiquery.interfaces import BoundCall, Provider
    from aiquery.requests.request import Request
    from aiquery.tracking.store import RunStore

DAY_S = 86400.0
REDIS = ("redis://", "rediss://")
IN_MEMORY_BYTES = 64e6
"""Size limit of a run history in memory, in bytes."""

MAX_IDLE_CLIENTS = 8
"""Clients that a worker process holds open between tasks."""


def check(call: BoundCall, config: Config) -> None:
    """Raise a ``ConfigError`` for what can be known before the first call: missing key, extra, file, price or bound."""
    endpoint = call.endpoint
    read_credentials(endpoint)
    if (address := config.cache.address()).startswith(REDIS):
        from aiquery.inference.cache.redis import check_redis

        check_redis(address)
    registry.provider(endpoint.provider).check(endpoint)
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


def open_store(settings: CacheSettings) -> Store:
    """Open the store that the table ``[cache]`` names, which is not memory. Raises ``StoreFailed``."""
    address = settings.address()
    ttl_s = None if settings.ttl_days is None else settings.ttl_days * DAY_S
    if address.startswith(REDIS):
        from aiquery.inference.cache.redis import RedisStore

        return RedisStore(address, ttl_s=ttl_s)
    from aiquery.inference.cache.sqlite import SQLiteStore

    return SQLiteStore(Path(address), ttl_s=ttl_s, max_bytes=int(settings.max_mb * 1e6))


def open_runs(config: Config) -> RunStore:
    """Open the file where runs are kept, or a place in memory. Raises ``StoreFailed``."""
    from aiquery.tracking.store import RunStore

    settings, place = config.runs, config.runs_path()
    if place is None:
        return RunStore(":memory:", keep_days=settings.keep_days, max_bytes=IN_MEMORY_BYTES)
    return RunStore(place, keep_days=settings.keep_days, max_bytes=settings.max_mb * 1e6)


def _open_sink(config: Config) -> RunStore:
    store = open_runs(config)
    if "opentelemetry.trace" in sys.modules:  # the program uses it
        from aiquery.tracking.opentelemetry import Telemetry

        store.listener = Telemetry(config.endpoint).tell
    return store


def prompt_tokens(endpoint: Endpoint, requests: Sequence[Request]) -> int | None:
    """Return how many tokens chat requests have in all, None where the model's tokenizer is not in this process."""
    if endpoint.task != "chat" or registry.provider(endpoint.provider).remote:
        return None
    count: int | None = event_loop().start(_prompt_tokens(endpoint, requests)).result()
    return count


async def _prompt_tokens(endpoint: Endpoint, requests: Sequence[Request]) -> int | None:
    provider = await _open(endpoint)
    try:
        if not isinstance(provider, interfaces.Tokenizes):
            return None
        return sum([await provider.prompt_tokens(request) for request in requests])
    finally:
        await provider.close()


async def _open(endpoint: Endpoint) -> Provider:
    return await registry.provider(endpoint.provider).open(endpoint, read_credentials(endpoint))


class SharedClient:
    """A run that everybody in this process with the same configuration shares, closed by the last who leaves."""

    _open_runs: ClassVar[dict[bytes, SharedClient]] = {}
    _kept: ClassVar[dict[bytes, SharedClient]] = {}
    _table = threading.Lock()

    def __init__(self, identity: bytes, config: Config, place: CoordinatorAddress | None) -> None:
        """Use ``SharedClient.join``."""
        self.identity = identity
        store = None if config.cache.in_memory() else partial(open_store, config.cache)
        member = (
            None if place is None else CoordinatorClient(place, hashlib.sha256(identity).hexdigest(), config.budget)
        )
        sink = (
            partial(_open_sink, config)
            if member is None
            else lambda: CoordinatorSink(member, event_loop().loop, config.history_settings())
        )
        self.run = Client(_open, store, config.budget, member, sink)
        self.pid = os.getpid()
        self.users = 0

    @classmethod
    def join(cls, config: Config, place: CoordinatorAddress | None = None) -> SharedClient:
        """Return the run for ``config``; whoever joins leaves once. ``place``: of a cluster's coordinator."""
        identity = config.identity()
        with cls._table:
            shared = cls._open_runs.get(identity)
            if shared is None:
                shared = cls._open_runs[identity] = cls(identity, config, place)
            shared.users += 1
        return shared

    @classmethod
    def kept(cls, config: Config, place: CoordinatorAddress | None = None) -> SharedClient:
        """Join for as long as this process lives, or until ``MAX_IDLE_CLIENTS`` others were joined in this way."""
        identity = config.identity()
        shared = cls._kept.pop(identity, None) or cls.join(config, place)
        cls._kept[identity] = shared
        if len(cls._kept) > MAX_IDLE_CLIENTS:
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
    os.register_at_fork(after_in_child=SharedClient.forget)
