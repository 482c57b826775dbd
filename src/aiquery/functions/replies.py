"""How replies of chat models are read by several functions: tidy text, and one of several choices."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from aiquery.errors import ReplyParseError, excerpt
from aiquery.requests.parsing import (
    TextReply,
    json_schema,
    object_of,
    read_json,
    refuse_truncated,
    strip_fence,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiquery.requests.request import Request, Response


class TidyText(TextReply):
    """Plain text without the white space, and the quotes around all of it, that models add."""

    def read(self, response: Response, request: Request) -> str:
        """See the class; an empty reply is the empty string."""
        text = super().read(response, request).strip()
        inside = text[1:-1]
        quoted = len(text) > 1 and text[0] == text[-1] == '"' and '"' not in inside
        return (
            inside.strip()
            if quoted and not str(request.content).strip().startswith('"')
            else text
        )


class Choice:
    """One of ``choices``, as the model was constrained to; where a schema is ignored, one that is named in plain text.

    ``field`` is the name of the property that holds it.
    """

    def __init__(self, choices: Sequence[str], field: str = "label") -> None:
        """See the class."""
        self.field = field
        self._exact = {choice: choice for choice in choices}
        self._folded = {_folded(choice): choice for choice in reversed(choices)}

    def response_format(self) -> dict[str, Any]:
        """Return what constrains the model to the choices."""
        return json_schema(
            object_of({self.field: {"type": "string", "enum": list(self._exact)}})
        )

    def read(self, response: Response, request: Request) -> object:  # noqa: ARG002  see ``ReplyParser``
        """Return the choice, or raise ``ReplyParseError`` for a reply that is none."""
        refuse_truncated(response)
        text = strip_fence(response.text).strip()
        value = read_json(text) if text.startswith("{") else text
        if isinstance(value, dict):
            value = value.get(self.field)
        return self.chosen(value, response.text)

    def chosen(self, value: object, text: str) -> str:
        """Return the choice that ``value`` means."""
        found = self._exact.get(str(value)) or self._folded.get(_folded(str(value)))
        if found is None:
            allowed = excerpt(", ".join(map(repr, self._exact)))
            raise ReplyParseError(f"the reply is none of {allowed}: {excerpt(text)!r}")
        return found


def _folded(text: str) -> str:
    return text.strip(" \t\r\n\"'.").casefold()


def confidence(choice: str, response: Response) -> float | None:
    """Return the probability (0 to 1) that the model gave to the tokens of ``choice`` in its reply.

    The product of the probabilities of the tokens that spell it, as the endpoint reports them; None where it does not.
    """
    if not response.logprobs:
        return None
    spelled = "".join(token for token, _ in response.logprobs)
    start = spelled.rfind(choice)
    if start < 0:
        return None
    total, position = 0.0, 0
    for token, logprob in response.logprobs:
        if position < start + len(choice) and position + len(token) > start:
            total += logprob
        position += len(token)
    return round(math.exp(min(total, 0.0)), 6)
