"""Whether an endpoint's refusal says that the text is too long, and how much of it would fit."""

from __future__ import annotations

import re

_TOO_LARGE = 413
_STATUSES = frozenset({400, 413, 422})
_WORDS = re.compile(
    r"context|too long|too large|too many (?:input )?tokens|token limit|maximum (?:\w+ )?(?:length|tokens)|"
    r"(?:input|prompt|sequence) (?:length|exceed)|exceeds? .{0,40}(?:tokens|length|limit)|max_\w*(?:len|tokens)",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\d{2,}")
_UNKNOWN = 0.5
_MARGIN = 0.95


def too_long(status: int | None, message: str) -> float | None:
    """Return about which share of the text (0 to 1) would fit, a half where the message does not say; None: it fits.

    OpenAI, vLLM, SGLang, TEI and llama.cpp name the limit and what was sent, e.g. "maximum context length is 8192
    tokens, however you requested 9001 tokens".
    """
    if status not in _STATUSES or (status != _TOO_LARGE and not _WORDS.search(message)):
        return None
    numbers = [int(number) for number in _NUMBER.findall(message)]
    limit, sent = min(numbers, default=0), max(numbers, default=0)
    if 0 < limit < sent:
        return max(limit / sent * _MARGIN, 0.01)
    return _UNKNOWN
