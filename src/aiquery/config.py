"""Configuration: the only reader of the environment and of files.

Found in this order, the first one wins: an argument (a path, a mapping, its JSON, or a
``Config``), the file that the variable ``AIQUERY_CONFIG`` names, ``./aiquery.toml``, ``config.toml`` in the user's
configuration folder, the built-in defaults. A key is always given by the *name* of its environment variable.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from copy import copy
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec
from platformdirs import user_cache_path, user_config_path

from aiquery.budget import Budget
from aiquery.endpoint import Endpoint, Price
from aiquery.errors import ConfigError, MissingKey, UnknownEndpoint

VARIABLE = "AIQUERY_CONFIG"
ANSWERS_VARIABLE = "AIQUERY_ANSWERS"
COORDINATOR_VARIABLE = "AIQUERY_COORDINATOR"
MEMORY = "memory:"
FILE = "aiquery.toml"
DEFAULTS = "built-in default"

Struct = TypeVar("Struct", bound=msgspec.Struct)


class Defaults(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which endpoint a function uses that names none."""

    chat: str = "local:smollm2-135m-instruct"
    embedding: str = "sentence_transformers:all-minilm-l6-v2"


class AnswersSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where answers are kept, so that nothing is asked twice: the table ``[answers]``.

    store      the path of a SQLite file; redis://HOST:PORT/DB for several machines; memory: for this process only;
               "$NAME" is read from the environment. Default: what AIQUERY_ANSWERS says, else a file in the user's cache
    ttl_days   an older answer is asked again; none unless given
    max_mb     above it the least recently used answers go (SQLite; Redis has its own setting)
    """

    store: str | None = None
    ttl_days: float | None = None
    max_mb: float = 10_000.0

    def place(self) -> str:
        """Return the path or URL, or ``memory:``; it may hold a password and is never shown."""
        place = self.store or os.environ.get(ANSWERS_VARIABLE) or str(cache_folder() / "answers.sqlite")
        return _variable(place[1:], "[answers] store") if place.startswith("$") else place

    def in_memory(self) -> bool:
        """Say whether answers end with the process."""
        return self.place() == MEMORY


class RunsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where is kept what each statement did: the table ``[runs]``.

    store       the path of a SQLite file; memory: for this process only. Default: runs.sqlite beside the answers' file
    keep_days   an older run is forgotten
    max_mb      above it the attempts of the oldest runs go, their totals stay
    texts       whether string literals of a statement are kept; they may be, or hold, what a model is asked
    """

    store: str | None = None
    keep_days: float = 90.0
    max_mb: float = 1_000.0
    texts: bool = False


class Credentials(msgspec.Struct, frozen=True):
    """What an endpoint is sent besides the request. Its ``repr`` shows no value."""

    key: str | None = None
    headers: dict[str, str] = {}

    def __repr__(self) -> str:
        """Show what is there, never its value."""
        return f"Credentials(key={'***' if self.key else None}, headers={sorted(self.headers)})"


class Config:
    """Endpoints and defaults, and where each setting came from."""

    def __init__(self, document: Mapping[str, Any] | None = None, origin: str = DEFAULTS) -> None:
        """Check ``document``, whose tables are those of the file; ``origin`` is named in every error."""
        rest = dict(document or {})
        self.document = dict(rest)
        self.origin = origin
        rows = rest.pop("endpoints", {})
        self.defaults = _convert(rest.pop("defaults", {}), Defaults, f"{origin}: [defaults]")
        self.answers = _convert(rest.pop("answers", {}), AnswersSettings, f"{origin}: [answers]")
        self.runs = _convert(rest.pop("runs", {}), RunsSettings, f"{origin}: [runs]")
        self.budget = _convert(rest.pop("budget", {}), Budget, f"{origin}: [budget]")
        if rest:
            known = "endpoints, defaults, answers, runs, budget"
            raise ConfigError(f"{origin}: unknown table or setting {next(iter(rest))!r}; known: {known}")
        self.endpoints: dict[str, Endpoint] = {
            name: _priced(_convert({"name": name, "model": name, **row}, Endpoint, f"{origin}: [endpoints.{name}]"))
            for name, row in rows.items()
        }

    def __repr__(self) -> str:
        """Name the source and the endpoints; an endpoint holds no secret."""
        return f"Config({self.origin!r}, endpoints={sorted(self.endpoints)})"

    def endpoint(self, name: str) -> Endpoint:
        """Return the endpoint ``name``: a configured one, or ``vendor:model``; raise ``UnknownEndpoint``."""
        configured = self.endpoints.get(name)
        if configured is not None:
            return configured
        vendor, colon, model = name.partition(":")
        row = vendors().get(vendor)
        if colon and model and row is not None:
            return _priced(_convert({"name": name, "model": model, **row}, Endpoint, f"vendor {vendor!r}"))
        raise UnknownEndpoint(self._unknown(name))

    def _unknown(self, name: str) -> str:
        known = [*self.endpoints, self.defaults.chat]
        nearest = get_close_matches(name, known, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(map(repr, nearest))}?" if nearest else f"known: {', '.join(known)}."
        forms = ", ".join(f"{vendor}:MODEL" for vendor in vendors())
        where = self.origin if Path(self.origin).is_file() else FILE
        return f"endpoint {name!r} is not configured; {hint} Add [endpoints.{name}] to {where}, or use one of {forms}."

    def with_endpoints(self, endpoints: Mapping[str, Endpoint]) -> Config:
        """Return a copy that knows these endpoints too; they replace those of the same name."""
        new = copy(self)
        new.endpoints = {**self.endpoints, **endpoints}
        return new

    def runs_place(self) -> str | None:
        """Return the path of the file of runs; None for memory only."""
        answers = self.answers.place()
        if self.runs.store is not None:
            return None if self.runs.store == MEMORY else self.runs.store
        if answers == MEMORY:
            return None
        folder = cache_folder() if "://" in answers else Path(answers).parent
        return str(folder / "runs.sqlite")

    def runs_told(self) -> str:
        """Return the tables that say where runs are kept, as JSON that ``load`` reads on another machine."""
        kept = {name: self.document[name] for name in ("runs", "answers") if name in self.document}
        return msgspec.json.encode(kept).decode()

    def without_store(self) -> Config:
        """Return a copy that keeps answers in memory only, so that everything is asked anew."""
        new = copy(self)
        new.answers = AnswersSettings(store=MEMORY)
        return new

    def with_budget(self, **limits: float | str | None) -> Config:
        """Return a copy whose budget has these settings (None: as it was)."""
        given = {name: value for name, value in limits.items() if value is not None}
        new = copy(self)
        new.budget = _convert({**msgspec.structs.asdict(self.budget), **given}, Budget, "budget")
        return new

    def identity(self) -> bytes:
        """Return what two equal configurations have in common: they share one run."""
        parts = [self.endpoints, self.defaults, self.answers, self.answers.place(), self.runs, self.budget]
        return msgspec.json.encode(parts, order="deterministic")

    def came_from(self, *path: str) -> str:
        """Return where the setting at ``path`` (table, .., name) came from: the file or argument, or the default."""
        *tables, setting = path
        row: Any = self.document
        for table in tables:
            row = row.get(table, {})
        return self.origin if setting in row else DEFAULTS


def load(source: Any = None) -> Config:  # noqa: ANN401  a path, a mapping, JSON, a Config, or None
    """Return the configuration from ``source``, or from the first of the places that the module names."""
    if isinstance(source, Config):
        return source
    if isinstance(source, Mapping):
        return Config(source, "argument")
    if isinstance(source, str) and source.lstrip().startswith("{"):
        return Config(_decoded(source), "argument")
    return _found() if source is None else _read(Path(source))


def _found() -> Config:
    named = os.environ.get(VARIABLE)
    if named:
        return _read(Path(named), f" (named by {VARIABLE})")
    for path in (Path(FILE), user_config_path("aiquery") / "config.toml"):
        if path.is_file():
            return _read(path)
    return Config()


def credentials(endpoint: Endpoint) -> Credentials:
    """Return the key and headers of an endpoint, read from the environment now; raise ``MissingKey``."""
    headers = {
        name: _variable(value[1:], f"endpoint {endpoint.name!r}: header {name}") if value.startswith("$") else value
        for name, value in endpoint.headers.items()
    }
    key = _variable(endpoint.api_key_env, f"endpoint {endpoint.name!r}: api_key_env") if endpoint.api_key_env else None
    return Credentials(key, headers)


def has_key(endpoint: Endpoint) -> bool:
    """Say whether the variable of the endpoint's key is set (True where none is needed)."""
    return not endpoint.api_key_env or bool(os.environ.get(endpoint.api_key_env))


class Coordinated(NamedTuple):
    """Where the coordinator of a cluster listens, and what it wants to hear first."""

    host: str
    port: int
    token: str


def coordinated() -> Coordinated | None:
    """Return the coordinator that ``AIQUERY_COORDINATOR`` (token@host:port, set by the driver) names, if any."""
    token, found, place = os.environ.get(COORDINATOR_VARIABLE, "").partition("@")
    host, _, port = place.rpartition(":")
    return Coordinated(host, int(port), token) if found else None


def cache_folder() -> Path:
    """Return the folder for what can be fetched or computed again."""
    return user_cache_path("aiquery", ensure_exists=True)


def java_home() -> str | None:
    """Return what JAVA_HOME names."""
    return os.environ.get("JAVA_HOME")


def set_java_home(folder: Path) -> None:
    """Let Spark, which reads JAVA_HOME, find the Java runtime in ``folder``."""
    os.environ["JAVA_HOME"] = str(folder)


def spark_local_folder() -> Path | None:
    """Return the folder that a Spark executor shares with its Python workers."""
    folders = os.environ.get("SPARK_LOCAL_DIRS")
    return Path(folders.split(",")[0]) if folders else None


def worker_python(python: str) -> str:
    """Return what runs PySpark's own Python workers: what PYSPARK_PYTHON says, which becomes ``python`` if unset."""
    return os.environ.setdefault("PYSPARK_PYTHON", python)


def endpoint_from_text(text: str, name: str, config: Config) -> Endpoint:
    """Return the endpoint that ``text`` means: a URL (an OpenAI-compatible server), a configured name, vendor:model."""
    if text.startswith(("http://", "https://")):
        return Endpoint(name=name, model=name, base_url=text)
    return msgspec.structs.replace(config.endpoint(text), name=name)


@cache
def vendors() -> dict[str, dict[str, Any]]:
    """Return the packaged rows of vendors.toml."""
    return tomllib.loads(files("aiquery").joinpath("vendors.toml").read_text("utf-8"))


@cache
def prices() -> dict[str, dict[str, Any]]:
    """Return the packaged lists of prices.toml, by vendor."""
    return tomllib.loads(files("aiquery").joinpath("prices.toml").read_text("utf-8"))


def _priced(endpoint: Endpoint) -> Endpoint:
    """Return an endpoint with the list price of its model, if it is at the vendor's address and names no price."""
    if endpoint.price is not None or endpoint.base_url is None:
        return endpoint
    for vendor, listed in prices().items():
        price = listed["models"].get(endpoint.model)
        if price is not None and endpoint.base_url.rstrip("/") == vendors()[vendor]["base_url"]:
            return msgspec.structs.replace(endpoint, price=Price(**price, as_of=listed["as_of"]))
    return endpoint


def _variable(name: str, setting: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise MissingKey(
            f"{setting} names the environment variable {name}, which is not set. Set it: export {name}=..."
        )
    return value


def _read(path: Path, how: str = "") -> Config:
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"configuration {path}{how} cannot be read: {error}") from None
    return Config(document, str(path))


def _decoded(text: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise ConfigError(f"the configuration is no JSON object: {error}") from None


def _convert(row: Mapping[str, Any], kind: type[Struct], where: str) -> Struct:
    fields = kind.__struct_fields__
    if "api_key" in row:
        raise ConfigError(f"{where}: a key does not belong in a file; set api_key_env to the name of its variable.")
    for setting in row:
        if setting not in fields:
            nearest = get_close_matches(setting, fields, n=1)
            hint = f"did you mean {nearest[0]!r}?" if nearest else f"known: {', '.join(fields)}"
            raise ConfigError(f"{where}: unknown setting {setting!r}; {hint}")
    try:
        return msgspec.convert(row, kind)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {error}") from None
