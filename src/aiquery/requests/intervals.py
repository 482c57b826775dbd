"""Texts of intervals and durations, in ISO 8601."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

_DAY_NS = 86_400_000_000_000
_SECOND_NS = 10**9
_UNIT_NS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}


def format_intervals(column: pa.Array) -> pa.Array:
    """Return years and months, then days of 24 hours, then the time. NULL stays NULL."""
    if pa.types.is_duration(column.type):
        texts = _format_durations(column)
    else:
        texts = [_format_interval(value) for value in column.to_pylist()]
    return pa.array(texts, pa.string())


def _format_durations(column: pa.Array) -> list[str | None]:
    unit = _UNIT_NS[column.type.unit]
    numbers = column.cast(pa.int64()).to_pylist()
    return [
        None if number is None else _format_iso(0, number * unit) for number in numbers
    ]


def _format_interval(value: Any) -> str | None:
    if value is None:
        return None
    nanos = value.days * _DAY_NS + value.nanoseconds
    return _format_iso(value.months, nanos)


def _format_iso(months: int, nanos: int) -> str:
    sign = "-" if nanos < 0 else ""
    days, nanos = divmod(abs(nanos), _DAY_NS)
    date = _format_months(months)
    if days:
        date += f"{sign}{days}D"
    time = _format_time(nanos, sign)
    if time:
        return f"P{date}T{time}"
    return f"P{date}" if date else "PT0S"


def _format_months(months: int) -> str:
    sign = "-" if months < 0 else ""
    years, rest = divmod(abs(months), 12)
    text = f"{sign}{years}Y" if years else ""
    if rest:
        text += f"{sign}{rest}M"
    return text


def _format_time(nanos: int, sign: str) -> str:
    seconds, fraction = divmod(nanos, _SECOND_NS)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    text = f"{sign}{hours}H" if hours else ""
    if minutes:
        text += f"{sign}{minutes}M"
    second = str(seconds)
    if fraction:
        second = f"{seconds}.{fraction:09}".rstrip("0")
    if second != "0":
        text += f"{sign}{second}S"
    return text
