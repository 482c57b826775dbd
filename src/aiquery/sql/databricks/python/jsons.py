"""``to_json``: fields of structs that are NULL are left out, numbers and times have Spark's form."""

from __future__ import annotations

import functools
import json
import re
from base64 import b64encode
from collections.abc import Callable
from decimal import Context, Decimal
from typing import Any

import msgspec

from aiquery.sql.databricks.python.numbers import float_text, number_text
from aiquery.sql.databricks.python.texts import read_bytes, split_types

Convert = Callable[[Any], Any]

_QUOTED = re.compile(r"\"(?:[^\"\\\\]|\\\\.)*\"|'((?:[^'\\\\]|\\\\.)*)'", re.DOTALL)
"""A text in double or in single quotes; the group is the content of one in single quotes."""

_READER = json.JSONDecoder()
_SPECIAL = re.compile(
    r"((?:^|[:,\[])\s*)(-?(?:NaN|Infinity|nan|inf))(?=\s*(?:[,\]}]|$))"
)
"""A number that is none, which DuckDB writes without quotes."""

_DIGITS = Context(prec=38)
_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)(\.\d+)?(?:([+-]\d\d)(?::?(\d\d))?)?"
)
_DECODER = msgspec.json.Decoder(float_hook=Decimal)
_ENCODER = msgspec.json.Encoder(decimal_format="number")


def to_json(text: str, kind: str) -> str | None:
    """Return the JSON of a value of a type of DuckDB, from DuckDB's own JSON of it."""
    value = _DECODER.decode(_SPECIAL.sub(r'\1"\2"', text))
    return None if value is None else _ENCODER.encode(_converter(kind)(value)).decode()


def json_text(text: str) -> str:
    """Return the JSON value that a text begins with, as Spark reads it; "" if there is none.

    Names and texts may be in single quotes, and anything may follow.

    >>> json_text("{'a': 1} and more"), json_text("not json")
    ('{"a": 1}', '')
    """
    quoted = _QUOTED.sub(_in_double_quotes, text) if "'" in text else text
    begin = len(quoted) - len(quoted.lstrip())
    try:
        _, end = _READER.raw_decode(quoted, begin)
    except ValueError:
        return ""
    return quoted[begin:end]


def _in_double_quotes(match: re.Match[str]) -> str:
    if match[1] is None:
        return match[0]
    return json.dumps(match[1].replace("\\'", "'"), ensure_ascii=False)


@functools.lru_cache(maxsize=1_000)
def _converter(kind: str) -> Convert:
    """Return the function that converts the values of a type; none of them is NULL."""
    kind = kind.strip()
    if kind.endswith("]"):
        item = _converter(kind[: kind.rindex("[")])
        return lambda values: [None if one is None else item(one) for one in values]
    if kind.startswith("STRUCT("):
        fields = [split_field(part.strip()) for part in split_types(kind[7:-1])]
        return _struct_converter({name: _converter(inner) for name, inner in fields})
    if kind.startswith("MAP("):
        return _map_converter(*split_types(kind[4:-1]))
    return _scalar_converter(kind)


def _struct_converter(fields: dict[str, Convert]) -> Convert:
    return lambda values: {
        name: convert(values[name])
        for name, convert in fields.items()
        if values.get(name) is not None
    }


def _map_converter(keys: str, kind: str) -> Convert:
    if keys.strip().startswith(("STRUCT(", "MAP(")) or keys.strip().endswith("]"):
        raise ValueError(
            "to_json: a map whose keys are structs, maps or arrays is not supported on DuckDB."
        )
    item = _converter(kind)
    return lambda values: {
        key: None if one is None else item(one) for key, one in values.items()
    }


def _scalar_converter(kind: str) -> Convert:
    if kind.startswith("DECIMAL"):
        scale = int(kind[kind.index(",") + 1 : -1])
        return functools.partial(_scale, Decimal(1).scaleb(-scale))
    if kind == "DOUBLE":
        return _convert_double
    if kind == "FLOAT":
        return _convert_float
    if kind == "BLOB":
        return _convert_bytes
    return _convert_time if kind.startswith("TIMESTAMP") else _same


def _same(value: Any) -> Any:
    return value


def _scale(unit: Decimal, value: Any) -> Decimal:
    """Return a number with as many digits after the point as its type has."""
    return Decimal(str(value)).quantize(unit, context=_DIGITS)


def _convert_double(value: Any) -> Any:
    if isinstance(value, str):  # NaN and the infinities
        return value
    return msgspec.Raw(number_text(str(value)).encode())


def _convert_bytes(text: str) -> str:
    return b64encode(read_bytes(text)).decode()


def _convert_float(value: Any) -> Any:
    if isinstance(value, str):
        return value
    return msgspec.Raw(float_text(float(value)).encode())


def convert_decimal(value: Any, kind: str) -> Decimal:
    """Return a number with as many digits after the point as its type has."""
    number: Decimal = _scalar_converter(kind)(value)
    return number


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
    shown = (fraction or "")[1:4].ljust(3, "0")
    zone = (
        ""
        if hours is None
        else "Z"
        if hours in {"+00", "-00"} and not minutes
        else f"{hours}:{minutes or '00'}"
    )
    return f"{day}T{time}.{shown}{zone}"
