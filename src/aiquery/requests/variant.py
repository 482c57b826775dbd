"""VARIANT as engines hand it over, in Parquet's binary encoding, and the JSON text that it is in a request.

The encoding: https://github.com/apache/parquet-format/blob/master/VariantEncoding.md
"""

from __future__ import annotations

import uuid
from base64 import b64encode
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pyarrow as pa

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SIZES = {3: 1, 4: 2, 5: 4, 6: 8}
_DECIMAL_SIZES = {8: 4, 9: 8, 10: 16}
_LONG = 2**63


def is_variant(kind: pa.DataType) -> bool:
    """Say whether an Arrow type is the struct that carries a VARIANT."""
    if not pa.types.is_struct(kind) or kind.num_fields != 2:  # noqa: PLR2004  its metadata and its value
        return False
    fields = {kind.field(i).name: kind.field(i).type for i in range(2)}
    return set(fields) == {"metadata", "value"} and all(
        map(_is_binary, fields.values())
    )


def to_json(column: pa.Array) -> pa.Array:
    """Return each VARIANT as compact JSON text, the keys of an object sorted; NULL: NULL."""
    valid = column.is_valid().to_pylist()
    metadata, value = (
        column.field("metadata").to_pylist(),
        column.field("value").to_pylist(),
    )
    rows = zip(metadata, value, valid, strict=True)
    return pa.array(
        [text_of(m, v) if ok and v is not None else None for m, v, ok in rows],
        pa.string(),
    )


def decode(metadata: bytes, value: bytes) -> Any:
    """Return the value that a VARIANT holds, as what JSON knows."""
    return _value(value, 0, _keys(metadata))


def text_of(metadata: bytes, value: bytes) -> str:
    """Return the compact JSON text of a VARIANT, the keys of an object sorted."""
    return msgspec.json.encode(decode(metadata, value), order="sorted").decode()


def _is_binary(kind: pa.DataType) -> bool:
    return any(
        fits(kind)
        for fits in (
            pa.types.is_binary,
            pa.types.is_large_binary,
            pa.types.is_binary_view,
        )
    )


def _number(raw: bytes, start: int, size: int) -> int:
    return int.from_bytes(raw[start : start + size], "little")


def _keys(metadata: bytes) -> list[str]:
    size = (metadata[0] >> 6) + 1
    count = _number(metadata, 1, size)
    ends = [_number(metadata, 1 + size * (i + 1), size) for i in range(count + 1)]
    first = 1 + size * (count + 2)
    return [
        metadata[first + ends[i] : first + ends[i + 1]].decode() for i in range(count)
    ]


def _value(raw: bytes, at: int, keys: list[str]) -> Any:
    basic, header = raw[at] & 3, raw[at] >> 2
    if basic == 0:
        return _primitive(raw, at + 1, header)
    if basic == 1:
        return raw[at + 1 : at + 1 + header].decode()
    return (
        _object(raw, at, header, keys) if basic == 2 else _array(raw, at, header, keys)  # noqa: PLR2004
    )


def _object(raw: bytes, at: int, header: int, keys: list[str]) -> dict[str, Any]:
    offset_size, id_size = (header & 3) + 1, (header >> 2 & 3) + 1
    count_size = 4 if header >> 4 & 1 else 1
    count = _number(raw, at + 1, count_size)
    ids = at + 1 + count_size
    offsets = ids + count * id_size
    first = offsets + (count + 1) * offset_size
    found = {}
    for i in range(count):
        key = keys[_number(raw, ids + i * id_size, id_size)]
        found[key] = _value(
            raw, first + _number(raw, offsets + i * offset_size, offset_size), keys
        )
    return found


def _array(raw: bytes, at: int, header: int, keys: list[str]) -> list[Any]:
    size, count_size = (header & 3) + 1, 4 if header >> 2 & 1 else 1
    count = _number(raw, at + 1, count_size)
    offsets = at + 1 + count_size
    first = offsets + (count + 1) * size
    return [
        _value(raw, first + _number(raw, offsets + i * size, size), keys)
        for i in range(count)
    ]


def _primitive(raw: bytes, at: int, kind: int) -> Any:
    if kind < 3:  # noqa: PLR2004  the encoding's
        return (None, True, False)[kind]
    if kind in _SIZES:
        return int.from_bytes(raw[at : at + _SIZES[kind]], "little", signed=True)
    if kind in _DECIMAL_SIZES:
        unscaled = int.from_bytes(
            raw[at + 1 : at + 1 + _DECIMAL_SIZES[kind]], "little", signed=True
        )
        return _decimal(Decimal(unscaled).scaleb(-raw[at]))
    return _PRIMITIVES[kind](raw, at)


def _decimal(value: Decimal) -> Any:
    text = f"{value:f}"
    return (
        int(text)
        if "." not in text and abs(value) < _LONG
        else msgspec.Raw(text.encode())
    )


def _float(raw: bytes, at: int, size: int) -> float:
    import struct

    found: float = struct.unpack("<d" if size == 8 else "<f", raw[at : at + size])[0]  # noqa: PLR2004  bytes of a double
    return found


def _sized(raw: bytes, at: int) -> bytes:
    return raw[at + 4 : at + 4 + _number(raw, at, 4)]


def _signed(raw: bytes, at: int, size: int) -> int:
    return int.from_bytes(raw[at : at + size], "little", signed=True)


def _moment(micros: int, *, zone: bool) -> str:
    moment = _EPOCH + timedelta(microseconds=micros)
    return (moment if zone else moment.replace(tzinfo=None)).isoformat(" ")


_PRIMITIVES: dict[int, Any] = {
    7: lambda raw, at: _float(raw, at, 8),
    11: lambda raw, at: (
        date(1970, 1, 1) + timedelta(days=_signed(raw, at, 4))
    ).isoformat(),
    12: lambda raw, at: _moment(_signed(raw, at, 8), zone=True),
    13: lambda raw, at: _moment(_signed(raw, at, 8), zone=False),
    14: lambda raw, at: _float(raw, at, 4),
    15: lambda raw, at: b64encode(_sized(raw, at)).decode(),
    16: lambda raw, at: _sized(raw, at).decode(),
    17: lambda raw, at: (
        (_EPOCH + timedelta(microseconds=_signed(raw, at, 8))).time().isoformat()
    ),
    18: lambda raw, at: _moment(_signed(raw, at, 8) // 1000, zone=True),
    19: lambda raw, at: _moment(_signed(raw, at, 8) // 1000, zone=False),
    20: lambda raw, at: str(uuid.UUID(bytes=raw[at : at + 16])),
}
