"""Map-reduce over the texts of a group within a model's context: a state machine without I/O.

The texts are packed, in their order, into as few bodies as the context allows. A body is the texts
of one request. A text that is longer than the context is split into pieces, and a body that the
model still rejects as too long is split in two. One body gets a request for the answer. Of several
bodies, each gets a request for its contribution, and the contributions are then texts themselves.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from aiquery.errors import RequestFailed, RowError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BYTES_PER_TOKEN = 3
"""Fewer than in English (4 to 5), so that other languages and numbers fit too."""

ROW_TOKENS = 4
"""Tokens that separate a text from the next."""

MAX_ROUNDS = 16
"""Rounds after which a body that is too long is no longer split."""

MIN_CHARACTERS = 40
"""A text of this length or less is not split."""

_MARGIN = 0.95
"""Share of the room that a piece of a text uses: the number of tokens is an estimate."""

Step = Literal["whole", "map", "combine", "part"]
"""The kind of a request.

whole     it has all texts
map       it has some of the texts
combine   it has all contributions
part      it has some of the contributions
"""


def estimate_tokens(text: str) -> int:
    """Return about how many tokens a text has in a request; the estimate is rather too high."""
    line = json.dumps(text, ensure_ascii=False)
    return len(line.encode("utf-8", "replace")) // BYTES_PER_TOKEN + ROW_TOKENS


def pack(texts: Sequence[str], room: int, *, min_texts: int = 1) -> list[list[str]]:
    """Return the texts in their order, in as few bodies of at most ``room`` tokens as possible.

    Each body but the last has at least ``min_texts`` texts, even if it exceeds the room.

    Examples
    --------
    >>> pack(["a" * 30, "b" * 30, "c" * 30], 30)
    [['aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb'], ['cccccccccccccccccccccccccccccc']]
    """
    bodies: list[list[str]] = []
    left = 0
    for text in _split_all(texts, room):
        tokens = estimate_tokens(text)
        if not bodies or (tokens > left and len(bodies[-1]) >= min_texts):
            bodies.append([])
            left = room
        bodies[-1].append(text)
        left -= tokens
    return bodies


def _split_all(texts: Sequence[str], room: int) -> Iterator[str]:
    for text in texts:
        yield from split_text(text, room)


def split_text(text: str, room: int) -> Iterator[str]:
    """Yield a text in pieces of at most ``room`` tokens: one piece for most texts.

    A cut is at white space if there is some in the second half of the piece.
    """
    while len(text) > MIN_CHARACTERS:
        tokens = estimate_tokens(text)
        if tokens <= room:
            break
        end = int(len(text) * (room / tokens) * _MARGIN)
        end = max(end, MIN_CHARACTERS // 2)
        space = text.rfind(" ", end // 2, end)
        newline = text.rfind("\n", end // 2, end)
        last = max(space, newline)
        if last > 0:
            end = last + 1
        yield text[:end]
        text = text[end:]
    yield text


@dataclass
class Body:
    """The texts of one request, and the model's answer; None: there is no answer yet."""

    texts: list[str]
    answer: str | None = None


@dataclass(kw_only=True)
class Group:
    """The texts of one row of the result, until their one answer.

    room           tokens of texts that fit into one request
    is_done        True after the last round: then ``answer`` or ``error`` is set. Both are None if
                   the budget rejected a request, or if the group has no texts
    is_combining   True if the bodies consist of contributions
    rounds         the rounds so far
    """

    texts: list[str]
    room: int
    answer: str | None = None
    error: RowError | None = None
    is_done: bool = False
    is_combining: bool = False
    rounds: int = 0
    bodies: list[Body] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Pack the texts. A group without texts is done."""
        self.bodies = [Body(texts) for texts in pack(self.texts, self.room)]
        self.is_done = not self.bodies

    def next_requests(self) -> list[tuple[Step, list[str]]]:
        """Return the requests of this round: step and texts."""
        if self.is_done:
            return []
        step = self._step()
        return [(step, body.texts) for body in self.bodies if body.answer is None]

    def _step(self) -> Step:
        is_last = len(self.bodies) == 1
        if self.is_combining:
            return "combine" if is_last else "part"
        return "whole" if is_last else "map"

    def record(self, outcomes: Sequence[str | RowError | None]) -> None:
        """Record the outcomes of ``next_requests``, in the same order.

        An outcome is a text, an error, or None if the budget rejected the request.
        """
        if self.is_done:
            return
        self.rounds += 1
        waiting = [body for body in self.bodies if body.answer is None]
        is_last = len(self.bodies) == 1
        for body, outcome in zip(waiting, outcomes, strict=True):
            if isinstance(outcome, str):
                body.answer = outcome
            elif outcome is None or not self._split(body, outcome):
                self._fail(outcome)
                return
        if any(body.answer is None for body in self.bodies):
            return
        answers = [body.answer or "" for body in self.bodies]
        if is_last:
            self.is_done = True
            self.answer = answers[0]
        else:
            self._combine(answers)

    def _fail(self, error: RowError | None) -> None:
        self.is_done = True
        self.error = error

    def _combine(self, contributions: list[str]) -> None:
        """Continue with the contributions; fail if they need as many bodies as the texts did."""
        combined = pack(contributions, self.room, min_texts=2)
        if len(combined) >= len(self.bodies):
            problem = (
                "the partial summaries of the group do not get shorter; set max_tokens, or raise "
                "context_window."
            )
            self._fail(RequestFailed(problem))
            return
        self.is_combining = True
        self.bodies = [Body(texts) for texts in combined]

    def _split(self, body: Body, error: RowError) -> bool:
        """Replace a body that is too long by its parts.

        Returns False if the error has another reason, or if the body cannot be split.
        """
        if error.too_long is None or self.rounds >= MAX_ROUNDS:
            return False
        parts = _halve(body.texts)
        if len(parts) == 1:
            return False
        at = self.bodies.index(body)
        self.bodies[at : at + 1] = [Body(part) for part in parts]
        return True


def _halve(texts: list[str]) -> list[list[str]]:
    """Return two halves of the texts, or the pieces of a single text."""
    if len(texts) > 1:
        middle = len(texts) // 2
        return [texts[:middle], texts[middle:]]
    room = estimate_tokens(texts[0]) // 2 + ROW_TOKENS
    return [[piece] for piece in split_text(texts[0], room)]
