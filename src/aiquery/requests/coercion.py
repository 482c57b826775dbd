"""Coerces a decoded JSON value to an SQL type.

The result is JSON-compatible: dates, timestamps and decimals are texts.
"""

from __future__ import annotations

import math
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import msgspec

from aiquery.requests.iso_dates import read_date, read_timestamp
from aiquery.requests.sql_types import INTEGER_BITS

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiquery.requests.sql_types import SQLType

_MAX_DIGITS = 40
_FLOAT_LIMIT = 3.4028235677973366e38
"""The smallest number that rounds to infinity in 32 bits."""

_DECIMAL_CONTEXT = Context(prec=100)
_ENCODER = msgspec.json.Encoder(decimal_format="number")


def coerce(value: Any, sql_type: SQLType, path: str = "") -> object:
    """Return ``value`` as a value of the type; None stays None.

    Raises ``ValueError``, ``TypeError`` or ``InvalidOperation``. The text names the problem and its
    place in the document, which begins with ``path``.
    """
    if value is None:
        return None
    if sql_type.name == "STRUCT":
        return _coerce_struct(value, sql_type, path)
    if sql_type.name == "MAP" and sql_type.element is not None:
        return _coerce_map(value, sql_type.element, path)
    if sql_type.element is not None:
        return _coerce_array(value, sql_type.element, path)
    try:
        return _SCALARS[sql_type.name](value, sql_type)
    except (ValueError, TypeError, InvalidOperation, OverflowError) as error:
        raise ValueError(f"{error}{_where(path)}") from None


def _coerce_struct(value: Any, sql_type: SQLType, path: str) -> dict[str, object]:
    _check_container(value, dict, "an object", path)
    for name, _ in sql_type.fields:
        if name not in value:
            missing = f"{path}.{name}".lstrip(".")
            raise ValueError(f"missing field {missing}")
    return {
        name: coerce(value[name], field, f"{path}.{name}")
        for name, field in sql_type.fields
    }


def _coerce_map(value: Any, element: SQLType, path: str) -> dict[str, object]:
    _check_container(value, dict, "an object", path)
    return {key: coerce(item, element, f"{path}.{key}") for key, item in value.items()}


def _coerce_array(value: Any, element: SQLType, path: str) -> list[object]:
    _check_container(value, list, "an array", path)
    return [coerce(item, element, f"{path}[{i}]") for i, item in enumerate(value)]


def _check_container(value: Any, container: type, words: str, path: str) -> None:
    if not isinstance(value, container):
        raise TypeError(f"expected {words}{_where(path)}")


def _where(path: str) -> str:
    return f" at {path.lstrip('.')}" if path else ""


def _to_string(value: Any, _: SQLType) -> str:
    return value if isinstance(value, str) else _ENCODER.encode(value).decode()


def _to_integer(value: Any, sql_type: SQLType) -> int:
    if isinstance(value, bool):
        raise TypeError("a boolean is not an integer")
    if isinstance(value, Decimal) and value.adjusted() > _MAX_DIGITS:
        raise ValueError(f"{value} is out of range for {sql_type.name}")
    number = int(value) if isinstance(value, (int, str)) else value
    if number != int(number):
        raise ValueError(f"{value} is not an integer")
    limit = 1 << (INTEGER_BITS[sql_type.name] - 1)
    if not -limit <= number < limit:
        raise ValueError(f"{value} is out of range for {sql_type.name}")
    return int(number)


def _to_float(value: Any, sql_type: SQLType) -> float:
    if isinstance(value, bool):
        raise TypeError(f"{value} is not a finite number")
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{value} is not a finite number")
    if sql_type.name == "FLOAT" and abs(number) >= _FLOAT_LIMIT:
        raise ValueError(f"{value} is out of range for FLOAT")
    return number


def _to_decimal(value: Any, sql_type: SQLType) -> str:
    if isinstance(value, bool):
        raise TypeError("a boolean is not a number")
    precision = sql_type.precision
    scale = sql_type.scale
    step = Decimal(1).scaleb(-scale)
    number = Decimal(str(value)).quantize(step, ROUND_HALF_UP, _DECIMAL_CONTEXT)
    if not number.is_finite() or number.adjusted() >= precision - scale:
        raise ValueError(f"{value} is out of range for DECIMAL({precision},{scale})")
    return str(number)


def _to_boolean(value: Any, _: SQLType) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word not in {"true", "false"}:
        raise ValueError(f"{value!r} is neither true nor false")
    return word == "true"


def _to_date(value: Any, _: SQLType) -> str:
    return read_date(str(value)).isoformat()


def _to_timestamp(value: Any, _: SQLType) -> str:
    return read_timestamp(str(value)).isoformat(sep=" ")


_SCALARS: dict[str, Callable[[Any, SQLType], object]] = {
    "STRING": _to_string,
    "BOOLEAN": _to_boolean,
    "DATE": _to_date,
    "TIMESTAMP": _to_timestamp,
    "TIMESTAMP_NTZ": _to_timestamp,
    "FLOAT": _to_float,
    "DOUBLE": _to_float,
    "DECIMAL": _to_decimal,
    **dict.fromkeys(INTEGER_BITS, _to_integer),
}
