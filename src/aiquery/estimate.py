"""Estimate a statement before it runs: requests, tokens, cost and time, by endpoint."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiquery.clients import count_prompt_tokens
from aiquery.errors import StoreFailed
from aiquery.renamed import rename_attributes
from aiquery.requests.chat import build_messages

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pyarrow as pa

    from aiquery.config.endpoint import Endpoint
    from aiquery.inference.client import Client
    from aiquery.interfaces import BoundCall
    from aiquery.requests.request import Request, RequestTemplate
    from aiquery.tracking.record import RunRecord, UsageBreakdown

CHARACTERS_PER_TOKEN = 4.0
"""Assumed without the model's tokenizer: English prose, most tokenizers of 2023 and later."""

SAMPLE_SIZE = 64
"""Requests that are counted with the model's tokenizer; the others are assumed to have as many tokens per character."""


@rename_attributes(
    answered="cache_hits",
    left="requests_to_send",
    tokens_from="tokens_source",
    tokens_out="max_output_tokens",
    expected_out="expected_output_tokens",
)
@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointEstimate:
    """The estimate of one endpoint.

    Attributes
    ----------
    requests
        Distinct requests.
    cache_hits
        Those of them whose answer is cached, at no cost.
    tokens_in
        Input tokens of the requests to send.
    tokens_source
        How they were counted: ``the model's tokenizer``, ``as in earlier runs`` of the same function at this
        endpoint, or ``4 characters per token``.
    max_output_tokens
        The highest number of output tokens; None if no ``max_tokens`` bounds it.
    expected_output_tokens
        Output tokens if the answers are as long as in earlier runs; None without such a run.
    cost_usd
        (lowest, highest): without and with all of ``max_output_tokens``; the highest is None if that is, and
        all of it is None if the endpoint has no price.
    prices_of
        The date of the packaged price list; None for a price from the configuration.
    seconds
        At the endpoint's requests per minute, or at the throughput of its last run; None if neither is known.
    """

    endpoint: str
    requests: int
    cache_hits: int
    tokens_in: int
    tokens_source: str
    max_output_tokens: int | None
    expected_output_tokens: int | None
    cost_usd: tuple[float, float | None] | None
    prices_of: str | None
    seconds: float | None

    @property
    def requests_to_send(self) -> int:
        """The requests that would be sent."""
        return self.requests - self.cache_hits

    def __str__(self) -> str:
        """Return one line."""
        out = "unbounded"
        if self.max_output_tokens is not None:
            out = f"at most {self.max_output_tokens:,}"
        if self.expected_output_tokens is not None:
            out = f"about {self.expected_output_tokens:,} ({out})"
        time = "" if self.seconds is None else f", about {self.seconds:,.0f} s"
        return (
            f"{self.endpoint}: {self.requests:,} distinct requests, {self.cache_hits:,} cached, "
            f"{self.requests_to_send:,} to send; {self.tokens_in:,} tokens in "
            f"({self.tokens_source}), {out} out; {self._describe_cost()}{time}"
        )

    def _describe_cost(self) -> str:
        if self.cost_usd is None:
            return "no price is known"
        lowest, highest = self.cost_usd
        if highest is None:
            cost = f"{lowest:.4f} USD plus the output"
        else:
            cost = f"{lowest:.4f} to {highest:.4f} USD"
        return (
            cost
            if self.prices_of is None
            else f"{cost} (list prices of {self.prices_of})"
        )


@rename_attributes(left="requests_to_send")
@dataclass(frozen=True, slots=True)
class Estimate:
    """The estimate of a statement; without ``exact`` it is a lower bound.

    worst_case  of a statement that is asked in waves, if no row passes; None if it is not, or if that is not known
    """

    endpoints: tuple[EndpointEstimate, ...]
    exact: bool
    worst_case: Estimate | None = None

    @property
    def requests(self) -> int:
        """Distinct requests of all endpoints."""
        return sum(one.requests for one in self.endpoints)

    @property
    def requests_to_send(self) -> int:
        """The requests that would be sent."""
        return sum(one.requests_to_send for one in self.endpoints)

    @property
    def cost_usd(self) -> float | None:
        """The highest cost in USD; None if a price or a bound of the output is missing."""
        total = 0.0
        for one in self.endpoints:
            if one.cost_usd is None or one.cost_usd[1] is None:
                return None
            total += one.cost_usd[1]
        return total

    def __str__(self) -> str:
        """Return a line per endpoint."""
        lines = [str(one) for one in self.endpoints]
        if not lines:
            lines = ["no requests are known before it runs"]
        if not self.exact:
            lines.append("A lower bound: an answer decides about further requests.")
        if self.worst_case is not None:
            lines.append(f"At worst, if no row passes: {self.worst_case}")
        return "\n".join(lines)


@dataclass(kw_only=True, slots=True)
class EndpointSums:
    """Sums over the requests of one endpoint. All but the first two are of the requests to send.

    max_output_tokens   None if an answer is unbounded
    to_send, sizes      requests and their sizes by function
    """

    endpoint: Endpoint
    requests: int = 0
    cache_hits: int = 0
    characters: int = 0
    max_output_tokens: int | None = 0
    to_send: Counter[str] = field(default_factory=Counter)
    sizes: Counter[str] = field(default_factory=Counter)


@dataclass(kw_only=True, slots=True)
class _CountedRequests:
    """The distinct requests of one endpoint: characters, function and size by key, and a sample."""

    endpoint: Endpoint
    characters: dict[bytes, int] = field(default_factory=dict)
    sizes: dict[bytes, tuple[str, int]] = field(default_factory=dict)
    prompt_sizes: dict[RequestTemplate, int] = field(default_factory=dict)
    sample: list[tuple[bytes, Request]] = field(default_factory=list)
    max_output_tokens: int | None = 0

    def add(self, key: bytes, request: Request) -> None:
        if key in self.characters:
            return
        self.characters[key] = count_characters(
            self.endpoint, request, self.prompt_sizes
        )
        self.sizes[key] = (request.template.function, request.size())
        most = max_output_tokens(self.endpoint, request.template)
        if most is None or self.max_output_tokens is None:
            self.max_output_tokens = None
        else:
            self.max_output_tokens += most
        if len(self.sample) < SAMPLE_SIZE:
            self.sample.append((key, request))

    def sums(self, known: set[bytes]) -> EndpointSums:
        to_send = [key for key in self.characters if key not in known]
        sums = EndpointSums(endpoint=self.endpoint)
        sums.requests = len(self.characters)
        sums.cache_hits = len(known)
        sums.characters = sum(self.characters[key] for key in to_send)
        share = len(to_send) / max(len(self.characters), 1)
        if self.max_output_tokens is None:
            sums.max_output_tokens = None
        else:
            sums.max_output_tokens = round(self.max_output_tokens * share)
        for key in to_send:
            function, size = self.sizes[key]
            sums.sizes[function] += size
            sums.to_send[function] += 1
        return sums

    def tokens_per_character(self) -> float | None:
        """Count a sample with the model's tokenizer; None if it is not in this process."""
        sample = [request for _, request in self.sample]
        tokens = count_prompt_tokens(self.endpoint, sample)
        characters = sum(self.characters[key] for key, _ in self.sample)
        if tokens is None or not characters:
            return None
        return tokens / characters


class RequestCounter:
    """Counts the requests of a statement, from any thread."""

    def __init__(self) -> None:
        """Start without a request."""
        self._counted: dict[str, _CountedRequests] = {}
        self._lock = threading.Lock()
        self._unshared = 0

    def add(self, call: BoundCall, columns: Sequence[pa.Array]) -> None:
        """Count the first round of one batch."""
        requests = next(call.rounds(columns))
        name = call.endpoint.name
        with self._lock:
            if name not in self._counted:
                self._counted[name] = _CountedRequests(endpoint=call.endpoint)
            for request in requests:
                self._counted[name].add(self._key(request), request)

    def _key(self, request: Request) -> bytes:
        """Return the request's key; a request that is not cacheable is never equal to another."""
        if request.template.cacheable:
            return request.key()
        self._unshared += 1
        return self._unshared.to_bytes(8, "big")

    def has_requests(self) -> bool:
        """Return True if a request was counted."""
        return any(one.characters for one in self._counted.values())

    def mean_characters(self) -> float:
        """Return the mean number of characters of a request; 0 without a request."""
        counted = [
            size for one in self._counted.values() for size in one.characters.values()
        ]
        return sum(counted) / max(len(counted), 1)

    def estimate(self, client: Client, *, exact: bool) -> Estimate:
        """Look up which answers are cached, and estimate the other requests."""
        history = _read_history(client)
        estimates = []
        for counted in self._counted.values():
            known = client.find_known(list(counted.characters))
            rate = counted.tokens_per_character()
            estimates.append(estimate_endpoint(counted.sums(known), history, rate))
        return Estimate(tuple(estimates), exact)


def _read_history(client: Client) -> list[RunRecord]:
    try:
        history: list[RunRecord] = client.read_history(lambda store: store.runs())
    except StoreFailed:
        return []  # an estimate is possible without earlier runs
    return history


def count_characters(
    endpoint: Endpoint, request: Request, prompt_sizes: dict[RequestTemplate, int]
) -> int:
    """Return the characters of a request; ``prompt_sizes`` caches those of the prompt around the content."""
    content = request.content
    if endpoint.task != "chat" or not isinstance(content, str):
        return len(str(content))
    if request.template not in prompt_sizes:
        messages = build_messages(request)
        whole = sum(len(str(message["content"])) for message in messages)
        prompt_sizes[request.template] = whole - len(content)
    return len(content) + prompt_sizes[request.template]


def max_output_tokens(endpoint: Endpoint, template: RequestTemplate) -> int | None:
    """Return the highest number of tokens of an answer; None if it is unbounded."""
    if endpoint.task != "chat" or template.counts:
        return 0
    return template.max_tokens or None


def estimate_endpoint(
    sums: EndpointSums,
    history: Sequence[RunRecord],
    tokens_per_character: float | None = None,
) -> EndpointEstimate:
    """Return the estimate of one endpoint, from the sums and from earlier runs."""
    endpoint = sums.endpoint
    tokens_in, source = _estimate_tokens_in(sums, history, tokens_per_character)
    to_send = sums.requests - sums.cache_hits
    expected = None
    if to_send:
        expected = _scale_history(endpoint, sums.to_send, history, _tokens_per_answer)
    return EndpointEstimate(
        endpoint=endpoint.name,
        requests=sums.requests,
        cache_hits=sums.cache_hits,
        tokens_in=tokens_in,
        tokens_source=source,
        max_output_tokens=sums.max_output_tokens,
        expected_output_tokens=expected,
        cost_usd=_estimate_cost(endpoint, tokens_in, sums.max_output_tokens),
        prices_of=None if endpoint.price is None else endpoint.price.as_of,
        seconds=_estimate_seconds(endpoint, to_send, history),
    )


def _estimate_tokens_in(
    sums: EndpointSums, history: Sequence[RunRecord], tokens_per_character: float | None
) -> tuple[int, str]:
    if tokens_per_character is not None:
        return round(sums.characters * tokens_per_character), "the model's tokenizer"
    earlier = _scale_history(sums.endpoint, sums.sizes, history, _tokens_per_size)
    if earlier is not None:
        return earlier, "as in earlier runs"
    assumed = f"{CHARACTERS_PER_TOKEN:.0f} characters per token"
    return round(sums.characters / CHARACTERS_PER_TOKEN), assumed


def _tokens_per_size(usage: UsageBreakdown) -> float | None:
    return usage.tokens_in / usage.size


def _tokens_per_answer(usage: UsageBreakdown) -> float | None:
    answers = usage.endings.get("answered", 0) + usage.endings.get("truncated", 0)
    return usage.tokens_out / answers if answers else None


def _scale_history(
    endpoint: Endpoint,
    amounts: Counter[str],
    history: Sequence[RunRecord],
    rate: Callable[[UsageBreakdown], float | None],
) -> int | None:
    """Return the tokens of an amount per function at the rate of its last run; None if one has no rate."""
    tokens = 0.0
    for function, amount in amounts.items():
        usage = _last_usage(history, endpoint.name, function)
        per_unit = None if usage is None else rate(usage)
        if per_unit is None:
            return None
        tokens += amount * per_unit
    return round(tokens)


def _last_usage(
    history: Sequence[RunRecord], endpoint: str, function: str
) -> UsageBreakdown | None:
    for usage in (part for record in history for part in record.parts):
        if (usage.endpoint, usage.function) == (endpoint, function) and usage.size:
            return usage
    return None


def _estimate_cost(
    endpoint: Endpoint, tokens_in: int, output_tokens: int | None
) -> tuple[float, float | None] | None:
    if endpoint.price is None:
        return None
    lowest = endpoint.price.cost_usd(tokens_in, 0, 0)
    if output_tokens is None:
        return lowest, None
    return lowest, endpoint.price.highest_usd(tokens_in, output_tokens)


def _estimate_seconds(
    endpoint: Endpoint, requests: int, history: Sequence[RunRecord]
) -> float | None:
    if endpoint.requests_per_minute is not None:
        return 60.0 * requests / endpoint.requests_per_minute
    for record in history:
        mine = [part for part in record.parts if part.endpoint == endpoint.name]
        answered = sum(part.endings.get("answered", 0) for part in mine)
        if answered:
            return requests * record.progress.seconds / answered
    return None
