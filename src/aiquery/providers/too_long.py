"""Whether an endpoint's refusal says that the text is too long, and how much of it would fit."""

from __future__ import annotations

import re

_TOO_LARGE = 413
_STATUSES = frozenset({400, 413, 422})
_WORDS = re.compile(
    r"context|too long|too large|too many (?:input )?tokens|token limit|maximum (?:\w+ )?(?:length|tokens)|"
    r"(?:input|prompt|sequence) (?:length|exceed)|exceeds? .{0,40}(?:tokens|length|limit)|max_\w*(?:len|tokens)|"
    r"less than \d+ tokens|longer than",
    re.IGNORECASE,
)
_ABOUT_A_PARAMETER = re.compile(
    r"max_?(?:\w+_)?tokens\W+(?:[\w'`\"]+\W+){0,5}?(?:too (?:large|high|big|many)|must|cannot|invalid|exceed|"
    r"(?:not |un)supported|should)|at most \d[\d,]* (?:completion|output) tokens",
    re.IGNORECASE,
)
"""What no shorter text would mend: the tokens that the answer may have."""

_NUMBER = re.compile(r"(?<![\w.:/-])\d[\d,]*\d(?![\w:/-])")
"""A number that stands alone: no part of a name, an identifier, a date or an address."""

_COUNTED = re.compile(
    r"token|length|limit|max|size|exceed|given|received|context|request(?:ed)?\b|count|input|prompt|than|has|got|character",
    re.IGNORECASE,
)
_BEFORE, _AFTER = 30, 14
"""A count of tokens has one of the words so many characters before or after it."""

_UNKNOWN = 0.5
_MARGIN = 0.95
_LEAST = 0.02
"""A smaller share is more likely a number of something else; then the text is halved, again and again if need be."""


def too_long(status: int | None, message: str) -> float | None:
    """Return about which share of the text (0 to 1) would fit, a half where the message does not say; None: it fits.

    OpenAI, vLLM, SGLang, TEI and llama.cpp name the limit and what was sent, e.g. "maximum context length is 8192
    tokens, however you requested 9001 tokens".
    """
    if status not in _STATUSES or _ABOUT_A_PARAMETER.search(message):
        return None
    if status != _TOO_LARGE and not _WORDS.search(message):
        return None
    numbers = [
        int(found.group().replace(",", ""))
        for found in _NUMBER.finditer(message)
        if _counts(message, found)
    ]
    limit, sent = min(numbers, default=0), max(numbers, default=0)
    if 0 < limit < sent and limit / sent >= _LEAST:
        return limit / sent * _MARGIN
    return _UNKNOWN


def _counts(message: str, number: re.Match[str]) -> bool:
    """Say whether a number counts tokens, or what stands for them, as far as the words around it say."""
    around = message[max(number.start() - _BEFORE, 0) : number.end() + _AFTER]
    return _COUNTED.search(around) is not None
