"""Reads dates and timestamps in the forms that ISO 8601 allows."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta

_DATE = re.compile(
    r"(?P<day>\d{4}-\d{2}-\d{2}|\d{4}-W\d{2}-\d|\d{4}W\d{3}|\d{8})(?!\d)"
    r"|(?P<year>\d{4})-?(?P<number>\d{3})(?!\d)",
    re.IGNORECASE,
)
_MIDNIGHT = re.compile(r"24:?00(?::?00(?:[.,]0+)?)?(?P<zone>.*)", re.DOTALL)
_UTC = re.compile(r"\s*(?:UTC|GMT|Z)\Z")


def read_date(text: str) -> date:
    """Return the date at the start of a text, whatever follows it. Raises ``ValueError``.

    >>> read_date("2024-122")
    datetime.date(2024, 5, 1)
    """
    return _split(text)[0]


def read_timestamp(text: str) -> datetime:
    """Return a timestamp, with an offset if it has one; midnight if there is no time. Raises ``ValueError``.

    >>> read_timestamp("2024-W18-3T24:00Z")
    datetime.datetime(2024, 5, 2, 0, 0, tzinfo=datetime.timezone.utc)
    """
    day, rest = _split(text)
    if not rest:
        return datetime.combine(day, time())
    clock = _UTC.sub("Z", rest[1:].strip().upper())
    if rest[0] not in "Tt _" or not clock:
        raise ValueError(f"{text!r} is no timestamp of ISO 8601")
    midnight = _MIDNIGHT.fullmatch(clock)
    if midnight:
        day += timedelta(days=1)
        clock = f"00:00{midnight['zone']}"
    return datetime.combine(day, time.fromisoformat(clock.replace(" ", "")))


def _split(text: str) -> tuple[date, str]:
    """Return the date at the start of a text, and the rest."""
    text = text.strip()
    found = _DATE.match(text)
    if found is None:
        raise ValueError(f"{text!r} is no date of ISO 8601")
    rest = text[found.end() :]
    if found["day"]:
        return date.fromisoformat(found["day"].upper()), rest
    start = date(int(found["year"]), 1, 1)
    day = start + timedelta(days=int(found["number"]) - 1)
    if day.year != start.year:
        raise ValueError(f"{text!r} is no date: the year has no such day")
    return day, rest
