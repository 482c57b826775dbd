"""A model of one replica of a server that batches continuously: no clock and no I/O.

The caller passes times in and gets the finished requests back. In every iteration each decoding
sequence gets one token, and up to a chunk of waiting prompts is prefilled. An iteration takes
``max(floor_s, per_token_s * tokens) + per_sequence_s * sequences`` seconds. A block of 16 prompt
tokens that was computed before is not computed again. So latency rises with concurrency while
throughput still rises, as with vLLM or SGLang.
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


def constant(_: float) -> float:
    """Return the slowdown of a replica whose capacity does not change."""
    return 1.0


@dataclass(kw_only=True, eq=False, slots=True)
class Running:
    """One request in the replica.

    tag             identifies it for the caller
    blocks          the identities of its prompt's blocks, each with everything before it
    tokens_out      tokens of its answer
    to_prefill      tokens of its prompt that are still to be computed
    tokens_cached   tokens of its prompt that were computed before
    """

    tag: Any
    blocks: Sequence[Hashable]
    tokens_out: int
    to_prefill: int = 0
    tokens_cached: int = 0


@dataclass(kw_only=True, eq=False)
class Replica:
    """One replica. Times are in seconds.

    Attributes
    ----------
    slots
        Sequences that run at the same time; the others wait.
    chunk_tokens
        Tokens of one iteration, for decoding and prefilling together.
    floor_s
        Shortest iteration.
    per_token_s
        Cost of a token.
    per_sequence_s
        Cost of a sequence.
    slowdown
        Factor of the cost, as a function of the time: capacity that falls or rises.
    cached
        The blocks that were computed.

    ``ends_at`` is when the current iteration ends; None: the replica is idle.
    """

    slots: int = 256
    chunk_tokens: int = 2048
    floor_s: float = 0.012
    per_token_s: float = 45e-6
    per_sequence_s: float = 50e-6
    slowdown: Callable[[float], float] = constant
    cached: set[Hashable] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Start idle."""
        self.ends_at: float | None = None
        self._waiting: deque[Running] = deque()
        self._prefilling: deque[Running] = deque()
        self._prefilled: list[Running] = []
        self._decoding: list[tuple[int, int, Running]] = []
        """A heap by the iteration that gives a sequence its last token."""
        self._order = itertools.count()
        self._iteration = 0

    def __len__(self) -> int:
        """Return the number of requests that wait or run."""
        return len(self._waiting) + self._count_running()

    def _count_running(self) -> int:
        return len(self._prefilling) + len(self._decoding)

    def arrive(
        self, now: float, tag: Any, blocks: Sequence[Hashable], tokens_out: int
    ) -> None:
        """Queue a request. ``advance`` returns its ``tag`` when it has finished."""
        sequence = Running(tag=tag, blocks=blocks, tokens_out=max(tokens_out, 1))
        self._waiting.append(sequence)
        if self.ends_at is None:
            self._start(now)

    def advance(self) -> list[tuple[Any, int]]:
        """End the iteration that ends at ``ends_at``, and start the next one.

        Returns the tags of the requests that finished, with their cached prompt tokens.
        """
        now = self.ends_at
        if now is None:
            return []
        finished = []
        while self._decoding and self._decoding[0][0] <= self._iteration:
            _, _, sequence = heapq.heappop(self._decoding)
            finished.append((sequence.tag, sequence.tokens_cached))
        for sequence in self._prefilled:
            self.cached.update(sequence.blocks)
            last = self._iteration + sequence.tokens_out
            entry = (last, next(self._order), sequence)
            heapq.heappush(self._decoding, entry)
        self._start(now)
        return finished

    def _start(self, now: float) -> None:
        """Start an iteration, unless the replica is idle."""
        while self._waiting and self._count_running() < self.slots:
            self._admit(self._waiting.popleft())
        running = self._count_running()
        tokens = len(self._decoding)
        tokens += self._prefill(self.chunk_tokens - tokens)
        if not running:
            self.ends_at = None
            return
        self._iteration += 1
        token_s = max(self.floor_s, self.per_token_s * tokens)
        cost_s = token_s + self.per_sequence_s * running
        self.ends_at = now + cost_s * self.slowdown(now)

    def _prefill(self, max_tokens: int) -> int:
        """Prefill the sequences in their order, and return the number of tokens."""
        left = max_tokens
        self._prefilled = []
        while self._prefilling and left > 0:
            sequence = self._prefilling[0]
            tokens = min(left, sequence.to_prefill)
            sequence.to_prefill -= tokens
            left -= tokens
            if not sequence.to_prefill:
                self._prefilled.append(self._prefilling.popleft())
        return max_tokens - left

    def _admit(self, sequence: Running) -> None:
        hits = 0
        for block in sequence.blocks:
            if block not in self.cached:
                break
            hits += 1
        misses = len(sequence.blocks) - hits
        sequence.tokens_cached = hits * BLOCK_TOKENS
        # The last token is always computed.
        sequence.to_prefill = max(misses * BLOCK_TOKENS, 1)
        self._prefilling.append(sequence)
