"""Detects from an error reply that the text is too long, and how much of it would fit."""

from __future__ import annotations

import re

_PAYLOAD_TOO_LARGE = 413
_STATUSES = frozenset({400, 413, 422})
_SERVER_ERROR = 500
_WORDS_OF_SERVER_ERRORS = re.compile(
    r"too large to process|context (?:size|length|window)|input is too l|prompt is too long|too many tokens",
    re.IGNORECASE,
)
"""What llama.cpp and Ollama say about a text with HTTP 500, of which most have another reason."""

_WORDS = re.compile(
    r"context|too long|too large|too many (?:input )?tokens|token limit|"
    r"maximum (?:\w+ )?(?:length|tokens)|(?:input|prompt|sequence) (?:length|exceed)|"
    r"exceeds? .{0,40}(?:tokens|length|limit)|max_\w{0,30}(?:len|tokens)|less than \d+ tokens|"
    r"longer than|expected maxLength|reduce the length|max_new_tokens\W+must be <=|token count|range of input length",
    re.IGNORECASE,
)
_ABOUT_A_PARAMETER = re.compile(
    r"max_?(?:\w{1,30}_)?tokens\W+(?:\w+\W+){0,5}?(?:too (?:large|high|big|many)|must|cannot|"
    r"invalid|exceed|(?:not |un)supported|should)|"
    r"at most \d[\d,]* (?:completion|output) tokens|output limit was reached|number of output tokens|"
    r"(?:temperature|top_p|top_k|penalty|stop|logprobs|seed|\bn\b)\W.{0,20}(?:exceeds?|length|limit)|'user'",
    re.IGNORECASE,
)
"""The limit of the answer is wrong, which a shorter text does not correct."""

_SUM = re.compile(r"tokens`? \+ `?max_new_tokens`? must be <=", re.IGNORECASE)
"""TGI: prompt and answer together are too long for the model."""

_NUMBER = re.compile(r"(?<![\w.:/-])\d[\d,]{0,14}\d(?![\w:/-])")
"""A number that is not a part of a name, an identifier, a date or an address."""

_MAX_MESSAGE = 4000
"""Characters of an error that are read. The expressions take more than linear time for a text made for it."""

_UNIT_WORDS = re.compile(
    r"token|length|limit|max|size|exceed|given|received|context|request(?:ed)?\b|count|input|"
    r"prompt|than|has|got|character",
    re.IGNORECASE,
)
_CHARACTERS_BEFORE = 30
_CHARACTERS_AFTER = 14
"""A count of tokens has one of the words within these distances."""

_DEFAULT_SHARE = 0.5
_MARGIN = 0.95
_MIN_SHARE = 0.02
"""A smaller share is more likely another number. Then the text is halved, as often as necessary."""


def find_fitting_share(status: int | None, message: str) -> float | None:
    """Return about which share of the text (0 to 1) would fit; None: the text is not too long.

    OpenAI, vLLM, SGLang, TEI and llama.cpp name the limit and the size of the request, e.g.
    "maximum context length is 8192 tokens, however you requested 9001 tokens". Without these
    numbers the share is a half.
    """
    message = message[:_MAX_MESSAGE]
    if not _is_about_length(status, message):
        return None
    if _SUM.search(message):  # one of its numbers is the limit of the answer
        return _DEFAULT_SHARE
    counts = [
        int(number.group().replace(",", ""))
        for number in _NUMBER.finditer(message)
        if _is_count(message, number)
    ]
    limit = min(counts, default=0)
    size = max(counts, default=0)
    if 0 < limit < size and limit / size >= _MIN_SHARE:
        return limit / size * _MARGIN
    return _DEFAULT_SHARE


def _is_about_length(status: int | None, message: str) -> bool:
    if status == _SERVER_ERROR:
        return _WORDS_OF_SERVER_ERRORS.search(message) is not None
    if status not in _STATUSES:
        return False
    if not _SUM.search(message) and _ABOUT_A_PARAMETER.search(message):
        return False
    return status == _PAYLOAD_TOO_LARGE or _WORDS.search(message) is not None


def _is_count(message: str, number: re.Match[str]) -> bool:
    """Return True if the words around a number indicate a count of tokens or characters."""
    start = max(number.start() - _CHARACTERS_BEFORE, 0)
    end = number.end() + _CHARACTERS_AFTER
    return _UNIT_WORDS.search(message[start:end]) is not None
