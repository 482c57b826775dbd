"""Reads from the headers of an error reply how long to wait, in all forms that vendors use.

``Retry-After`` has seconds or an HTTP date (RFC 9110, 10.2.3); a date has one of three forms
(5.6.7). Vendors add ``retry-after-ms`` (OpenAI, Azure), and the time at which their limits are
reset: ``x-ratelimit-reset-requests`` and ``-tokens`` (OpenAI, Groq: "1s", "6m0s", "250ms"),
``x-ratelimit-reset`` (seconds, or an epoch in seconds or milliseconds), and
``anthropic-ratelimit-*-reset`` (RFC 3339). A header that does not parse is ignored.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_DURATION = re.compile(r"(?:\d+(?:\.\d*)?(?:ms|us|µs|ns|d|h|m|s))+", re.IGNORECASE)
_DURATION_PART = re.compile(r"(\d+(?:\.\d*)?)(ms|us|µs|ns|d|h|m|s)", re.IGNORECASE)
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
_MIN_EPOCH_S = 1e9
_MIN_EPOCH_MS = 1e12
"""A number from these on is a moment: seconds since 1970 (2001 and later), or milliseconds."""

_RETRY_HEADERS = ((b"retry-after-ms", 1e-3), (b"retry-after", 1.0))
"""The headers with the time to wait, and their units in seconds. The first one counts."""

_LIMIT_HEADERS = (b"x-ratelimit-", b"ratelimit-", b"anthropic-ratelimit-")


def read_wait_s(headers: Mapping[bytes, bytes], now: datetime) -> float | None:
    """Return the seconds to wait from ``now``; None if the headers do not name a time.

    ``headers`` are by name in lower case. Without ``Retry-After`` it is the latest reset of the
    limits that are used up.
    """
    for name, unit_s in _RETRY_HEADERS:
        if name in headers:
            seconds = _parse_wait(headers[name], now, unit_s)
            if seconds is not None:
                return seconds
    resets = [
        _parse_wait(value, now)
        for name, value in headers.items()
        if _is_reset_of_used_limit(name, headers)
    ]
    return max((seconds for seconds in resets if seconds is not None), default=None)


def find_retry_delay(error: Mapping[str, Any]) -> float | None:
    """Return the seconds to wait that the details of an error of Google name, e.g. "34.07s"; None if they name none."""
    details = error.get("details")
    for detail in details if isinstance(details, list) else ():
        delay = detail.get("retryDelay") if isinstance(detail, dict) else None
        if isinstance(delay, str) and _DURATION.fullmatch(delay):
            return _parse_duration(delay)
    return None


def _parse_wait(value: bytes, now: datetime, unit_s: float = 1.0) -> float | None:
    """Return the seconds from ``now``, at least 0; None if the value does not parse.

    ``unit_s`` is the unit of a plain number, in seconds.
    """
    text = value.decode("latin-1").strip().strip('"')
    try:
        number = float(text)
    except ValueError:
        return _parse_duration_or_date(text, now)
    if not math.isfinite(number):
        return None
    if number >= _MIN_EPOCH_MS:
        seconds = number / 1000 - now.timestamp()
    elif number >= _MIN_EPOCH_S:
        seconds = number - now.timestamp()
    else:
        seconds = number * unit_s
    return max(seconds, 0.0)


def _parse_duration_or_date(text: str, now: datetime) -> float | None:
    if _DURATION.fullmatch(text):
        return _parse_duration(text)
    moment = _parse_date(text)
    if moment is None:
        return None
    if moment.tzinfo is None:
        # RFC 9110 allows GMT only; the zone "-0000" means that no zone is known.
        moment = moment.replace(tzinfo=UTC)
    return max((moment - now).total_seconds(), 0.0)


def _parse_duration(text: str) -> float:
    parts = _DURATION_PART.findall(text)
    return sum(float(number) * _UNIT_S[unit.lower()] for number, unit in parts)


def _parse_date(text: str) -> datetime | None:
    for parse in (datetime.fromisoformat, parsedate_to_datetime, _parse_asctime):
        try:
            return parse(text)
        except (ValueError, TypeError, IndexError, OverflowError):
            continue  # it has another form
    return None


def _parse_asctime(text: str) -> datetime:
    return datetime.strptime(text, "%a %b %d %H:%M:%S %Y")  # noqa: DTZ007  GMT, set by the caller


def _is_reset_of_used_limit(name: bytes, headers: Mapping[bytes, bytes]) -> bool:
    """Return True for the reset time of a limit that is used up, or whose rest is unknown."""
    if b"reset" not in name or not name.startswith(_LIMIT_HEADERS):
        return False
    remaining = headers.get(name.replace(b"reset", b"remaining"), b"0")
    try:
        left = float(remaining)
    except ValueError:
        return True
    return not math.isfinite(left) or left < 1
