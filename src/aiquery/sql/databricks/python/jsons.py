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
from aiquery.sql.databricks.python.variants import encode, variant_text

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


def to_json_with(text: str, kind: str, options: str) -> str:
    """Return the JSON of a value with options of ``to_json``: ``ignorenullfields`` keeps NULL, ``sortkeys`` sorts."""
    chosen = options.split(",")
    value = _DECODER.decode(_SPECIAL.sub(r'\1"\2"', text))
    made = _converter(kind, keeps_null="ignorenullfields" in chosen)(value)
    return _ENCODER.encode(_sort(made) if "sortkeys" in chosen else made).decode()


def _sort(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sort(value[key]) for key in sorted(value)}
    return [_sort(one) for one in value] if isinstance(value, list) else value


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
def _converter(kind: str, *, keeps_null: bool = False) -> Convert:
    """Return the function that converts the values of a type; none of them is NULL.

    ``keeps_null`` keeps the fields of structs that are NULL.
    """
    convert = functools.partial(_converter, keeps_null=keeps_null)
    kind = kind.strip()
    if kind.endswith("]"):
        item = convert(kind[: kind.rindex("[")])
        return lambda values: [None if one is None else item(one) for one in values]
    if kind.startswith("STRUCT("):
        fields = [split_field(part.strip()) for part in split_types(kind[7:-1])]
        converters = {name: convert(inner) for name, inner in fields}
        return _struct_converter(converters, keeps_null=keeps_null)
    if kind.startswith("MAP("):
        keys, values = split_types(kind[4:-1])
        return _map_converter(keys, convert(values))
    return _scalar_converter(kind)


def _struct_converter(fields: dict[str, Convert], *, keeps_null: bool) -> Convert:
    def convert(values: Any) -> dict[str, Any]:
        return {
            name: None if values.get(name) is None else change(values[name])
            for name, change in fields.items()
            if keeps_null or values.get(name) is not None
        }

    return convert


def _map_converter(keys: str, item: Convert) -> Convert:
    if keys.strip().startswith(("STRUCT(", "MAP(")) or keys.strip().endswith("]"):
        raise ValueError(
            "to_json: a map whose keys are structs, maps or arrays is not supported on DuckDB."
        )
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
    if kind == "JSON":
        return _convert_variant
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


def _convert_variant(value: Any) -> msgspec.Raw:
    return msgspec.Raw(variant_text(encode(value)).encode())


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
