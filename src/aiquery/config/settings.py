"""The configuration as a value: endpoints, defaults, cache, run history and budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from aiquery.config.budget import Budget
from aiquery.config.catalogs import (
    add_list_price,
    add_model_rules,
    vendor_settings,
    vendors,
)
from aiquery.config.credentials import check_key_settings
from aiquery.config.endpoint import Endpoint
from aiquery.config.environment import (
    cache_address,
    cache_folder,
    read_secret,
)
from aiquery.config.http_values import check_http_settings
from aiquery.config.local_models import add_local_task
from aiquery.config.renamed import check_renamed
from aiquery.errors import ConfigError, UnknownEndpoint
from aiquery.secrets import hide_secrets, remember_address

MEMORY = "memory:"
DEFAULT_FILE = "aiquery.toml"
DEFAULT_ORIGIN = "built-in default"
_STORE_SCHEMES = ("redis", "rediss")

Struct = TypeVar("Struct", bound=msgspec.Struct)


class Defaults(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Default endpoints for functions called without ``endpoint``: the table ``[defaults]``."""

    chat: str = "local:smollm2-135m-instruct"
    embedding: str = "local:all-minilm-l6-v2"
    rerank: str | None = None


class CacheSettings(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """The cache of answers, which sends no request twice: the table ``[cache]``.

    store      the path of a SQLite file; redis://HOST:PORT/DB for several machines; memory: for this process only;
               "$NAME" is read from the environment. Default: the variable AIQUERY_CACHE, else a file in the user's
               cache
    ttl_days   answers that are older are requested again; default: they do not expire
    max_mb     above it the least recently used answers are deleted (SQLite; Redis has its own setting)
    """

    store: str | None = None
    ttl_days: float | None = None
    max_mb: float = 10_000.0

    def __post_init__(self) -> None:
        """Remember the password of the store's address."""
        remember_address(self.store or "")

    def __repr__(self) -> str:
        """Return the settings without secrets."""
        return hide_secrets(super().__repr__())

    def address(self) -> str:
        """Return the path or URL, or ``memory:``. It may hold a password and must not be shown."""
        address = (
            self.store or cache_address() or str(cache_folder() / "answers.sqlite")
        )
        if address.startswith("$"):
            address = read_secret(address[1:], "[cache] store").reveal()
        remember_address(address)
        return _normalize_scheme(address, _STORE_SCHEMES, "[cache] store")

    def in_memory(self) -> bool:
        """Return True if answers end with the process."""
        return self.address() == MEMORY


class RunsSettings(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """Settings of the run history: the table ``[runs]``.

    store       the path of a SQLite file; memory: for this process only. Default: runs.sqlite beside the cache
    keep_days   older runs are deleted
    max_mb      above it the attempts of the oldest runs are deleted; their totals stay
    texts       whether string literals of a statement are stored; they may hold text that is sent to a model
    """

    store: str | None = None
    keep_days: float = 90.0
    max_mb: float = 1_000.0
    texts: bool = False


class Config:
    """Endpoints and settings, and the origin of each setting."""

    def __init__(
        self, document: Mapping[str, Any] | None = None, origin: str = DEFAULT_ORIGIN
    ) -> None:
        """Check ``document``, which has the tables of the file; ``origin`` is named in every error."""
        rest = dict(document or {})
        check_renamed(rest, origin)
        self.document = dict(rest)
        self.origin = origin
        rows = rest.pop("endpoints", {})
        self.defaults = _convert(
            rest.pop("defaults", {}), Defaults, f"{origin}: [defaults]"
        )
        self.cache = _convert(
            rest.pop("cache", {}), CacheSettings, f"{origin}: [cache]"
        )
        self.runs = _convert(rest.pop("runs", {}), RunsSettings, f"{origin}: [runs]")
        self.budget = _convert(rest.pop("budget", {}), Budget, f"{origin}: [budget]")
        if rest:
            known = "endpoints, defaults, cache, runs, budget"
            raise ConfigError(
                f"{origin}: unknown table or setting {next(iter(rest))!r}; known: {known}"
            )
        self.endpoints: dict[str, Endpoint] = {}
        _check_is_table(rows, f"{origin}: [endpoints]")
        for name, row in rows.items():
            where = f"{origin}: [endpoints.{name}]"
            _check_is_table(row, where)
            settings = add_local_task({"name": name, "model": name, **row})
            settings = add_model_rules(settings)
            endpoint = _convert(settings, Endpoint, where)
            check_key_settings(endpoint, where)
            check_http_settings(endpoint, where)
            self.endpoints[name] = add_list_price(endpoint)

    def __repr__(self) -> str:
        """Name the source and the endpoints."""
        return hide_secrets(
            f"Config({self.origin!r}, endpoints={sorted(self.endpoints)})"
        )

    def endpoint(self, name: str) -> Endpoint:
        """Return the endpoint ``name``: a configured one, or ``vendor:model``. Raises ``UnknownEndpoint``."""
        configured = self.endpoints.get(name)
        if configured is not None:
            return configured
        vendor, colon, model = name.partition(":")
        row = vendor_settings(vendor)
        if colon and model and row is not None:
            row = add_local_task({"name": name, "model": model, **row})
            row = add_model_rules(row)
            endpoint = _convert(row, Endpoint, f"vendor {vendor!r}")
            return add_list_price(endpoint)
        raise UnknownEndpoint(self._unknown(name))

    def _unknown(self, name: str) -> str:
        known = [*self.endpoints, self.defaults.chat]
        nearest = get_close_matches(name, known, n=3, cutoff=0.5)
        hint = (
            f"did you mean {' or '.join(map(repr, nearest))}?"
            if nearest
            else f"known: {', '.join(known)}."
        )
        forms = ", ".join(f"{vendor}:MODEL" for vendor in vendors())
        where = self.origin if Path(self.origin).is_file() else DEFAULT_FILE
        return f"endpoint {name!r} is not configured; {hint} Add [endpoints.{name}] to {where}, or use one of {forms}."

    def with_endpoints(self, endpoints: Mapping[str, Endpoint]) -> Config:
        """Return a copy with these endpoints added; they replace those of the same name."""
        new = copy(self)
        new.endpoints = {**self.endpoints, **endpoints}
        return new

    def runs_path(self) -> str | None:
        """Return the path of the file of runs; None for memory only."""
        if self.runs.store is not None:
            store = _normalize_scheme(self.runs.store, (), "[runs] store")
            return None if store == MEMORY else store
        cache = self.cache.address()
        if cache == MEMORY:
            return None
        folder = cache_folder() if "://" in cache else Path(cache).parent
        return str(folder / "runs.sqlite")

    def history_settings(self) -> str:
        """Return the tables that say where runs are stored, as JSON that ``load`` reads on another machine."""
        tables = {
            name: self.document[name]
            for name in ("runs", "cache")
            if name in self.document
        }
        return msgspec.json.encode(tables).decode()

    def without_cache(self) -> Config:
        """Return a copy that caches answers in memory only, so that every request is sent again."""
        new = copy(self)
        new.cache = CacheSettings(store=MEMORY)
        return new

    def with_budget(self, **limits: float | str | None) -> Config:
        """Return a copy whose budget has these settings; None leaves a setting unchanged."""
        given = {name: value for name, value in limits.items() if value is not None}
        new = copy(self)
        new.budget = _convert(
            {**msgspec.structs.asdict(self.budget), **given}, Budget, "budget"
        )
        return new

    def identity(self) -> bytes:
        """Return a value that is the same for equal configurations, which share one client."""
        parts = [
            self.endpoints,
            self.defaults,
            self.cache,
            self.cache.address(),
            self.runs,
            self.budget,
        ]
        return msgspec.json.encode(parts, order="deterministic")

    def origin_of(self, *path: str) -> str:
        """Return where the setting at ``path`` (table, .., name) comes from: the file, the argument or the default."""
        *tables, setting = path
        row: Any = self.document
        for table in tables:
            row = row.get(table, {})
        return self.origin if setting in row else DEFAULT_ORIGIN


def _normalize_scheme(address: str, schemes: Sequence[str], setting: str) -> str:
    """Return an address with its scheme in lower case; a path as it is. Raises ``ConfigError`` for another scheme."""
    scheme, separator, rest = address.partition("://")
    if not separator:
        return address
    if scheme.lower() not in schemes:
        known = "".join(f"{name}://.., " for name in schemes)
        raise ConfigError(
            f"{setting}: {scheme}:// is not the address of a store; it is {known}the path of a file, or {MEMORY}"
        )
    return f"{scheme.lower()}://{rest}"


def _check_is_table(value: object, where: str) -> None:
    if not isinstance(value, Mapping):
        raise ConfigError(
            f"{where} must be a table of settings, not a {type(value).__name__}."
        )


def _convert(row: Mapping[str, Any], kind: type[Struct], where: str) -> Struct:
    _check_is_table(row, where)
    fields = kind.__struct_fields__
    if "api_key" in row:
        raise ConfigError(
            f"{where}: a key does not belong in a configuration; set api_key_env to the name of its "
            "variable, or api_key_file, or api_key_command."
        )
    for setting in row:
        if setting not in fields:
            nearest = get_close_matches(setting, fields, n=1)
            hint = (
                f"did you mean {nearest[0]!r}?"
                if nearest
                else f"known: {', '.join(fields)}"
            )
            raise ConfigError(f"{where}: unknown setting {setting!r}; {hint}")
    try:
        return msgspec.convert(row, kind)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {error}") from None
