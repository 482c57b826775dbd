"""Where a quote stands in a text: only a span that holds the quote is a citation."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiquery.requests.json_positions import Span

_MAX_QUOTE_CHARACTERS = 2_000


class Citations:
    """The citations of one text, each span once, with a number from 0."""

    def __init__(self, content: str) -> None:
        """Cite nothing yet."""
        self._content = content
        self._ids: dict[Span, int] = {}

    def cite(self, quote: object) -> list[int]:
        """Return the number of the first place of a quote, in a list; an empty list if the text does not have it."""
        span = find_quote(self._content, quote) if isinstance(quote, str) else None
        if span is None:
            return []
        return [self._ids.setdefault(span, len(self._ids))]

    def to_values(self) -> list[dict[str, int]]:
        """Return the citations: start (included) and stop (excluded) count characters from 0."""
        return [
            {"id": number, "start": start, "stop": stop}
            for (start, stop), number in self._ids.items()
        ]


def find_quote(content: str, quote: str) -> Span | None:
    """Return the first place of a quote in a text; white space may differ.

    >>> find_quote("Total:  40 EUR", "Total: 40")
    (0, 10)
    """
    words = quote.split()
    if not words or len(quote) > _MAX_QUOTE_CHARACTERS:
        return None
    start = content.find(quote.strip())
    if start >= 0:
        return start, start + len(quote.strip())
    pattern = r"\s+".join(map(re.escape, words))
    match = re.search(pattern, content)
    return None if match is None else match.span()
