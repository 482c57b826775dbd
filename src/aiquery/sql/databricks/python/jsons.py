"""``to_json``: fields of structs that are NULL are left out, times have Spark's form."""

from __future__ import annotations

import re
from decimal import Context, Decimal
from typing import Any

from aiquery.sql.databricks.python.texts import split_types
from aiquery.sql.databricks.python.variants import decode, encode

_DIGITS = Context(prec=38)
_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)(\.\d+)?(?:([+-]\d\d)(?::?(\d\d))?)?"
)


def to_json(text: str, kind: str) -> str | None:
    """Return the JSON of a value of a type of DuckDB, from DuckDB's own JSON of it."""
    value = decode(text)
    return None if value is None else encode(_convert(value, kind.strip()))


def _convert(value: Any, kind: str) -> Any:
    if value is None:
        return None
    if kind.endswith("[]"):
        return [_convert(one, kind[:-2]) for one in value]
    if kind.startswith("STRUCT("):
        return _convert_struct(value, kind)
    if kind.startswith("MAP("):
        keys, values = split_types(kind[4:-1])
        if keys.strip().startswith(("STRUCT(", "MAP(")) or keys.strip().endswith("[]"):
            raise ValueError(
                "to_json: a map whose keys are structs, maps or arrays is not supported on DuckDB."
            )
        return {key: _convert(one, values.strip()) for key, one in value.items()}
    if kind.startswith("DECIMAL"):
        return convert_decimal(value, kind)
    is_time = kind.startswith("TIMESTAMP") and isinstance(value, str)
    return _convert_time(value) if is_time else value


def convert_decimal(value: Any, kind: str) -> Decimal:
    """Return a number with as many digits after the point as its type has."""
    scale = int(kind[kind.index(",") + 1 : -1])
    return Decimal(str(value)).quantize(Decimal(1).scaleb(-scale), context=_DIGITS)


def _convert_struct(value: Any, kind: str) -> Any:
    converted = {}
    for part in split_types(kind[7:-1]):
        name, inner = split_field(part.strip())
        one = _convert(value.get(name), inner)
        if one is not None:
            converted[name] = one
    return converted


def split_field(part: str) -> tuple[str, str]:
    """Return the name and the type of a field of a struct."""
    if part.startswith('"'):
        end = part.index('" ')
        return part[1:end].replace('""', '"'), part[end + 2 :].strip()
    name, _, kind = part.partition(" ")
    return name, kind.strip()


def _convert_time(text: str) -> str:
    match = _TIME.fullmatch(text)
    if match is None:
        return text
    day, time, fraction, hours, minutes = match.groups()
    shown = ((fraction or "")[1:].rstrip("0") or "0").ljust(3, "0")
    zone = (
        ""
        if hours is None
        else "Z"
        if hours in {"+00", "-00"} and not minutes
        else f"{hours}:{minutes or '00'}"
    )
    return f"{day}T{time}.{shown}{zone}"
