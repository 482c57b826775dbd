"""Takes texts of rows, models and servers out of the error messages that are stored."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

HIDDEN = "…"
_QUOTE = re.compile("[\"'`“«(]")
_QUOTED = re.compile(
    r"""(endpoint '[^']*')|'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""", re.DOTALL
)
"""A quoted text in a message; the name of an endpoint is its first group."""

_STATUS = re.compile(r"HTTP \d{3}: ")
_PUNCTUATION = ".,;:!?()[]{}<>/'\"`-=*#"

_ENDPOINT_PREFIX = re.compile(r"endpoint '[^']*': ")


@cache
def common_words() -> frozenset[str]:
    """Return the words of the messages of servers that are stored."""
    text = files("aiquery.data").joinpath("error_words.txt").read_text("utf-8")
    return frozenset(text.split())


def cut_at_quote(message: str) -> str:
    """Return ``message`` up to its first quote or parenthesis, behind which a model's reply may follow.

    >>> cut_at_quote("endpoint 'm': the reply is not JSON (at byte 3): 'Ann is ill'")
    "endpoint 'm': the reply is not JSON …"
    """
    prefix = _ENDPOINT_PREFIX.match(message)
    start = 0 if prefix is None else prefix.end()
    quote = _QUOTE.search(message, start)
    return message if quote is None else f"{message[: quote.start()]}{HIDDEN}"


def redact_detail(message: str) -> str:
    """Return ``message`` with '…' for the words of a server that are not common in such messages, and for quotes.

    A server may repeat any part of a request, in any form. What it says is stored only as far as it consists of words
    of a fixed list.

    >>> redact_detail("HTTP 400: cannot read 'my cat is ill', Ann")
    'HTTP 400: cannot read …'
    """
    message = _QUOTED.sub(lambda found: found[1] or "'…'", message)
    status = _STATUS.search(message)
    if status is None:
        return message
    shown: list[str] = []
    for word in message[status.end() :].split():
        text = word if word.strip(_PUNCTUATION).lower() in common_words() else HIDDEN
        if text != HIDDEN or shown[-1:] != [HIDDEN]:
            shown.append(text)
    return message[: status.end()] + " ".join(shown)
