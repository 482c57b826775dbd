"""Endpoint: whom to ask, within which limits, at which price. Configuration, never code; picklable; never a secret."""

from __future__ import annotations

from typing import Literal

import msgspec

Task = Literal["chat", "embedding", "custom"]


class Price(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """USD per million tokens. ``cached_input`` is what the input price is unless given.

    ``as_of`` is the date of the packaged list that it comes from, None where the configuration says it.
    """

    input: float
    output: float = 0.0
    cached_input: float | None = None
    as_of: str | None = None

    def cost_usd(self, tokens_in: int, tokens_cached: int, tokens_out: int) -> float:
        """Return the price of one attempt; cached tokens are part of ``tokens_in``."""
        cached = self.input if self.cached_input is None else self.cached_input
        fresh = max(tokens_in - tokens_cached, 0)
        return (fresh * self.input + tokens_cached * cached + tokens_out * self.output) / 1e6


class Timeout(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Seconds: to connect, between two reads, for one attempt in total, and for all attempts of a request together.

    ``outage_s``: for an endpoint that answers nobody, until what waits for it gets an error.
    """

    connect_s: float = 10.0
    read_s: float = 300.0
    total_s: float = 600.0
    request_s: float = 1800.0
    outage_s: float = 300.0


class Endpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One row of configuration: ``[endpoints.NAME]``. The field names are the keys of the file.

    name                 what ``ai_query`` is given
    provider             the wire format: openai, mlflow, local, sentence_transformers, fake, or a plugin's
    model                the model as the endpoint knows it; the endpoint's name unless given
    task                 chat, embedding, or custom
    base_url             of an HTTP endpoint, e.g. ``http://vllm.internal:8000/v1``
    api_key_env          the name of the environment variable that holds the key, never the key
    headers              sent with every request; ``"$NAME"`` as a value is read from the environment
    requests_per_minute, tokens_per_minute    never exceeded; learned from x-ratelimit-* headers unless given
    max_concurrency      this many requests in flight while there is work, fewer while it refuses; found unless given
    hedge                False: never ask a late request a second time at the end of a run
    price                USD per million tokens; unless given, what the packaged, dated list (prices.toml) says of a
                         model at its vendor's address; unknown price = tokens only, never a guessed zero
    timeout              seconds, see ``Timeout``
    tls_verify, tls_ca   whether to verify the certificate, and a file of authorities to verify it against
    proxy                URL of an HTTP proxy
    send_temperature     False for models that reject any temperature
    max_tokens           sent when the call names none
    max_attempts         tries of one request, the first included
    return_type          the DDL type of a custom endpoint's answers
    context              tokens of a prompt and its answer together, for ``ai_agg``; the provider's unless given
    dimensions           length of an embedding endpoint's vectors: then a column is FLOAT[n]
    texts_per_request    how many texts are embedded in one request; as the provider thinks best unless given
    options              what only the provider understands, e.g. slots and context of a local model
    """

    name: str = ""
    provider: str = "openai"
    model: str = ""
    task: Task = "chat"
    base_url: str | None = None
    api_key_env: str | None = None
    headers: dict[str, str] = {}
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    max_concurrency: int | None = None
    hedge: bool = True
    price: Price | None = None
    timeout: Timeout = Timeout()
    tls_verify: bool = True
    tls_ca: str | None = None
    proxy: str | None = None
    send_temperature: bool = True
    max_tokens: int | None = None
    max_attempts: int = 5
    return_type: str | None = None
    context: int | None = None
    dimensions: int | None = None
    texts_per_request: int | None = None
    options: dict[str, str | int | float | bool] = {}

    def limits(self) -> str:
        """Return what names an endpoint's limits: whoever has the same shares one."""
        own = [self.name, self.provider, self.base_url, self.api_key_env, self.max_concurrency]
        return msgspec.json.encode([*own, self.requests_per_minute, self.tokens_per_minute]).decode()

    def address(self) -> str:
        """Return what of an endpoint changes its answers, besides its model and the parameters of a call."""
        return msgspec.json.encode([self.provider, self.base_url, self.task, sorted(self.options.items())]).decode()
