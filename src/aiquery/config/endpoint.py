"""The settings of one endpoint: address, limits, timeouts and price. Picklable, and shows no secret."""

from __future__ import annotations

import math
from hashlib import blake2b
from typing import Literal

import msgspec

from aiquery.secrets import (
    MASK,
    hide_secrets,
    is_secret_name,
    remember_address,
    remember_header,
)

DIRECT = "direct"
"""In place of a proxy's URL: the endpoint is reached without a proxy, whatever the environment says."""

Task = Literal["chat", "embedding", "rerank", "custom"]
Structured = Literal["auto", "json_schema", "tool", "json_object", "prompt"]


class Price(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Price in USD per million tokens.

    cached_input    of tokens that the endpoint's cache had; default: ``input``
    cache_write     of tokens that were written to its cache; default: ``input``
    as_of           the date of the packaged price list; None for a price from the configuration
    """

    input: float
    output: float = 0.0
    cached_input: float | None = None
    cache_write: float | None = None
    as_of: str | None = None

    def __post_init__(self) -> None:
        """Raise ``ValueError`` for a price that is negative or no number."""
        for name in ("input", "output", "cached_input", "cache_write"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise ValueError(f"{name} must be a number of USD, not {value}")

    def cost_usd(
        self,
        tokens_in: int,
        tokens_cached: int,
        tokens_out: int,
        tokens_written: int = 0,
    ) -> float:
        """Return the price of one attempt in USD. Cached and written tokens are part of ``tokens_in``."""
        cached = self.input if self.cached_input is None else self.cached_input
        written = self.input if self.cache_write is None else self.cache_write
        fresh = max(tokens_in - tokens_cached - tokens_written, 0)
        total = fresh * self.input + tokens_cached * cached
        total += tokens_written * written + tokens_out * self.output
        return total / 1e6

    def highest_usd(self, tokens_in: int, tokens_out: int) -> float:
        """Return the most that a request with these tokens can cost in USD."""
        return max(
            self.cost_usd(tokens_in, 0, tokens_out),
            self.cost_usd(tokens_in, 0, tokens_out, tokens_in),
        )


class Timeout(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Timeouts in seconds.

    connect_s    to open a connection
    read_s       between two reads
    attempt_s    for one attempt
    total_s      for all attempts of a request
    outage_s     how long an endpoint may answer no request before the waiting requests fail
    """

    connect_s: float = 10.0
    read_s: float = 300.0
    attempt_s: float = 600.0
    total_s: float = 1800.0
    outage_s: float = 300.0


class Endpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One table of the configuration: ``[endpoints.NAME]``. The field names are the keys of the file.

    name                 the name that ``ai_query`` is given
    provider             the wire format: openai, anthropic, gemini, bedrock, mlflow, local, sentence_transformers,
                         fake, or a plugin's
    model                the name of the model at the endpoint; default: the endpoint's name
    task                 chat, embedding, rerank, or custom; default: chat, or that of a known local model
    base_url             address of an HTTP endpoint, e.g. ``http://vllm.internal:8000/v1``
    api_key_env          name of the environment variable that holds the key; the key itself is not allowed here
    api_key_file         in place of it: the file that holds the key, e.g. a mounted secret
    api_key_command      in place of it: a command that prints the key, e.g. a token of a cloud; it runs without a shell
    headers              sent with every request; a value ``"$NAME"`` is read from the environment
    requests_per_minute, tokens_per_minute    never exceeded; default: learned from x-ratelimit-* headers
    max_concurrency      highest number of requests in flight; fewer while the endpoint is throttled. Default: found by
                         measuring throughput
    hedge                False: never send a late request a second time at the end of a run
    price                USD per million tokens; default: the packaged, dated list (prices.toml) for a model at its
                         vendor's address. Without a price only tokens are counted, never a cost of zero
    timeout              seconds, see ``Timeout``
    tls_verify, tls_ca   whether to verify the certificate, and a file of authorities to verify it against
    tls_cert, tls_key    files of a client's certificate and of its key, for servers that ask for one
    proxy                URL of an HTTP proxy, or direct; default: the variables HTTPS_PROXY, HTTP_PROXY and NO_PROXY
    send_temperature     False for models that reject any temperature
    structured           how a reply of a given form is constrained: json_schema, tool, json_object or prompt (by words
                         only); default: auto, the first of them that the model takes
    max_tokens           sent when the call names none
    max_attempts         highest number of attempts of one request, the first included
    return_type          the DDL type of a custom endpoint's answers
    context_window       tokens of a prompt and its answer together, for ``ai_agg``; default: the provider's
    dimensions           length of an embedding endpoint's vectors: then a column is FLOAT[n]
    max_batch_size       texts in one embedding request; default: the provider's
    options              settings of the provider, e.g. slots of a local model, or the region of an address at AWS
    """

    name: str = ""
    provider: str = "openai"
    model: str = ""
    task: Task = "chat"
    base_url: str | None = None
    api_key_env: str | None = None
    api_key_file: str | None = None
    api_key_command: str | None = None
    headers: dict[str, str] = {}
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    max_concurrency: int | None = None
    hedge: bool = True
    price: Price | None = None
    timeout: Timeout = Timeout()
    tls_verify: bool = True
    tls_ca: str | None = None
    tls_cert: str | None = None
    tls_key: str | None = None
    proxy: str | None = None
    send_temperature: bool = True
    structured: Structured = "auto"
    max_tokens: int | None = None
    max_attempts: int = 5
    return_type: str | None = None
    context_window: int | None = None
    dimensions: int | None = None
    max_batch_size: int | None = None
    options: dict[str, str | int | float | bool] = {}

    def __post_init__(self) -> None:
        """Remember the secrets of the addresses and of the headers."""
        for address in (self.base_url, self.proxy):
            remember_address(address or "")
        for name, value in self.headers.items():
            if is_secret_name(name) and not value.startswith("$"):
                remember_header(value)

    def __repr__(self) -> str:
        """Return the settings without secrets; a header has its name only."""
        names = dict.fromkeys(self.headers, MASK)
        shown = {**msgspec.structs.asdict(self), "headers": names}
        if self.api_key_command is not None:
            shown["api_key_command"] = MASK  # its arguments may be secrets
        settings = ", ".join(f"{name}={value!r}" for name, value in shown.items())
        return hide_secrets(f"Endpoint({settings})")

    def __rich_repr__(self) -> list[tuple[str, object]]:
        """Return the settings as ``repr`` shows them."""
        return [("settings", repr(self))]

    def limits(self) -> str:
        """Return the identity of the endpoint's limits: endpoints with the same value share them."""
        own: list[object] = [
            self.name,
            self.provider,
            self.base_url,
            self.api_key_env or self.api_key_file or self.api_key_command,
            self.max_concurrency,
        ]
        own += [self.requests_per_minute, self.tokens_per_minute]
        # An address, or a command that prints a key, may hold a secret.
        return blake2b(msgspec.json.encode(own), digest_size=16).hexdigest()

    def address(self) -> str:
        """Return the settings that change answers, besides the model and the parameters of a call."""
        return msgspec.json.encode(
            [self.provider, self.base_url, self.task, sorted(self.options.items())]
        ).decode()
