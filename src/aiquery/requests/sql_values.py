"""How a value of SQL becomes part of a request: the one place that says it, for every engine.

A plain argument becomes text, a record becomes JSON. The table is in ``docs/same-rows.md``. What an engine's own types
look like in Arrow is undone here first (``plain``), so that the same value is the same bytes wherever it comes from.
"""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from aiquery.requests import variant

if TYPE_CHECKING:
    from collections.abc import Callable

_LONG = 2**63
_DAY_NS = 86_400_000_000_000
_TRAILING = r"(\.\d*?)0+($|[+-])"
_EMPTY_FRACTION = r"\.($|[+-])"


class NoText(Exception):
    """A type of which no text is defined; the message names it."""


def texts(column: pa.Array) -> pa.Array:
    """Return the values of a column as an array of strings; NULL stays NULL. Raises ``NoText``."""
    column = plain(column)
    kind = column.type
    for fits, convert in _TEXTS:
        if fits(kind):
            return convert(column)
    raise NoText(str(kind))


def values(column: pa.Array) -> list[Any]:
    """Return the values of a column as what JSON knows: the fields of a record, in their order. Raises ``NoText``."""
    if (
        isinstance(column.type, pa.OpaqueType)
        and column.type.type_name in _WHOLE_NUMBERS
    ):
        return [_number(text) for text in texts(column).to_pylist()]
    column = plain(column)
    kind = column.type
    for fits, convert in _VALUES:
        if fits(kind):
            found: list[Any] = convert(column)
            return found
    return texts(column).to_pylist()  # type: ignore[no-any-return]


def plain(column: pa.Array) -> pa.Array:
    """Return a column of Arrow's own types: without dictionaries, and without what only one engine knows."""
    kind = column.type
    if isinstance(kind, pa.DictionaryType):
        return plain(column.dictionary_decode())
    if variant.is_variant(kind):
        return variant.to_json(column)
    return _undone(column) if isinstance(kind, pa.BaseExtensionType) else column


def _undone(column: pa.Array) -> pa.Array:
    """Return an extension's column as what it stands for."""
    kind, storage = column.type, column.storage
    if kind.extension_name == "arrow.bool8":
        return storage.cast(pa.bool_())
    convert: Callable[[bytes], str] | None = (
        _uuid if kind.extension_name == "arrow.uuid" else None
    )
    if isinstance(kind, pa.OpaqueType):
        convert = _OPAQUE.get(kind.type_name)
        if convert is None:
            raise NoText(kind.type_name.upper())
    if convert is None:
        return plain(storage)
    return pa.array(
        [None if raw is None else convert(raw) for raw in storage.to_pylist()],
        pa.string(),
    )


# --- DuckDB's own types, as it hands them over with arrow_lossless_conversion ----------------------------------------


def _hugeint(raw: bytes) -> str:
    return str(int.from_bytes(raw, "little", signed=True))


def _uhugeint(raw: bytes) -> str:
    return str(int.from_bytes(raw, "little"))


def _bit(raw: bytes) -> str:
    return "".join(f"{byte:08b}" for byte in raw[1:])[raw[0] :]


_MICROS_BITS = 24
_MOST_OFFSET_S = 57_599


def _time_with_zone(raw: bytes) -> str:
    packed = int.from_bytes(raw, "little")
    micros, offset = (
        packed >> _MICROS_BITS,
        _MOST_OFFSET_S - (packed & (2**_MICROS_BITS - 1)),
    )
    seconds, micros = divmod(micros, 1_000_000)
    clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    fraction = f".{micros:06}".rstrip("0") if micros else ""
    sign, offset = ("-", -offset) if offset < 0 else ("+", offset)
    rest = f":{offset % 60:02}" if offset % 60 else ""
    return f"{clock}{fraction}{sign}{offset // 3600:02}:{offset // 60 % 60:02}{rest}"


def _uuid(raw: bytes) -> str:
    digits = raw.hex()
    return "-".join(
        (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])
    )


_OPAQUE: dict[str, Callable[[bytes], str]] = {
    "hugeint": _hugeint,
    "uhugeint": _uhugeint,
    "bit": _bit,
    "time_tz": _time_with_zone,
}
_WHOLE_NUMBERS = frozenset({"hugeint", "uhugeint"})


# --- texts -----------------------------------------------------------------------------------------------------------


def _cast(column: pa.Array) -> pa.Array:
    try:
        return column.cast(pa.string())
    except pa.ArrowInvalid:
        raise NoText(f"{column.type} that is no UTF-8") from None


def _decimal(column: pa.Array) -> pa.Array:
    """Write the digits, never an exponent: Arrow writes 1E-10."""
    found = column.cast(pa.string())
    if not pc.any(pc.match_substring(found, "E")).as_py():
        return found
    return pa.array(
        [None if value is None else f"{value:f}" for value in column.to_pylist()],
        pa.string(),
    )


def _moment(column: pa.Array) -> pa.Array:
    """Write seconds, and of their fraction only what is not zero; with a zone, local time and its offset (+02)."""
    zone = getattr(column.type, "tz", None)
    if zone is None:
        return _trimmed(column.cast(pa.string()))
    local = pc.local_timestamp(column).cast(pa.string())
    offset = pc.replace_substring_regex(pc.strftime(column, "%z"), r"(\d\d)$", r":\1")
    offset = pc.replace_substring_regex(offset, ":00$", "")
    return _trimmed(pc.binary_join_element_wise(local, offset, ""))


def _trimmed(found: pa.Array) -> pa.Array:
    found = pc.replace_substring_regex(found, _TRAILING, r"\1\2")
    return pc.replace_substring_regex(found, _EMPTY_FRACTION, r"\1")


def _interval(column: pa.Array) -> pa.Array:
    """Write ISO 8601: years and months, then days of 24 hours, then time."""
    parts = [
        None if value is None else _iso_duration(*_parts(value))
        for value in _raw_intervals(column)
    ]
    return pa.array(parts, pa.string())


def _raw_intervals(column: pa.Array) -> list[Any]:
    if pa.types.is_duration(column.type):
        unit = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}[column.type.unit]
        return [
            None if value is None else value * unit
            for value in column.cast(pa.int64()).to_pylist()
        ]
    return column.to_pylist()  # type: ignore[no-any-return]


def _parts(value: Any) -> tuple[int, int]:
    """Return months, and nanoseconds."""
    if isinstance(value, int):
        return 0, value
    return value.months, value.days * _DAY_NS + value.nanoseconds


def _iso_duration(months: int, nanos: int) -> str:
    sign, nanos = ("-", -nanos) if nanos < 0 else ("", nanos)
    days, nanos = divmod(nanos, _DAY_NS)
    seconds, fraction = divmod(nanos, 10**9)
    hours, minutes, seconds = seconds // 3600, seconds // 60 % 60, seconds % 60
    years, rest = divmod(abs(months), 12)
    before = "-" if months < 0 else ""
    date = "".join(
        f"{before}{n}{unit}" for n, unit in ((years, "Y"), (rest, "M")) if n
    ) + (f"{sign}{days}D" if days else "")
    second = f"{seconds}.{fraction:09}".rstrip("0") if fraction else str(seconds)
    clock = "".join(
        f"{sign}{n}{unit}" for n, unit in ((hours, "H"), (minutes, "M")) if n
    )
    clock += f"{sign}{second}S" if second != "0" else ""
    return f"P{date}{'T' if clock else ''}{clock}" if date or clock else "PT0S"


def _month_interval(kind: pa.DataType) -> bool:
    return bool(kind == pa.month_day_nano_interval())


_types = pa.types
_TEXTS: tuple[tuple[Callable[[Any], bool], Callable[[Any], Any]], ...] = (
    (_types.is_string, lambda column: column),
    (_types.is_large_string, _cast),
    (_types.is_string_view, _cast),
    (_types.is_null, _cast),
    (_types.is_boolean, _cast),
    (_types.is_integer, _cast),
    (_types.is_floating, _cast),
    (_types.is_decimal, _decimal),
    (_types.is_date, _cast),
    (_types.is_time, _moment),
    (_types.is_timestamp, _moment),
    (_types.is_duration, _interval),
    (_month_interval, _interval),
    (_types.is_binary, _cast),
    (_types.is_large_binary, _cast),
    (_types.is_binary_view, _cast),
)


# --- JSON ------------------------------------------------------------------------------------------------------------


def _number(text: str | None) -> Any:
    """Return a whole number; one that has too many digits for a machine, or a fraction, as its digits."""
    if text is None:
        return None
    if "." not in text and -_LONG <= int(text) < _LONG:
        return int(text)
    return msgspec.Raw(text.encode())


def _numbers(column: pa.Array) -> list[Any]:
    return [_number(text) for text in _decimal(column).to_pylist()]


def _floats(column: pa.Array) -> list[Any]:
    """Return floats with the fewest digits that give the same back: 0.1 in 32 bits is 0.1 too. NaN is null in JSON."""
    finite = pc.is_finite(column).to_pylist()
    found = column.cast(pa.string()).to_pylist()
    return [float(text) if ok else None for text, ok in zip(found, finite, strict=True)]


def _bytes(column: pa.Array) -> list[Any]:
    return [
        None if value is None else b64encode(value).decode()
        for value in column.to_pylist()
    ]


def _list(column: pa.Array) -> list[Any]:
    found = []
    for i in range(len(column)):
        scalar = column[i]
        found.append(values(scalar.values) if scalar.is_valid else None)
    return found


def _struct(column: pa.Array) -> list[Any]:
    kind = column.type
    names = [kind.field(i).name for i in range(kind.num_fields)]
    parts = [values(column.field(i)) for i in range(kind.num_fields)]
    valid = column.is_valid().to_pylist()
    rows = zip(*parts, strict=True) if parts else ((),) * len(column)
    return [
        dict(zip(names, row, strict=True)) if ok else None
        for row, ok in zip(rows, valid, strict=True)
    ]


def _map(column: pa.Array) -> list[Any]:
    rows: list[Any] = []
    for i in range(len(column)):
        scalar = column[i]
        if not scalar.is_valid:
            rows.append(None)
            continue
        entries = scalar.values
        keys, items = texts(entries.field(0)).to_pylist(), values(entries.field(1))
        rows.append(dict(zip(keys, items, strict=True)))
    return rows


def _is_list(kind: pa.DataType) -> bool:
    return any(
        fits(kind)
        for fits in (_types.is_list, _types.is_large_list, _types.is_fixed_size_list)
    )


def _as_python(column: pa.Array) -> list[Any]:
    return column.to_pylist()  # type: ignore[no-any-return]


_VALUES: tuple[tuple[Callable[[Any], bool], Callable[[Any], Any]], ...] = (
    (_types.is_string, _as_python),
    (_types.is_boolean, _as_python),
    (_types.is_integer, _as_python),
    (_types.is_floating, _floats),
    (_types.is_decimal, _numbers),
    (_types.is_binary, _bytes),
    (_types.is_large_binary, _bytes),
    (_types.is_map, _map),
    (_types.is_struct, _struct),
    (_is_list, _list),
)
