"""Turns SQL values into parts of a request, in the same way for every engine.

A plain argument becomes a text, a record becomes JSON; the table is in ``docs/guides/same-rows.md``. The
columns first lose the encodings of their engine (``to_plain``), so that equal values become equal
bytes whatever engine they come from.
"""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from aiquery.requests import variant
from aiquery.requests.duckdb_values import OPAQUE_FORMATTERS, format_uuid
from aiquery.requests.intervals import format_intervals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_Conversion: TypeAlias = "tuple[Callable[[Any], bool], Callable[[Any], Any]]"
"""Whether it converts an Arrow type, and the conversion of a column of that type."""

_LONG = 2**63
_TRAILING_ZEROS = r"(\.\d*?)0+($|[+-])"
_EMPTY_FRACTION = r"\.($|[+-])"
_WHOLE_NUMBERS = frozenset({"hugeint", "uhugeint"})


class NoText(Exception):
    """The values of a type have no text. The message is the type."""


def to_texts(column: pa.Array) -> pa.Array:
    """Return the values of a column as strings. NULL stays NULL. Raises ``NoText``."""
    column = to_plain(column)
    for is_type, convert in _TO_TEXTS:
        if is_type(column.type):
            return convert(column)
    raise NoText(str(column.type))


def to_json_values(column: pa.Array) -> list[Any]:
    """Return the values of a column as JSON values. NULL becomes None. Raises ``NoText``.

    A record becomes a dict whose keys are in the order of its fields.
    """
    arrow_type = column.type
    is_opaque = isinstance(arrow_type, pa.OpaqueType)
    if is_opaque and arrow_type.type_name in _WHOLE_NUMBERS:
        return [_to_number(text) for text in to_texts(column).to_pylist()]
    column = to_plain(column)
    for is_type, convert in _TO_VALUES:
        if is_type(column.type):
            values: list[Any] = convert(column)
            return values
    return to_texts(column).to_pylist()  # type: ignore[no-any-return]


def to_plain(column: pa.Array) -> pa.Array:
    """Return a column without dictionaries, extension types and VARIANT. Raises ``NoText``."""
    arrow_type = column.type
    if isinstance(arrow_type, pa.DictionaryType):
        return to_plain(column.dictionary_decode())
    if variant.is_variant(arrow_type):
        return variant.to_json(column)
    if isinstance(arrow_type, pa.BaseExtensionType):
        return _unwrap_extension(column)
    return column


def _unwrap_extension(column: pa.Array) -> pa.Array:
    """Return the column that an extension type stands for."""
    arrow_type = column.type
    if arrow_type.extension_name == "arrow.bool8":
        return column.storage.cast(pa.bool_())
    if arrow_type.extension_name == "arrow.uuid":
        return _format_bytes(column.storage, format_uuid)
    if not isinstance(arrow_type, pa.OpaqueType):
        return to_plain(column.storage)
    formatter = OPAQUE_FORMATTERS.get(arrow_type.type_name)
    if formatter is None:
        raise NoText(arrow_type.type_name.upper())
    return _format_bytes(column.storage, formatter)


def _format_bytes(storage: pa.Array, formatter: Callable[[bytes], str]) -> pa.Array:
    values = storage.to_pylist()
    texts = [None if raw is None else formatter(raw) for raw in values]
    return pa.array(texts, pa.string())


# --- texts


def _keep(column: pa.Array) -> pa.Array:
    return column


def _cast(column: pa.Array) -> pa.Array:
    try:
        return column.cast(pa.string())
    except pa.ArrowInvalid:
        raise NoText(f"{column.type} that is not UTF-8") from None


def _format_decimals(column: pa.Array) -> pa.Array:
    """Return all digits, never an exponent. Arrow's own cast writes 1E-10."""
    texts = column.cast(pa.string())
    has_exponent = pc.match_substring(texts, "E")
    if not pc.any(has_exponent).as_py():
        return texts
    values = column.to_pylist()
    digits = [None if value is None else f"{value:f}" for value in values]
    return pa.array(digits, pa.string())


def _format_moments(column: pa.Array) -> pa.Array:
    """Return times with a fraction only if it is not zero.

    A timestamp with a time zone becomes the local time and its offset, e.g. +02.
    """
    zone = getattr(column.type, "tz", None)
    if zone is None:
        return _trim_fractions(column.cast(pa.string()))
    local = pc.local_timestamp(column).cast(pa.string())
    offset = pc.replace_substring_regex(pc.strftime(column, "%z"), r"(\d\d)$", r":\1")
    offset = pc.replace_substring_regex(offset, ":00$", "")
    return _trim_fractions(pc.binary_join_element_wise(local, offset, ""))


def _trim_fractions(texts: pa.Array) -> pa.Array:
    texts = pc.replace_substring_regex(texts, _TRAILING_ZEROS, r"\1\2")
    return pc.replace_substring_regex(texts, _EMPTY_FRACTION, r"\1")


def _is_interval(arrow_type: pa.DataType) -> bool:
    return bool(arrow_type == pa.month_day_nano_interval())


_types = pa.types
_TO_TEXTS: tuple[_Conversion, ...] = (
    (_types.is_string, _keep),
    (_types.is_large_string, _cast),
    (_types.is_string_view, _cast),
    (_types.is_null, _cast),
    (_types.is_boolean, _cast),
    (_types.is_integer, _cast),
    (_types.is_floating, _cast),
    (_types.is_decimal, _format_decimals),
    (_types.is_date, _cast),
    (_types.is_time, _format_moments),
    (_types.is_timestamp, _format_moments),
    (_types.is_duration, format_intervals),
    (_is_interval, format_intervals),
    (_types.is_binary, _cast),
    (_types.is_large_binary, _cast),
    (_types.is_binary_view, _cast),
)


# --- JSON values


def _to_number(text: str | None) -> Any:
    """Return an int that fits into 64 bits, or the digits of any other number as raw JSON."""
    if text is None:
        return None
    if "." not in text:
        number = int(text)
        if -_LONG <= number < _LONG:
            return number
    return msgspec.Raw(text.encode())


def _to_numbers(column: pa.Array) -> list[Any]:
    return [_to_number(text) for text in _format_decimals(column).to_pylist()]


def _to_floats(column: pa.Array) -> list[Any]:
    """Return the floats with the fewest digits that give the same values; NaN becomes None.

    0.1 in 32 bits becomes 0.1.
    """
    texts = column.cast(pa.string()).to_pylist()
    finite = pc.is_finite(column).to_pylist()
    return [
        float(text) if is_finite else None
        for text, is_finite in zip(texts, finite, strict=True)
    ]


def _to_base64(column: pa.Array) -> list[Any]:
    return [
        None if value is None else b64encode(value).decode()
        for value in column.to_pylist()
    ]


def _to_lists(column: pa.Array) -> list[Any]:
    rows: list[Any] = []
    for i in range(len(column)):
        scalar = column[i]
        rows.append(to_json_values(scalar.values) if scalar.is_valid else None)
    return rows


def _to_dicts(column: pa.Array) -> list[Any]:
    """Return the records of a struct column."""
    fields = range(column.type.num_fields)
    names = [column.type.field(i).name for i in fields]
    parts = [to_json_values(column.field(i)) for i in fields]
    values: Iterable[tuple[Any, ...]] = [()] * len(column)
    if parts:
        values = zip(*parts, strict=True)
    valid = column.is_valid().to_pylist()
    rows: list[Any] = []
    for row, is_valid in zip(values, valid, strict=True):
        record = dict(zip(names, row, strict=True))
        rows.append(record if is_valid else None)
    return rows


def _map_to_dicts(column: pa.Array) -> list[Any]:
    rows: list[Any] = []
    for i in range(len(column)):
        scalar = column[i]
        if not scalar.is_valid:
            rows.append(None)
            continue
        entries = scalar.values
        keys = to_texts(entries.field(0)).to_pylist()
        items = to_json_values(entries.field(1))
        rows.append(dict(zip(keys, items, strict=True)))
    return rows


def _is_list(arrow_type: pa.DataType) -> bool:
    list_types = (_types.is_list, _types.is_large_list, _types.is_fixed_size_list)
    return any(is_type(arrow_type) for is_type in list_types)


def _to_python(column: pa.Array) -> list[Any]:
    return column.to_pylist()  # type: ignore[no-any-return]


_TO_VALUES: tuple[_Conversion, ...] = (
    (_types.is_string, _to_python),
    (_types.is_boolean, _to_python),
    (_types.is_integer, _to_python),
    (_types.is_floating, _to_floats),
    (_types.is_decimal, _to_numbers),
    (_types.is_binary, _to_base64),
    (_types.is_large_binary, _to_base64),
    (_types.is_map, _map_to_dicts),
    (_types.is_struct, _to_dicts),
    (_is_list, _to_lists),
)
