"""What a statement would ask, before it asks anything: requests, tokens, cost and time, by endpoint."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from aiquery.evaluate import prompt_tokens
from aiquery.prompt import chat_messages

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from aiquery.endpoint import Endpoint
    from aiquery.inference.run import Run
    from aiquery.plugins import Call
    from aiquery.request import Request, Target

CHARACTERS_PER_TOKEN = 4.0
"""What is assumed where the model's tokenizer is not at hand: English prose, most tokenizers of 2023 and later."""

SAMPLE = 64
"""Requests that are counted with the model's own tokenizer; the others are assumed to have as many per character."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What one endpoint would be asked.

    requests      distinct requests
    answered      those of them that are answered already, and cost nothing
    tokens_in     tokens of what is left to ask
    tokens_from   how they were found: ``the model's tokenizer``, or ``4 characters per token``
    tokens_out    the most that the answers can have; None where no ``max_tokens`` bounds them
    cost_usd      (least, most): without and with all of ``tokens_out``; most is None where that is, and all of it where
                  the endpoint has no price
    seconds       at the endpoint's requests per minute, or at the throughput that this run has seen; None if neither is
                  known
    """

    endpoint: str
    requests: int
    answered: int
    tokens_in: int
    tokens_from: str
    tokens_out: int | None
    cost_usd: tuple[float, float | None] | None
    seconds: float | None

    @property
    def left(self) -> int:
        """The requests that would be sent."""
        return self.requests - self.answered

    def __str__(self) -> str:
        """Return one line."""
        out = "unbounded" if self.tokens_out is None else f"at most {self.tokens_out:,}"
        time = "" if self.seconds is None else f", about {self.seconds:,.0f} s"
        return (
            f"{self.endpoint}: {self.requests:,} distinct requests, {self.answered:,} answered already, "
            f"{self.left:,} to ask; {self.tokens_in:,} tokens in ({self.tokens_from}), {out} out; {self._money()}{time}"
        )

    def _money(self) -> str:
        if self.cost_usd is None:
            return "no price is known"
        least, most = self.cost_usd
        return f"{least:.4f} USD and what comes out" if most is None else f"{least:.4f} to {most:.4f} USD"


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a statement would ask; ``exact`` where it is known, else it is at least so much."""

    endpoints: tuple[Figures, ...]
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
        most = [None if figures.cost_usd is None else figures.cost_usd[1] for figures in self.endpoints]
        return None if None in most else sum(cost for cost in most if cost is not None)

    def __str__(self) -> str:
        """Return a line per endpoint."""
        lines = [str(figures) for figures in self.endpoints] or ["no requests are known before it runs"]
        note = [] if self.exact else ["A lower bound: an answer decides what else is asked."]
        return "\n".join([*lines, *note])


@dataclass(slots=True)
class _Part:
    """What one endpoint would be asked: the characters of each distinct request, by key."""

    endpoint: Endpoint
    characters: dict[bytes, int] = field(default_factory=dict)
    around: dict[Target, int] = field(default_factory=dict)
    sample: list[tuple[bytes, Request]] = field(default_factory=list)
    most_out: int | None = 0


class Counting:
    """Takes in what a statement would ask, from any thread."""

    def __init__(self) -> None:
        """Nothing is asked yet."""
        self._parts: dict[str, _Part] = {}
        self._lock = threading.Lock()
        self._unshared = 0

    def add(self, call: Call, columns: Sequence[pa.Array]) -> None:
        """Count the first round of one batch."""
        requests = next(call.rounds(columns))
        with self._lock:
            part = self._parts.setdefault(call.endpoint.name, _Part(call.endpoint))
            for request in requests:
                _count(part, request.key() if request.target.shared else self._next_key(), request)

    def estimate(self, run: Run, *, exact: bool) -> Estimate:
        """Look up what is answered already, and say what is left."""
        return Estimate(tuple(_figures(part, run) for part in self._parts.values()), exact)

    def _next_key(self) -> bytes:
        self._unshared += 1
        return self._unshared.to_bytes(8, "big")


def _count(part: _Part, key: bytes, request: Request) -> None:
    if key in part.characters:
        return
    part.characters[key] = _characters(part, request)
    _bound_answers(part, request.target)
    if len(part.sample) < SAMPLE:
        part.sample.append((key, request))


def _characters(part: _Part, request: Request) -> int:
    content = request.content
    if part.endpoint.task != "chat" or not isinstance(content, str):
        return len(str(content))
    if request.target not in part.around:  # what a prompt puts around the content is the same in all of its requests
        part.around[request.target] = sum(len(str(m["content"])) for m in chat_messages(request)) - len(content)
    return len(content) + part.around[request.target]


def _bound_answers(part: _Part, target: Target) -> None:
    if part.endpoint.task != "chat" or target.counts or part.most_out is None:
        return
    part.most_out = part.most_out + target.max_tokens if target.max_tokens else None


def _figures(part: _Part, run: Run) -> Figures:
    known = run.known(list(part.characters))
    left = [characters for key, characters in part.characters.items() if key not in known]
    tokens_in, tokens_from = _tokens(part, sum(left))
    share = len(left) / max(len(part.characters), 1)
    tokens_out = None if part.most_out is None else round(part.most_out * share)
    return Figures(
        part.endpoint.name, len(part.characters), len(known), tokens_in, tokens_from, tokens_out,
        _cost(part.endpoint, tokens_in, tokens_out), _seconds(part.endpoint, len(left), run),
    )  # fmt: skip


def _tokens(part: _Part, characters: int) -> tuple[int, str]:
    counted = prompt_tokens(part.endpoint, [request for _, request in part.sample])
    sampled = sum(part.characters[key] for key, _ in part.sample)
    if counted is not None and sampled:
        return round(characters * counted / sampled), "the model's tokenizer"
    return round(characters / CHARACTERS_PER_TOKEN), f"{CHARACTERS_PER_TOKEN:.0f} characters per token"


def _cost(endpoint: Endpoint, tokens_in: int, tokens_out: int | None) -> tuple[float, float | None] | None:
    if endpoint.price is None:
        return None
    least = endpoint.price.cost_usd(tokens_in, 0, 0)
    return least, None if tokens_out is None else endpoint.price.cost_usd(tokens_in, 0, tokens_out)


def _seconds(endpoint: Endpoint, requests: int, run: Run) -> float | None:
    if endpoint.requests_per_minute is not None:
        return 60.0 * requests / endpoint.requests_per_minute
    seen = [a for a in islice(run.ledger.attempts(), 10_000) if a.endpoint == endpoint.name and a.ending == "answered"]
    if not seen:
        return None
    took_s = max(a.started_at + a.latency_s for a in seen) - min(a.started_at for a in seen)
    return requests * took_s / len(seen)
