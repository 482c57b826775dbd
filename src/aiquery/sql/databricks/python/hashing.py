"""``hash`` and ``xxhash64``: the hashes of Spark, which depend on the type of each value.

The methods are Murmur3 (32 bits, with Spark's own treatment of the last bytes) and XXH64, with the seed 42; a value
continues from the hash of those before it, and NULL changes nothing. The source is Spark 4.3's ``Murmur3_x86_32``,
``XXH64`` and ``HashExpression``.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import xxhash

from aiquery.sql.databricks.python.jsons import convert_decimal, split_field
from aiquery.sql.databricks.python.texts import read_bytes, split_types
from aiquery.sql.databricks.python.variants import decode

_SEED = 42
_MASK32 = 2**32 - 1
_LONG_DIGITS = 18
"""A DECIMAL of at most so many digits is hashed as a BIGINT."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INTS = frozenset(
    {
        "TINYINT",
        "SMALLINT",
        "INTEGER",
        "BOOLEAN",
        "DATE",
    }
)

Hash = Callable[[bytes, int], int]


def spark_hash(kinds: list[str], values: list[str | None]) -> int:
    """Return ``hash`` of values: DuckDB's names of their types, and the JSON of each."""
    return _signed(_hash_all(kinds, values, _murmur3), 32)


def spark_xxhash64(kinds: list[str], values: list[str | None]) -> int:
    """Return ``xxhash64`` of values: DuckDB's names of their types, and the JSON of each."""
    return _signed(_hash_all(kinds, values, _xxh64), 64)


def _hash_all(kinds: list[str], values: list[str | None], hash_bytes: Hash) -> int:
    seed = _SEED
    for kind, text in zip(kinds, values, strict=True):
        if text is not None:
            seed = _hash(_decode(text), kind.strip(), seed, hash_bytes)
    return seed


def _decode(text: str) -> Any:
    return text if text.lstrip("-") in {"NaN", "Infinity"} else decode(text)


def _hash(value: Any, kind: str, seed: int, hash_bytes: Hash) -> int:
    if value is None:
        return seed
    if kind.endswith("]"):
        inner = kind[: kind.rindex("[")]
        for one in value:
            seed = _hash(one, inner, seed, hash_bytes)
        return seed
    if kind.startswith("STRUCT("):
        for part in split_types(kind[7:-1]):
            name, inner = split_field(part.strip())
            seed = _hash(value.get(name), inner, seed, hash_bytes)
        return seed
    return hash_bytes(_to_bytes(value, kind), seed)


def _to_bytes(value: Any, kind: str) -> bytes:
    """Return the bytes of a scalar as Spark hashes it. Raises ``ValueError`` for another type."""
    if kind in {"VARCHAR", "BLOB"}:
        return value.encode() if kind == "VARCHAR" else read_bytes(value)
    if kind.startswith("DECIMAL"):
        return _decimal_bytes(value, kind)
    if kind in {"FLOAT", "DOUBLE"}:
        number = float(value) or 0.0  # -0.0 is 0.0
        return struct.pack("<f" if kind == "FLOAT" else "<d", number)
    if kind == "BIGINT" or kind.startswith("TIMESTAMP"):
        return struct.pack("<q", value if kind == "BIGINT" else _micros(value))
    if kind in _INTS:
        return struct.pack("<i", _days(value) if kind == "DATE" else int(value))
    raise ValueError(f"hash and xxhash64 take no value of the type {kind} on DuckDB")


def _days(text: str) -> int:
    day = date.fromisoformat(text)
    return (day - _EPOCH.date()).days


def _micros(text: str) -> int:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _decimal_bytes(value: Any, kind: str) -> bytes:
    digits, scale = (int(part) for part in kind[8:-1].split(","))
    number = convert_decimal(value, kind)
    unscaled = int(number.scaleb(scale))
    if digits <= _LONG_DIGITS:
        return struct.pack("<q", unscaled)
    size = (unscaled + (unscaled < 0)).bit_length() // 8 + 1
    return unscaled.to_bytes(size, "big", signed=True)


def _signed(value: int, bits: int) -> int:
    is_negative = value >> (bits - 1)
    return value - 2**bits if is_negative else value


def _rotate(value: int, count: int) -> int:
    return ((value << count) | (value >> (32 - count))) & _MASK32


def _murmur3(data: bytes, seed: int) -> int:
    whole = len(data) & ~3
    result = seed & _MASK32
    for (word,) in struct.iter_unpack("<I", data[:whole]):
        result = _mix(result, word)
    for byte in data[whole:]:  # each of them alone, with its sign
        result = _mix(result, (byte - 256 if byte > 127 else byte) & _MASK32)  # noqa: PLR2004
    result ^= len(data)
    result = (result ^ (result >> 16)) * 0x85EBCA6B & _MASK32
    result = (result ^ (result >> 13)) * 0xC2B2AE35 & _MASK32
    return result ^ (result >> 16)


def _mix(result: int, word: int) -> int:
    word = _rotate(word * 0xCC9E2D51 & _MASK32, 15)
    word = word * 0x1B873593 & _MASK32
    result = _rotate(result ^ word, 13)
    return (result * 5 + 0xE6546B64) & _MASK32


def _xxh64(data: bytes, seed: int) -> int:
    return xxhash.xxh64_intdigest(data, seed % 2**64)
