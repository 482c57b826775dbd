"""Parsers of chat replies that several functions use: tidy text, and one of several choices."""

from __future__ import annotations

import re
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


_AROUND = " \t\r\n\"'`.,:;!*_#()[]{}<>\u201c\u201d\u2018\u2019\xab\xbb\u201e"
"""What models write around a label: quotes, marks of Markdown, the end of a sentence."""

_MIN_NAME = 3
_MAX_NAMING_CHARACTERS = 300
"""A longer text explains; its words name no choice."""

_NEGATION = re.compile(
    r"\b(?:not|no|never|none|neither|nor|cannot|without)\b|n['\u2019]t\b"
)


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
        self._bare = _find_bare_choices(choices)
        self._is_short = any(len(choice) < _MIN_NAME for choice in choices)

    def build_response_format(self) -> dict[str, Any]:
        """Return the ``response_format`` that constrains the model to the choices."""
        choice = {"type": "string", "enum": list(self._exact)}
        return to_response_format(build_object_schema({self.field: choice}))

    def read(self, response: Response, request: Request) -> object:  # noqa: ARG002
        """Return the choice. Raises ``ReplyParseError``."""
        raise_if_truncated(response)
        text = strip_fence(response.text).strip()
        value: object = text
        if "{" in text:
            try:
                value = self._read_field(read_json(text, self._has_field))
            except ReplyParseError:
                if text.startswith("{"):
                    raise
        return self.match_choice(value, response.text)

    def _read_field(self, document: object) -> object:
        """Return the choice that an object holds: in the field, or in its only property."""
        if not isinstance(document, dict):
            return document
        if self.field not in document and len(document) == 1:
            return next(iter(document.values()))
        return document.get(self.field)

    def _has_field(self, value: object) -> bool:
        named = self._read_field(value)
        return isinstance(named, str) and self._match_exactly(named) is not None

    def _match_exactly(self, text: str) -> str | None:
        found = self._exact.get(text) or self._folded.get(_fold(text))
        return found or self._bare.get(text.strip(_AROUND).casefold())

    def match_choice(self, value: object, reply: str) -> str:
        """Return the choice that ``value`` means. Raises ``ReplyParseError``.

        It is the value itself, or the only choice that the value names. ``reply`` is the reply, for the error.
        """
        text = str(value)
        choice = self._match_exactly(text) or self._find_named(text)
        if choice is None:
            allowed = excerpt(", ".join(map(repr, self._exact)))
            raise ReplyParseError(f"the reply is none of {allowed}: {excerpt(reply)!r}")
        return choice

    def _find_named(self, text: str) -> str | None:
        """Return the one choice that a short text names; None if there is none, or several, or a negation."""
        if len(text) > _MAX_NAMING_CHARACTERS:
            return None
        if self._is_short:  # "a" is also a word
            return self._match_exactly(re.split("[:=]", text)[-1])
        by_name = {choice.casefold(): choice for choice in reversed(self._exact)}
        # The longest first: "not urgent" contains "urgent".
        longest_first = sorted(by_name, key=len, reverse=True)
        pattern = "|".join(map(re.escape, longest_first))
        names = re.compile(rf"(?<!\w)(?:{pattern})(?!\w)")
        folded = text.casefold()
        named = {by_name[found[0]] for found in names.finditer(folded)}
        if len(named) != 1 or _NEGATION.search(names.sub(" ", folded)):
            return None
        return named.pop()


def _fold(text: str) -> str:
    return text.strip(" \t\r\n\"'.").casefold()


def _find_bare_choices(choices: Sequence[str]) -> dict[str, str]:
    """Return the choices by their text without any signs around it, unless two are alike then, such as C and C#."""
    found: dict[str, str] = {}
    alike = {""}
    for choice in choices:
        bare = choice.strip(_AROUND).casefold()
        if bare in found:
            alike.add(bare)
        found[bare] = choice
    return {bare: choice for bare, choice in found.items() if bare not in alike}
