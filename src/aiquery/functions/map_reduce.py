"""Map-reduce over the texts of a group within a model's context. Pure: bodies of requests come out, answers go in.

Every text is read whole: texts are packed, in their order, into as few bodies as the context allows; a text that is
longer than the context goes in pieces; a body that the model still finds too long is split in two. One body is asked
for the answer; of several, each is asked for what it contributes, and the contributions are combined in the same way.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from aiquery.errors import RequestFailed, RowError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BYTES_PER_TOKEN = 3
"""Fewer than English has (4 to 5), so that other languages and numbers fit too; what does not is split."""

ROW_TOKENS = 4
"""What separates a text from the next."""

DEEPEST = 16
"""Rounds after which a body that is too long is not split any more."""

SHORTEST = 40
"""Characters below which a text is not cut any further."""

Step = Literal["whole", "map", "combine", "part"]
"""All texts at once; some of them; all contributions at once; some of them."""


def tokens(text: str) -> int:
    """Return about how many tokens a text has, rather too many."""
    return len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN + ROW_TOKENS


def pack(texts: Sequence[str], room: int, *, least: int = 1) -> list[list[str]]:
    """Return the texts in their order, in as few bodies of at most ``room`` tokens, each of at least ``least`` texts.

    >>> pack(["a" * 30, "b" * 30, "c" * 30], 30)
    [['aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb'], ['cccccccccccccccccccccccccccccc']]
    """
    bodies: list[list[str]] = []
    left = 0
    for text in (piece for whole in texts for piece in pieces(whole, room)):
        size = tokens(text)
        if not bodies or (size > left and len(bodies[-1]) >= least):
            bodies.append([])
            left = room
        bodies[-1].append(text)
        left -= size
    return bodies


def pieces(text: str, room: int) -> Iterator[str]:
    """Yield a text in pieces of at most ``room`` tokens, cut at white space where there is some; mostly whole."""
    while tokens(text) > room and len(text) > SHORTEST:
        share = room / tokens(text)
        end = max(int(len(text) * share * 0.95), SHORTEST // 2)
        space = max(text.rfind(" ", end // 2, end), text.rfind("\n", end // 2, end))
        end = space + 1 if space > 0 else end
        yield text[:end]
        text = text[end:]
    yield text


@dataclass
class Body:
    """Some texts that are asked about together, and what the model said."""

    texts: list[str]
    answer: str | None = None


@dataclass
class Group:
    """The texts of one row of the result, on their way to one answer.

    ``room`` is how many tokens of texts fit into one request. After the last round ``answer`` or ``error`` is there; an
    answer of None means that the budget did not allow one.
    """

    texts: list[str]
    room: int
    answer: str | None = None
    error: RowError | None = None
    done: bool = False
    combining: bool = False
    rounds: int = 0
    bodies: list[Body] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Pack the texts; a group without any is done."""
        self.bodies = [Body(texts) for texts in pack(self.texts, self.room)]
        self.done = not self.bodies

    def asks(self) -> list[tuple[Step, list[str]]]:
        """Return what to ask in this round."""
        if self.done:
            return []
        several = len(self.bodies) > 1
        step: Step = (
            ("part" if several else "combine")
            if self.combining
            else ("map" if several else "whole")
        )
        return [(step, body.texts) for body in self.bodies if body.answer is None]

    def hear(self, outcomes: Sequence[str | RowError | None]) -> None:
        """Take the answers to ``asks``, in order: texts, errors, or None for what the budget did not allow."""
        if self.done:
            return
        self.rounds += 1
        waiting = [body for body in self.bodies if body.answer is None]
        final = len(self.bodies) == 1
        for body, outcome in zip(waiting, outcomes, strict=True):
            if isinstance(outcome, str):
                body.answer = outcome
            elif outcome is None or not self._split(body, outcome):
                self.done, self.error = True, outcome
                return
        if any(body.answer is None for body in self.bodies):
            return
        answers = [body.answer or "" for body in self.bodies]
        if final:
            self.done, self.answer = True, answers[0]
            return
        combined = pack(answers, self.room, least=2)
        if len(combined) >= len(self.bodies):  # then it would never end
            problem = (
                "the partial summaries of the group do not get shorter; set max_tokens, or "
                "raise context_window."
            )
            self.done, self.error = True, RequestFailed(problem)
            return
        self.combining = True
        self.bodies = [Body(texts) for texts in combined]

    def _split(self, body: Body, error: RowError) -> bool:
        """Put two halves in the place of a body that was too long; False: it is not that, or cannot be cut any more."""
        if error.too_long is None or self.rounds >= DEEPEST:
            return False
        if len(body.texts) > 1:
            middle = len(body.texts) // 2
            halves = [body.texts[:middle], body.texts[middle:]]
        else:
            halves = [
                [piece]
                for piece in pieces(
                    body.texts[0], tokens(body.texts[0]) // 2 + ROW_TOKENS
                )
            ]
        if len(halves) == 1:
            return False
        at = self.bodies.index(body)
        self.bodies[at : at + 1] = [Body(half) for half in halves]
        return True
