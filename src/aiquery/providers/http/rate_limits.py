"""Reads the limits that the headers of a reply name."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from aiquery.requests.request import RateLimits

if TYPE_CHECKING:
    from collections.abc import Mapping

_NUMBER = re.compile(rb"\d{1,18}(?:\.\d{1,9})?(?:[eE]\+?\d{1,2})?")


def read_rate_limits(headers: Mapping[bytes, bytes]) -> RateLimits:
    """Read ``x-ratelimit-{limit,remaining}-{requests,tokens}`` of OpenAI and compatible servers.

    Anthropic calls them ``anthropic-ratelimit-{requests,tokens}-{limit,remaining}``. A value out of range counts as
    missing.
    """
    return RateLimits(
        requests_per_minute=_read_number(headers, b"limit", b"requests", 1),
        requests_left=_read_number(headers, b"remaining", b"requests", 0),
        tokens_per_minute=_read_number(headers, b"limit", b"tokens", 1),
        tokens_left=_read_number(headers, b"remaining", b"tokens", 0),
    )


def _read_number(
    headers: Mapping[bytes, bytes], kind: bytes, unit: bytes, minimum: float
) -> float | None:
    value = headers.get(b"x-ratelimit-%b-%b" % (kind, unit))
    if value is None:
        value = headers.get(b"anthropic-ratelimit-%b-%b" % (unit, kind), b"")
    value = value.strip()
    if not _NUMBER.fullmatch(value):
        return None
    number = float(value)
    return number if minimum <= number < math.inf else None
