"""Parsers of chat replies that several functions use: tidy text, and one of several choices."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from aiquery.errors import ReplyParseError, excerpt
from aiquery.requests.parsing import (
    TextParser,
    build_object_schema,
    raise_if_truncated,
    read_json,
    strip_fence,
    to_response_format,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiquery.requests.request import Request, Response


class TidyTextParser(TextParser):
    """Returns the text without the white space and the quotes that models add around it."""

    def read(self, response: Response, request: Request) -> str:
        """Return the text. An empty reply is the empty string.

        Quotes stay if the content of the row begins with one, or if the text has others.
        """
        text = super().read(response, request).strip()
        inside = text[1:-1]
        if text != f'"{inside}"' or '"' in inside:
            return text
        content = str(request.content).strip()
        return text if content.startswith('"') else inside.strip()


class ChoiceParser:
    """Returns one of ``choices``, also from plain text if the model ignored the schema."""

    def __init__(self, choices: Sequence[str], field: str = "label") -> None:
        """``field`` is the property of the reply that holds the choice."""
        self.field = field
        self._exact = {choice: choice for choice in choices}
        self._folded = {_fold(choice): choice for choice in reversed(choices)}

    def build_response_format(self) -> dict[str, Any]:
        """Return the ``response_format`` that constrains the model to the choices."""
        choice = {"type": "string", "enum": list(self._exact)}
        return to_response_format(build_object_schema({self.field: choice}))

    def read(self, response: Response, request: Request) -> object:  # noqa: ARG002
        """Return the choice. Raises ``ReplyParseError``."""
        raise_if_truncated(response)
        text = strip_fence(response.text).strip()
        value = read_json(text) if text.startswith("{") else text
        if isinstance(value, dict):
            value = value.get(self.field)
        return self.match_choice(value, response.text)

    def match_choice(self, value: object, reply: str) -> str:
        """Return the choice that ``value`` means. Raises ``ReplyParseError``.

        ``reply`` is the reply, for the error.
        """
        text = str(value)
        choice = self._exact.get(text)
        if choice is None:
            choice = self._folded.get(_fold(text))
        if choice is None:
            allowed = excerpt(", ".join(map(repr, self._exact)))
            raise ReplyParseError(f"the reply is none of {allowed}: {excerpt(reply)!r}")
        return choice


def _fold(text: str) -> str:
    return text.strip(" \t\r\n\"'.").casefold()


def compute_confidence(choice: str, response: Response) -> float | None:
    """Return the probability (0 to 1) of ``choice`` in a reply: that of all its tokens together.

    None: the endpoint returned no log-probabilities, or the reply does not contain the choice.
    """
    if response.confidence is not None:
        return response.confidence
    if not response.logprobs:
        return None
    text = "".join(token for token, _ in response.logprobs)
    start = text.rfind(choice)
    if start < 0:
        return None
    end = start + len(choice)
    total = 0.0
    position = 0
    for token, logprob in response.logprobs:
        if position < end and position + len(token) > start:
            total += logprob
        position += len(token)
    return round(math.exp(min(total, 0.0)), 6)
