"""Decodes VARIANT, which engines pass in Parquet's binary encoding, to the JSON of a request.

The encoding: https://github.com/apache/parquet-format/blob/master/VariantEncoding.md
"""

from __future__ import annotations

import struct
import uuid
from base64 import b64encode
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Callable

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LONG = 2**63

# The basic types of a value.
_PRIMITIVE = 0
_SHORT_STRING = 1
_OBJECT = 2

_CONSTANTS = {0: None, 1: True, 2: False}
"""Primitive types without bytes."""

_INTEGER_SIZES = {3: 1, 4: 2, 5: 4, 6: 8}
_DECIMAL_SIZES = {8: 4, 9: 8, 10: 16}
_FIELDS = {"metadata", "value"}


def is_variant(arrow_type: pa.DataType) -> bool:
    """Return True if an Arrow type is the struct that carries a VARIANT."""
    if not pa.types.is_struct(arrow_type) or arrow_type.num_fields != len(_FIELDS):
        return False
    fields = list(arrow_type)
    if {field.name for field in fields} != _FIELDS:
        return False
    return all(_is_binary(field.type) for field in fields)


def to_json(column: pa.Array) -> pa.Array:
    """Return each VARIANT as compact JSON with sorted keys. NULL stays NULL."""
    rows = zip(
        column.field("metadata").to_pylist(),
        column.field("value").to_pylist(),
        column.is_valid().to_pylist(),
        strict=True,
    )
    texts = [
        decode_to_json(metadata, value) if is_valid and value is not None else None
        for metadata, value, is_valid in rows
    ]
    return pa.array(texts, pa.string())


def decode_to_json(metadata: bytes, value: bytes) -> str:
    """Return the compact JSON of a VARIANT with sorted keys."""
    document = decode(metadata, value)
    return msgspec.json.encode(document, order="sorted").decode()


def decode(metadata: bytes, value: bytes) -> Any:
    """Return a VARIANT as a JSON value."""
    return _decode_value(value, 0, _decode_keys(metadata))


def _is_binary(arrow_type: pa.DataType) -> bool:
    types = pa.types
    binary_types = (types.is_binary, types.is_large_binary, types.is_binary_view)
    return any(is_type(arrow_type) for is_type in binary_types)


# --- metadata, objects and arrays


def _read_unsigned(raw: bytes, start: int, size: int) -> int:
    return int.from_bytes(raw[start : start + size], "little")


def _read_signed(raw: bytes, start: int, size: int) -> int:
    digits = raw[start : start + size]
    return int.from_bytes(digits, "little", signed=True)


def _read_offsets(raw: bytes, start: int, size: int, count: int) -> list[int]:
    return [_read_unsigned(raw, start + i * size, size) for i in range(count)]


def _decode_keys(metadata: bytes) -> list[str]:
    size = (metadata[0] >> 6) + 1
    count = _read_unsigned(metadata, 1, size)
    ends = _read_offsets(metadata, 1 + size, size, count + 1)
    first = 1 + size * (count + 2)
    keys = []
    for start, end in pairwise(ends):
        key = metadata[first + start : first + end]
        keys.append(key.decode())
    return keys


def _decode_value(raw: bytes, at: int, keys: list[str]) -> Any:
    basic_type = raw[at] & 3
    header = raw[at] >> 2
    if basic_type == _PRIMITIVE:
        return _decode_primitive(raw, at + 1, header)
    if basic_type == _SHORT_STRING:
        return raw[at + 1 : at + 1 + header].decode()
    if basic_type == _OBJECT:
        return _decode_object(raw, at, header, keys)
    return _decode_array(raw, at, header, keys)


def _decode_object(raw: bytes, at: int, header: int, keys: list[str]) -> dict[str, Any]:
    offset_size = (header & 3) + 1
    id_size = (header >> 2 & 3) + 1
    count_size = 4 if header >> 4 & 1 else 1
    count = _read_unsigned(raw, at + 1, count_size)
    id_start = at + 1 + count_size
    offset_start = id_start + count * id_size
    first = offset_start + (count + 1) * offset_size
    ids = _read_offsets(raw, id_start, id_size, count)
    offsets = _read_offsets(raw, offset_start, offset_size, count)
    values = {}
    for i, offset in zip(ids, offsets, strict=True):
        values[keys[i]] = _decode_value(raw, first + offset, keys)
    return values


def _decode_array(raw: bytes, at: int, header: int, keys: list[str]) -> list[Any]:
    offset_size = (header & 3) + 1
    count_size = 4 if header >> 2 & 1 else 1
    count = _read_unsigned(raw, at + 1, count_size)
    offset_start = at + 1 + count_size
    first = offset_start + (count + 1) * offset_size
    offsets = _read_offsets(raw, offset_start, offset_size, count)
    return [_decode_value(raw, first + offset, keys) for offset in offsets]


# --- primitive types


def _decode_primitive(raw: bytes, at: int, type_id: int) -> Any:
    if type_id in _CONSTANTS:
        return _CONSTANTS[type_id]
    if type_id in _INTEGER_SIZES:
        return _read_signed(raw, at, _INTEGER_SIZES[type_id])
    if type_id in _DECIMAL_SIZES:
        scale = raw[at]
        unscaled = _read_signed(raw, at + 1, _DECIMAL_SIZES[type_id])
        return _to_number(Decimal(unscaled).scaleb(-scale))
    return _PRIMITIVES[type_id](raw, at)


def _to_number(value: Decimal) -> Any:
    """Return an int that fits into 64 bits, or the digits of any other number as raw JSON."""
    text = f"{value:f}"
    if "." not in text and abs(value) < _LONG:
        return int(text)
    return msgspec.Raw(text.encode())


def _decode_double(raw: bytes, at: int) -> float:
    number: float = struct.unpack_from("<d", raw, at)[0]
    return number


def _decode_float(raw: bytes, at: int) -> float:
    number: float = struct.unpack_from("<f", raw, at)[0]
    return number


def _decode_bytes(raw: bytes, at: int) -> bytes:
    size = _read_unsigned(raw, at, 4)
    return raw[at + 4 : at + 4 + size]


def _decode_binary(raw: bytes, at: int) -> str:
    return b64encode(_decode_bytes(raw, at)).decode()


def _decode_string(raw: bytes, at: int) -> str:
    return _decode_bytes(raw, at).decode()


def _decode_date(raw: bytes, at: int) -> str:
    days = timedelta(days=_read_signed(raw, at, 4))
    return (date(1970, 1, 1) + days).isoformat()


def _decode_time(raw: bytes, at: int) -> str:
    moment = _to_moment(_read_signed(raw, at, 8))
    return moment.time().isoformat()


def _decode_timestamp(raw: bytes, at: int) -> str:
    moment = _to_moment(_read_signed(raw, at, 8))
    return moment.isoformat(" ")


def _decode_local_timestamp(raw: bytes, at: int) -> str:
    moment = _to_moment(_read_signed(raw, at, 8))
    return moment.replace(tzinfo=None).isoformat(" ")


def _decode_timestamp_ns(raw: bytes, at: int) -> str:
    moment = _to_moment(_read_signed(raw, at, 8) // 1000)
    return moment.isoformat(" ")


def _decode_local_timestamp_ns(raw: bytes, at: int) -> str:
    moment = _to_moment(_read_signed(raw, at, 8) // 1000)
    return moment.replace(tzinfo=None).isoformat(" ")


def _to_moment(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)


def _decode_uuid(raw: bytes, at: int) -> str:
    return str(uuid.UUID(bytes=raw[at : at + 16]))


_PRIMITIVES: dict[int, Callable[[bytes, int], Any]] = {
    7: _decode_double,
    11: _decode_date,
    12: _decode_timestamp,
    13: _decode_local_timestamp,
    14: _decode_float,
    15: _decode_binary,
    16: _decode_string,
    17: _decode_time,
    18: _decode_timestamp_ns,
    19: _decode_local_timestamp_ns,
    20: _decode_uuid,
}
