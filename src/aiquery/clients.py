"""Composition root: builds clients with their stores and sinks, and shares them between connections."""

from __future__ import annotations

import hashlib
import os
import sys
import threading
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from aiquery import interfaces, registry
from aiquery.config.credentials import check_credentials
from aiquery.errors import ConfigError
from aiquery.inference.client import Client
from aiquery.inference.cluster.client import CoordinatorClient
from aiquery.inference.cluster.coordinator_sink import CoordinatorSink
from aiquery.providers.http.key_renewal import read_in_thread
from aiquery.runtime.event_loop import event_loop

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aiquery.config.endpoint import Endpoint
    from aiquery.config.environment import CoordinatorAddress
    from aiquery.config.settings import CacheSettings, Config
    from aiquery.inference.cache.base import Store
    from aiquery.interfaces import BoundCall, Provider
    from aiquery.requests.request import Request
    from aiquery.tracking.record import RunSink
    from aiquery.tracking.store import RunStore

DAY_S = 86400.0
REDIS = ("redis://", "rediss://")
IN_MEMORY_BYTES = 64e6
"""Size limit of a run history in memory, in bytes."""

MAX_IDLE_CLIENTS = 8
"""Clients that a worker process holds open between tasks."""


def check_call(call: BoundCall, config: Config) -> None:
    """Check before the first request: key, extra, model file, address of the cache, price and bound of the budget.

    Raises ``ConfigError``.
    """
    endpoint = call.endpoint
    check_credentials(endpoint)
    config.runs_path()
    address = config.cache.address()
    if address.startswith(REDIS):
        from aiquery.inference.cache.redis import check_redis

        check_redis(address)
    registry.provider(endpoint.provider).check(endpoint)
    budget = config.budget
    has_answer = endpoint.task == "chat" and not call.template.counts
    if budget.bounds_tokens and has_answer and not call.template.max_tokens:
        raise ConfigError(
            f"endpoint {endpoint.name!r}: a budget of tokens or cost needs to know how long an answer can be; set "
            "max_tokens for the endpoint, or modelParameters => named_struct('max_tokens', 256)."
        )
    has_price = endpoint.price is not None or endpoint.base_url is None
    if budget.max_cost_usd is not None and not has_price:
        raise ConfigError(
            f"endpoint {endpoint.name!r}: max_cost_usd needs its price; set price = {{ input = .., output = .. }}, in "
            "USD per million tokens."
        )


def open_store(settings: CacheSettings) -> Store:
    """Open the store of the table ``[cache]``, which is not in memory. Raises ``StoreFailed``."""
    address = settings.address()
    ttl_s = None if settings.ttl_days is None else settings.ttl_days * DAY_S
    if address.startswith(REDIS):
        from aiquery.inference.cache.redis import RedisStore

        return RedisStore(address, ttl_s=ttl_s)
    from aiquery.inference.cache.sqlite import SQLiteStore

    max_bytes = int(settings.max_mb * 1e6)
    return SQLiteStore(Path(address), ttl_s=ttl_s, max_bytes=max_bytes)


def open_run_store(config: Config) -> RunStore:
    """Open the run history: its file, or a database in memory. Raises ``StoreFailed``."""
    from aiquery.tracking.store import RunStore

    keep_days = config.runs.keep_days
    path = config.runs_path()
    if path is None:
        return RunStore(":memory:", keep_days=keep_days, max_bytes=IN_MEMORY_BYTES)
    return RunStore(path, keep_days=keep_days, max_bytes=config.runs.max_mb * 1e6)


def _import_stores(config: Config) -> None:
    """Import what the threads of the cache and of the run history need, in the thread that connects.

    A fork while another thread imports leaves the lock of the module held in the child, which then waits for ever.
    """
    import_module("aiquery.tracking.store")
    if not config.cache.in_memory():
        kind = "redis" if config.cache.address().startswith(REDIS) else "sqlite"
        import_module(f"aiquery.inference.cache.{kind}")


def _open_sink(config: Config) -> RunStore:
    store = open_run_store(config)
    if "opentelemetry.trace" in sys.modules:  # the program uses it
        from aiquery.tracking.opentelemetry import RunExporter

        store.listeners.append(RunExporter(config.endpoint).export)
    return store


def count_prompt_tokens(endpoint: Endpoint, requests: Sequence[Request]) -> int | None:
    """Return the number of tokens of chat requests; None if the model's tokenizer is not in this process."""
    if endpoint.task != "chat" or registry.provider(endpoint.provider).remote:
        return None
    counting = _count_prompt_tokens(endpoint, requests)
    count: int | None = event_loop().start(counting).result()
    return count


async def _count_prompt_tokens(
    endpoint: Endpoint, requests: Sequence[Request]
) -> int | None:
    provider = await open_provider(endpoint)
    try:
        if not isinstance(provider, interfaces.Tokenizes):
            return None
        return sum(
            [await provider.count_prompt_tokens(request) for request in requests]
        )
    finally:
        await provider.close()


async def open_provider(endpoint: Endpoint) -> Provider:
    """Open the provider of an endpoint. Raises ``ConfigError``."""
    kind = registry.provider(endpoint.provider)
    return await kind.open(endpoint, await read_in_thread(endpoint))


class SharedClient:
    """A client that all connections of one configuration share in this process; the last one closes it."""

    _open: ClassVar[dict[bytes, SharedClient]] = {}
    _held: ClassVar[dict[bytes, SharedClient]] = {}
    _lock = threading.RLock()
    """Reentrant: the garbage collector may close a connection, which leaves, while its thread joins."""

    def __init__(
        self, identity: bytes, config: Config, address: CoordinatorAddress | None
    ) -> None:
        """Use ``SharedClient.join``."""
        _import_stores(config)
        self.identity = identity
        self.pid = os.getpid()
        self.users = 0
        open_cache = (
            None if config.cache.in_memory() else partial(open_store, config.cache)
        )
        open_sink: Callable[[], RunSink] = partial(_open_sink, config)
        coordinator = None
        if address is not None:
            budget_name = hashlib.sha256(identity).hexdigest()
            coordinator = CoordinatorClient(address, budget_name, config.budget)
            open_sink = partial(
                CoordinatorSink,
                coordinator,
                event_loop().loop,
                config.history_settings(),
            )
        self.client = Client(
            open_provider, open_cache, config.budget, coordinator, open_sink
        )

    @classmethod
    def join(
        cls, config: Config, address: CoordinatorAddress | None = None
    ) -> SharedClient:
        """Return the client for ``config``; each ``join`` needs one ``leave``. ``address``: of a coordinator."""
        identity = config.identity()
        with cls._lock:
            shared = cls._open.get(identity)
            if shared is None:
                shared = cls(identity, config, address)
                cls._open[identity] = shared
            shared.users += 1
        return shared

    @classmethod
    def hold(
        cls, config: Config, address: CoordinatorAddress | None = None
    ) -> SharedClient:
        """Join until the process ends, or until ``MAX_IDLE_CLIENTS`` other clients are held."""
        identity = config.identity()
        shared = cls._held.pop(identity, None) or cls.join(config, address)
        cls._held[identity] = shared
        if len(cls._held) > MAX_IDLE_CLIENTS:
            cls._held.pop(next(iter(cls._held))).leave()
        return shared

    def leave(self) -> None:
        """Close the client if no other connection uses it."""
        with self._lock:
            self.users -= 1
            if self.users or self.pid != os.getpid():
                return
            self._open.pop(self.identity, None)
        self.client.close()

    @classmethod
    def forget(cls) -> None:
        """Drop the parent's clients in a forked child, where their loop thread does not run."""
        cls._open = {}
        cls._held = {}
        cls._lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=SharedClient.forget)
