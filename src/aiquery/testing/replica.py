"""Pure: one replica of a server that batches continuously, as a model: time comes in, finished requests come out.

Every iteration gives each decoding sequence one token and prefills up to a chunk of waiting prompts; it takes
``max(floor, per_token x tokens) + per_sequence x sequences`` seconds. Blocks of 16 prompt tokens that were computed
before are not computed again. So latency rises with concurrency while throughput still rises, as with vLLM or SGLang.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

BLOCK_TOKENS = 16


def steady(_: float) -> float:
    """Return the slowdown of a replica whose capacity does not change."""
    return 1.0


@dataclass(eq=False, slots=True)
class Running:
    """One request inside the replica. ``blocks`` are the identities of its prompt's blocks, each with its prefix."""

    tag: Any
    blocks: Sequence[Hashable]
    tokens_out: int
    to_prefill: int = 0
    tokens_cached: int = 0


@dataclass(eq=False)
class Replica:
    """See the module. Times in seconds.

    slots            sequences that run at once; the others queue
    chunk_tokens     tokens prefilled per iteration, decoding included
    floor_s, per_token_s, per_sequence_s    what an iteration costs
    slowdown         factor on every iteration, as a function of the time: capacity that falls or rises
    """

    slots: int = 256
    chunk_tokens: int = 2048
    floor_s: float = 0.012
    per_token_s: float = 45e-6
    per_sequence_s: float = 50e-6
    slowdown: Callable[[float], float] = steady
    cached: set[Hashable] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Start idle."""
        self._queue: deque[Running] = deque()
        self._prefilling: deque[Running] = deque()
        self._decoding: list[
            tuple[int, int, Running]
        ] = []  # by the iteration that gives the last token
        self._order = itertools.count()
        self._iteration = 0
        self.ends_at: float | None = None

    def __len__(self) -> int:
        """Count what is queued or runs."""
        return len(self._queue) + len(self._prefilling) + len(self._decoding)

    def arrive(
        self, now: float, tag: Any, blocks: Sequence[Hashable], tokens_out: int
    ) -> None:
        """Queue a request; it comes back from ``advance`` as its ``tag``."""
        self._queue.append(Running(tag, blocks, max(tokens_out, 1)))
        if self.ends_at is None:
            self._start(now)

    def advance(self) -> list[tuple[Any, int]]:
        """End the iteration that ends at ``ends_at``; return what finished, with its cached prompt tokens."""
        now = self.ends_at
        if now is None:
            return []
        finished = []
        while self._decoding and self._decoding[0][0] <= self._iteration:
            sequence = heapq.heappop(self._decoding)[2]
            finished.append((sequence.tag, sequence.tokens_cached))
        for sequence in self._prefilled:
            self.cached.update(sequence.blocks)
            last = self._iteration + sequence.tokens_out
            heapq.heappush(self._decoding, (last, next(self._order), sequence))
        self._start(now)
        return finished

    def _start(self, now: float) -> None:
        while self._queue and len(self._prefilling) + len(self._decoding) < self.slots:
            self._admit(self._queue.popleft())
        budget = self.chunk_tokens - len(self._decoding)
        tokens = len(self._decoding)
        running = tokens + len(self._prefilling)
        self._prefilled: list[Running] = []
        while self._prefilling and budget > 0:
            sequence = self._prefilling[0]
            step = min(budget, sequence.to_prefill)
            sequence.to_prefill -= step
            budget -= step
            tokens += step
            if not sequence.to_prefill:
                self._prefilled.append(self._prefilling.popleft())
        if not running:
            self.ends_at = None
            return
        self._iteration += 1
        cost_s = (
            max(self.floor_s, self.per_token_s * tokens) + self.per_sequence_s * running
        )
        self.ends_at = now + cost_s * self.slowdown(now)

    def _admit(self, sequence: Running) -> None:
        hits = 0
        for block in sequence.blocks:
            if block not in self.cached:
                break
            hits += 1
        sequence.tokens_cached = hits * BLOCK_TOKENS
        sequence.to_prefill = max(
            (len(sequence.blocks) - hits) * BLOCK_TOKENS, 1
        )  # the last token is always computed
        self._prefilling.append(sequence)
