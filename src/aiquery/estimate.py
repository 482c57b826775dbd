"""What a statement would ask, before it asks anything: requests, tokens, cost and time, by endpoint."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiquery.clients import count_prompt_tokens
from aiquery.errors import StoreFailed
from aiquery.requests.chat import chat_messages

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pyarrow as pa

    from aiquery.config.endpoint import Endpoint
    from aiquery.inference.client import Client
    from aiquery.interfaces import BoundCall
    from aiquery.requests.request import Request, RequestTemplate
    from aiquery.tracking.record import RunRecord, UsageBreakdown

CHARACTERS_PER_TOKEN = 4.0
"""What is assumed where the model's tokenizer is not at hand: English prose, most tokenizers of 2023 and later."""

SAMPLE = 64
"""Requests that are counted with the model's own tokenizer; the others are assumed to have as many per character."""


@dataclass(frozen=True, slots=True)
class EndpointEstimate:
    """What one endpoint would be asked.

    requests      distinct requests
    answered      those of them that are answered already, and cost nothing
    tokens_in     tokens of what is left to ask
    tokens_from   how they were found: ``the model's tokenizer``, ``as in earlier runs`` of the same function at this
                  endpoint, or ``4 characters per token``
    tokens_out    the most that the answers can have; None where no ``max_tokens`` bounds them
    expected_out  what they will have if they are as long as in earlier runs; None if there is none to go by
    cost_usd      (least, most): without and with all of ``tokens_out``; most is None where that is, and all of it where
                  the endpoint has no price
    prices_of     the date of the packaged price list, None where the configuration says the price
    seconds       at the endpoint's requests per minute, or at the throughput of the last run that asked it; None if
                  neither is known
    """

    endpoint: str
    requests: int
    answered: int
    tokens_in: int
    tokens_from: str
    tokens_out: int | None
    expected_out: int | None
    cost_usd: tuple[float, float | None] | None
    prices_of: str | None
    seconds: float | None

    @property
    def left(self) -> int:
        """The requests that would be sent."""
        return self.requests - self.answered

    def __str__(self) -> str:
        """Return one line."""
        out = "unbounded" if self.tokens_out is None else f"at most {self.tokens_out:,}"
        if self.expected_out is not None:
            out = f"about {self.expected_out:,} ({out})"
        time = "" if self.seconds is None else f", about {self.seconds:,.0f} s"
        return (
            f"{self.endpoint}: {self.requests:,} distinct requests, {self.answered:,} answered already, "
            f"{self.left:,} to ask; {self.tokens_in:,} tokens in ({self.tokens_from}), {out} out; {self._money()}{time}"
        )

    def _money(self) -> str:
        if self.cost_usd is None:
            return "no price is known"
        least, most = self.cost_usd
        money = (
            f"{least:.4f} USD and what comes out"
            if most is None
            else f"{least:.4f} to {most:.4f} USD"
        )
        return (
            money
            if self.prices_of is None
            else f"{money} (list prices of {self.prices_of})"
        )


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a statement would ask; ``exact`` where it is known, else it is at least so much."""

    endpoints: tuple[EndpointEstimate, ...]
    exact: bool

    @property
    def requests(self) -> int:
        """Distinct requests, of all endpoints."""
        return sum(figures.requests for figures in self.endpoints)

    @property
    def left(self) -> int:
        """The requests that would be sent."""
        return sum(figures.left for figures in self.endpoints)

    @property
    def cost_usd(self) -> float | None:
        """The most that it can cost; None where a price or a bound of the answers is missing."""
        most = [
            None if figures.cost_usd is None else figures.cost_usd[1]
            for figures in self.endpoints
        ]
        return None if None in most else sum(cost for cost in most if cost is not None)

    def __str__(self) -> str:
        """Return a line per endpoint."""
        lines = [str(figures) for figures in self.endpoints] or [
            "no requests are known before it runs"
        ]
        note = (
            []
            if self.exact
            else ["A lower bound: an answer decides what else is asked."]
        )
        return "\n".join([*lines, *note])


@dataclass(slots=True)
class _Part:
    """What one endpoint would be asked: the characters, the function and the size of each distinct request, by key."""

    endpoint: Endpoint
    characters: dict[bytes, int] = field(default_factory=dict)
    sizes: dict[bytes, tuple[str, int]] = field(default_factory=dict)
    around: dict[RequestTemplate, int] = field(default_factory=dict)
    sample: list[tuple[bytes, Request]] = field(default_factory=list)
    most_out: int | None = 0


class Counting:
    """Takes in what a statement would ask, from any thread."""

    def __init__(self) -> None:
        """Nothing is asked yet."""
        self._parts: dict[str, _Part] = {}
        self._lock = threading.Lock()
        self._unshared = 0

    def add(self, call: BoundCall, columns: Sequence[pa.Array]) -> None:
        """Count the first round of one batch."""
        requests = next(call.rounds(columns))
        with self._lock:
            part = self._parts.setdefault(call.endpoint.name, _Part(call.endpoint))
            for request in requests:
                _count(
                    part,
                    request.key() if request.template.cacheable else self._next_key(),
                    request,
                )

    def estimate(self, client: Client, *, exact: bool) -> Estimate:
        """Look up what is answered already, and say what is left."""
        kept = _kept(client)
        return Estimate(
            tuple(_figures(part, client, kept) for part in self._parts.values()), exact
        )

    def _next_key(self) -> bytes:
        self._unshared += 1
        return self._unshared.to_bytes(8, "big")


def _count(part: _Part, key: bytes, request: Request) -> None:
    if key in part.characters:
        return
    part.characters[key] = characters(part.endpoint, request, part.around)
    part.sizes[key] = request.template.function, request.size()
    most = most_out(part.endpoint, request.template)
    part.most_out = (
        None if part.most_out is None or most is None else part.most_out + most
    )
    if len(part.sample) < SAMPLE:
        part.sample.append((key, request))


def characters(
    endpoint: Endpoint, request: Request, around: dict[RequestTemplate, int]
) -> int:
    """Return how many characters a request has; ``around`` remembers what its prompt puts around the content."""
    content = request.content
    if endpoint.task != "chat" or not isinstance(content, str):
        return len(str(content))
    if request.template not in around:  # the same in all requests of a target
        around[request.template] = sum(
            len(str(m["content"])) for m in chat_messages(request)
        ) - len(content)
    return len(content) + around[request.template]


def most_out(endpoint: Endpoint, template: RequestTemplate) -> int | None:
    """Return the most tokens that an answer can have; None where nothing bounds it."""
    return (
        0 if endpoint.task != "chat" or template.counts else template.max_tokens or None
    )


def _figures(
    part: _Part, client: Client, kept: Sequence[RunRecord]
) -> EndpointEstimate:
    known = client.find_known(list(part.characters))
    left = [key for key in part.characters if key not in known]
    share = len(left) / max(len(part.characters), 1)
    sums = Sums(
        part.endpoint, len(part.characters), len(known), sum(part.characters[key] for key in left),
        None if part.most_out is None else round(part.most_out * share),
    )  # fmt: skip
    for key in left:
        function, size = part.sizes[key]
        sums.sizes[function] += size
        sums.left[function] += 1
    return figures(sums, kept, _tokens_per_character(part))


def _tokens_per_character(part: _Part) -> float | None:
    """Return what the model's own tokenizer says of a sample, None where it is not in this process."""
    counted = count_prompt_tokens(
        part.endpoint, [request for _, request in part.sample]
    )
    sampled = sum(part.characters[key] for key, _ in part.sample)
    return counted / sampled if counted is not None and sampled else None


@dataclass(slots=True)
class Sums:
    """What one endpoint would be asked, summed up; from ``characters`` on, of what is left to ask.

    ``tokens_out`` is the most, None where nothing bounds it; ``left`` and ``sizes`` are requests and their sizes by
    function.
    """

    endpoint: Endpoint
    requests: int = 0
    answered: int = 0
    characters: int = 0
    tokens_out: int | None = 0
    left: Counter[str] = field(default_factory=Counter)
    sizes: Counter[str] = field(default_factory=Counter)


def figures(
    sums: Sums, kept: Sequence[RunRecord], tokens_per_character: float | None = None
) -> EndpointEstimate:
    """Say what is left to ask of one endpoint, from the sums and from earlier runs."""
    tokens_in, tokens_from = _tokens(sums, kept, tokens_per_character)
    endpoint, left = sums.endpoint, sums.requests - sums.answered
    return EndpointEstimate(
        endpoint.name, sums.requests, sums.answered, tokens_in, tokens_from, sums.tokens_out,
        _as_before(endpoint, sums.left, kept, _tokens_per_answer) if left else None,
        _cost(endpoint, tokens_in, sums.tokens_out), None if endpoint.price is None else endpoint.price.as_of,
        _seconds(endpoint, left, kept),
    )  # fmt: skip


def _tokens(
    sums: Sums, kept: Sequence[RunRecord], tokens_per_character: float | None
) -> tuple[int, str]:
    if tokens_per_character is not None:
        return round(sums.characters * tokens_per_character), "the model's tokenizer"
    earlier = _as_before(
        sums.endpoint, sums.sizes, kept, lambda seen: seen.tokens_in / seen.size
    )
    if earlier is not None:
        return earlier, "as in earlier runs"
    return round(
        sums.characters / CHARACTERS_PER_TOKEN
    ), f"{CHARACTERS_PER_TOKEN:.0f} characters per token"


def _tokens_per_answer(seen: UsageBreakdown) -> float | None:
    answers = seen.endings.get("answered", 0) + seen.endings.get("truncated", 0)
    return seen.tokens_out / answers if answers else None


def _as_before(
    endpoint: Endpoint,
    amounts: Counter[str],
    kept: Sequence[RunRecord],
    rate: Callable[[UsageBreakdown], float | None],
) -> int | None:
    """Return what comes of an amount per function at the rate of its last run; None where one has no rate."""
    tokens = 0.0
    for function, amount in amounts.items():
        seen = _last(kept, endpoint.name, function)
        per = None if seen is None else rate(seen)
        if per is None:
            return None
        tokens += amount * per
    return round(tokens)


def _last(
    kept: Sequence[RunRecord], endpoint: str, function: str
) -> UsageBreakdown | None:
    for one in kept:
        for found in one.parts:
            if found.endpoint == endpoint and found.function == function and found.size:
                return found
    return None


def _cost(
    endpoint: Endpoint, tokens_in: int, tokens_out: int | None
) -> tuple[float, float | None] | None:
    if endpoint.price is None:
        return None
    least = endpoint.price.cost_usd(tokens_in, 0, 0)
    return least, None if tokens_out is None else endpoint.price.cost_usd(
        tokens_in, 0, tokens_out
    )


def _seconds(
    endpoint: Endpoint, requests: int, kept: Sequence[RunRecord]
) -> float | None:
    if endpoint.requests_per_minute is not None:
        return 60.0 * requests / endpoint.requests_per_minute
    for one in kept:
        answered = sum(
            part.endings.get("answered", 0)
            for part in one.parts
            if part.endpoint == endpoint.name
        )
        if answered:
            return requests * one.progress.seconds / answered
    return None


def _kept(client: Client) -> list[RunRecord]:
    try:
        kept: list[RunRecord] = client.read_history(lambda store: store.runs())
    except StoreFailed:
        return []  # an estimate does without earlier runs
    return kept
