"""How long an endpoint asks to wait: every form in which its headers say so, as seconds.

``Retry-After`` is seconds or an HTTP date (RFC 9110, 10.2.3); dates come in three forms (5.6.7). Vendors add
``retry-after-ms`` (OpenAI, Azure), and tell when their limits are free again: ``x-ratelimit-reset-requests`` and
``-tokens`` (OpenAI, Groq: "1s", "6m0s", "250ms"), ``x-ratelimit-reset`` (seconds, or an epoch in seconds or
milliseconds), ``anthropic-ratelimit-*-reset`` (RFC 3339). What makes no sense says nothing.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_PARTS = re.compile(r"(?:\d+(?:\.\d*)?(?:ms|us|µs|ns|d|h|m|s))+", re.IGNORECASE)
_PART = re.compile(r"(\d+(?:\.\d*)?)(ms|us|µs|ns|d|h|m|s)", re.IGNORECASE)
_UNIT_S = {
    "d": 86400.0,
    "h": 3600.0,
    "m": 60.0,
    "s": 1.0,
    "ms": 1e-3,
    "us": 1e-6,
    "µs": 1e-6,
    "ns": 1e-9,
}
_EPOCH_S, _EPOCH_MS = 1e9, 1e12
"""A number that is larger is a moment: seconds since 1970 (2001 and later), or milliseconds."""


def wait_s(headers: Mapping[bytes, bytes], now: datetime) -> float | None:
    """Return the seconds to wait from ``now`` that the headers of a refusal ask for; None if they say nothing.

    ``headers`` by lower-case name. ``Retry-After`` comes before what says when limits are free again; of those counts
    the latest, but a limit of which something is left says nothing.
    """
    for name, unit in ((b"retry-after-ms", 1e-3), (b"retry-after", 1.0)):
        if (
            name in headers
            and (seconds := seconds_of(_text(headers[name]), now, unit)) is not None
        ):
            return seconds
    resets = [
        seconds_of(_text(value), now)
        for name, value in headers.items()
        if _is_used_up(name, headers)
    ]
    return max((seconds for seconds in resets if seconds is not None), default=None)


def seconds_of(value: str, now: datetime, unit: float = 1.0) -> float | None:
    """Return the seconds from ``now`` that a value says, at least 0; None if it says none that is finite.

    ``unit``: what a plain number counts, in seconds
    """
    text = value.strip().strip('"')
    try:
        number = float(text)
    except ValueError:
        return _of_words(text, now)
    if not math.isfinite(number):
        return None
    if number >= _EPOCH_MS:
        number = number / 1000 - now.timestamp()
    elif number >= _EPOCH_S:
        number -= now.timestamp()
    else:
        number *= unit
    return max(number, 0.0)


def _of_words(text: str, now: datetime) -> float | None:
    if _PARTS.fullmatch(text):
        return sum(
            float(number) * _UNIT_S[unit.lower()]
            for number, unit in _PART.findall(text)
        )
    moment = _moment(text)
    if moment is None:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(
            tzinfo=UTC
        )  # RFC 9110 knows GMT only; "-0000" says that no zone is known
    return max((moment - now).total_seconds(), 0.0)


def _moment(text: str) -> datetime | None:
    for read in (datetime.fromisoformat, parsedate_to_datetime, _asctime):
        try:
            return read(text)
        except (ValueError, TypeError, IndexError, OverflowError):
            continue  # not of this form
    return None


def _asctime(text: str) -> datetime:
    return datetime.strptime(text, "%a %b %d %H:%M:%S %Y")  # noqa: DTZ007  GMT, as ``_of_words`` says


def _is_used_up(name: bytes, headers: Mapping[bytes, bytes]) -> bool:
    """Say whether a header tells when a limit is free again of which nothing is left, as far as is known."""
    if b"reset" not in name or not name.startswith(
        (b"x-ratelimit-", b"ratelimit-", b"anthropic-ratelimit-")
    ):
        return False
    try:
        left = float(headers.get(name.replace(b"reset", b"remaining"), b"0"))
    except ValueError:
        return True
    return not math.isfinite(left) or left < 1


def _text(value: bytes) -> str:
    return value.decode("latin-1")
