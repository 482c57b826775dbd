"""The types of DECIMAL arithmetic, as Spark's: DuckDB asks for them while it plans, never for a row.

The rules are those of Spark's ``DecimalPrecision`` and ``DecimalType.adjustPrecisionScale``: where the digits do not
fit in 38, the scale gets smaller, but not smaller than 6.
"""

from __future__ import annotations

import functools
import json
import re
from typing import NamedTuple

MAX_PRECISION = 38
MIN_ADJUSTED_SCALE = 6
_WIDE = 19
_SUM_DIGITS = 10
_MEAN_DIGITS = 4
_DECIMAL = re.compile(r"DECIMAL\((\d+),(\d+)\)")
_WHOLE_DIGITS = {"TINYINT": 3, "SMALLINT": 5, "INTEGER": 10, "BIGINT": 20}
_SHORT = frozenset({"TINYINT", "SMALLINT"})
_NUMBERS = frozenset({*_WHOLE_DIGITS, "FLOAT", "DOUBLE"})


class Decimal(NamedTuple):
    """A DECIMAL type."""

    precision: int
    scale: int

    def __str__(self) -> str:
        """Return its name in SQL."""
        return f"DECIMAL({self.precision},{self.scale})"


class Operation(NamedTuple):
    """An operator with the types of its operands.

    operator      ``+ - * / %``, or ``sum``, ``avg``, ``round`` or ``ceil`` of the left type alone
    left, right   DuckDB's names of the types of the operands
    .._digits     the digits of an operand that is a literal, or 0; for ``round`` the right ones are its second argument
    own           the type that DuckDB's own operator has, which holds unless an operand is DECIMAL
    """

    operator: str
    left: str
    right: str
    left_digits: int
    right_digits: int
    own: str

    @property
    def operands(self) -> set[str]:
        """The types of both operands."""
        return {self.left, self.right}


def decimal_type(parts: list[str]) -> str:
    """Return the type of an operation's result, as the text that DuckDB's ``from_json`` takes.

    ``parts`` are those of an ``Operation``, as texts.

    >>> decimal_type(["/", "DECIMAL(10,2)", "INTEGER", "0", "3", "DOUBLE"])
    '"DECIMAL(14,6)"'
    >>> decimal_type(["/", "INTEGER", "INTEGER", "0", "0", "DOUBLE"])
    '"DOUBLE"'
    """
    operation = _read(parts)
    made = _result(operation)
    if made is not None:
        return _name(made)
    if operation.operator == "-" and operation.operands == {"DATE"}:
        return _name("INTERVAL")
    if operation.operator == "sum" and operation.own == "HUGEINT":
        return _name("BIGINT")
    return _name(_promoted(operation) or operation.own)


def left_type(parts: list[str]) -> str:
    """Return the type that the left operand is cast to, so that DuckDB computes what Spark does.

    DuckDB computes a product with 18 digits while both factors have no more. FLOAT beside another type is DOUBLE, and a
    literal beside a TINYINT is an INTEGER.
    """
    operation = _read(parts)
    made = _result(operation)
    operand = _left(operation)
    if operation.operator == "*" and made is not None and operand is not None:
        least = _WIDE if made.precision >= _WIDE else 1
        return _name(Decimal(max(operand.precision, least), operand.scale))
    return _name(_promoted(operation) or operation.left)


def right_type(parts: list[str]) -> str:
    """Return the type that the right operand of a difference is cast to: a time between dates."""
    operation = _read(parts)
    return _name("TIMESTAMP" if operation.operands == {"DATE"} else operation.right)


def quotient_zeros(parts: list[str]) -> str:
    """Return the zeros to write after the digits of a dividend: a whole division then gives those of the result."""
    operation = _read(parts)
    made = _result(operation)
    if made is None:
        return ""
    dividend = _left(operation)
    divisor = _right(operation)
    if dividend is None:
        raise AssertionError(operation)
    scale = 0 if divisor is None else divisor.scale
    return "0" * (made.scale - dividend.scale + scale)


def quotient_unit(parts: list[str]) -> str:
    """Return the value of the last digit of a quotient: ``0.000001`` for a scale of 6."""
    scale = _scale(parts)
    return f"0.{'0' * (scale - 1)}1" if scale else "1"


def quotient_unit_type(parts: list[str]) -> str:
    """Return the type of ``quotient_unit``."""
    scale = _scale(parts)
    return _name(Decimal(max(scale, 1), scale))


def _scale(parts: list[str]) -> int:
    made = _result(_read(parts))
    return 0 if made is None else made.scale


def _read(parts: list[str]) -> Operation:
    operator, left, right, left_digits, right_digits, own = parts
    return Operation(operator, left, right, int(left_digits), int(right_digits), own)


def _promoted(operation: Operation) -> str | None:
    """Return the type of operands that Spark makes wider than DuckDB, or None."""
    operands = operation.operands
    is_quotient = operation.operator == "/"
    if "FLOAT" in operands and (len(operands) > 1 or is_quotient):
        return "DOUBLE" if all(map(_is_number, operands)) else None
    if is_quotient or "INTEGER" not in operands:
        return None
    has_literal = operation.left_digits or operation.right_digits
    return "INTEGER" if has_literal and operands & _SHORT else None


def _is_number(kind: str) -> bool:
    return kind in _NUMBERS or _DECIMAL.fullmatch(kind) is not None


def _name(kind: str | Decimal) -> str:
    """Return a type as the text that ``from_json`` takes. NULL has no type there."""
    return json.dumps("INTEGER" if kind == '"NULL"' else str(kind))


@functools.cache
def _result(operation: Operation) -> Decimal | None:
    """Return the DECIMAL type of a result, or None if it is none."""
    if not any(one.startswith("DECIMAL") for one in operation.operands):
        return None
    first = _left(operation)
    second = _right(operation)
    of_one = _OF_ONE.get(operation.operator)
    if first is None:
        return None
    if of_one is not None:
        return of_one(first, operation.right_digits)
    if second is None:
        return None
    return _adjusted(*_OF_TWO[operation.operator](first, second))


def _left(operation: Operation) -> Decimal | None:
    return _operand(operation.left, operation.left_digits)


def _right(operation: Operation) -> Decimal | None:
    return _operand(operation.right, operation.right_digits)


def _operand(name: str, digits: int) -> Decimal | None:
    found = _DECIMAL.fullmatch(name)
    if found is not None:
        return Decimal(digits or int(found[1]), int(found[2]))
    if name in _WHOLE_DIGITS:
        return Decimal(digits or _WHOLE_DIGITS[name], 0)
    return None


def _adjusted(precision: int, scale: int) -> Decimal:
    if precision <= MAX_PRECISION:
        return Decimal(precision, scale)
    whole = precision - scale
    least = min(scale, MIN_ADJUSTED_SCALE)
    return Decimal(MAX_PRECISION, max(MAX_PRECISION - whole, least))


def _bounded(precision: int, scale: int) -> Decimal:
    return Decimal(min(precision, MAX_PRECISION), min(scale, MAX_PRECISION))


def _sum_of_two(a: Decimal, b: Decimal) -> tuple[int, int]:
    scale = max(a.scale, b.scale)
    return max(a.precision - a.scale, b.precision - b.scale) + scale + 1, scale


def _product(a: Decimal, b: Decimal) -> tuple[int, int]:
    return a.precision + b.precision + 1, a.scale + b.scale


def _quotient(a: Decimal, b: Decimal) -> tuple[int, int]:
    scale = max(MIN_ADJUSTED_SCALE, a.scale + b.precision + 1)
    return a.precision - a.scale + b.scale + scale, scale


def _remainder(a: Decimal, b: Decimal) -> tuple[int, int]:
    scale = max(a.scale, b.scale)
    return min(a.precision - a.scale, b.precision - b.scale) + scale, scale


def _total(a: Decimal, _: int) -> Decimal:
    return _bounded(a.precision + _SUM_DIGITS, a.scale)


def _mean(a: Decimal, _: int) -> Decimal:
    return _bounded(a.precision + _MEAN_DIGITS, a.scale + _MEAN_DIGITS)


def _rounded(a: Decimal, digits: int) -> Decimal:
    """Return the type of ``round(value, digits)``."""
    whole = a.precision - a.scale + 1
    if digits < 0:
        return _bounded(max(whole, 1 - digits), 0)
    scale = min(digits, a.scale)
    return _bounded(whole + scale, scale)


def _ceiling(a: Decimal, _: int) -> Decimal:
    return _bounded(a.precision - a.scale + 1, 0)


_OF_TWO = {
    "+": _sum_of_two,
    "-": _sum_of_two,
    "*": _product,
    "/": _quotient,
    "%": _remainder,
}
_OF_ONE = {"sum": _total, "avg": _mean, "round": _rounded, "ceil": _ceiling}
