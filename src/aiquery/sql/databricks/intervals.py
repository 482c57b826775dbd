"""Intervals: a date and one of days or more is a date, and one and shorter ones is a TIMESTAMP."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sqlglot import exp

from aiquery.sql.databricks.decimals import translate_operator
from aiquery.sql.databricks.lambdas import call, function_name
from aiquery.sql.databricks.positions import RefusedHere

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlglot.expressions import Expr


def _macros(name: str, sign: str) -> dict[str, str]:
    moment = f"a::TIMESTAMPTZ {sign} b"
    text = f"(a VARCHAR, b) AS databricks__text({moment}), (a, b) AS a {sign} b"
    return {
        f"_{name}": f"(a DATE, b INTERVAL) AS (a {sign} b)::DATE, {text}",
        f"_{name}_time": f"(a DATE, b) AS {moment}, {text}",
    }


MACROS = {
    **_macros("plus", "+"),
    **_macros("minus", "-"),
    "_make_interval": "(years, months, weeks, days, hours, minutes, seconds) AS to_years(years::INT) "
    "+ to_months(months::INT) + to_days((weeks * 7 + days)::INT) + to_hours(hours::BIGINT) "
    "+ to_minutes(minutes::BIGINT) + to_microseconds((seconds * 1000000)::BIGINT)",
}
_MONTHS_OR_MORE = frozenset(
    {
        "MONTH",
        "MONTHS",
        "QUARTER",
        "YEAR",
        "YEARS",
    }
)
_DAYS_OR_MORE = _MONTHS_OR_MORE | {"DAY", "DAYS", "WEEK", "WEEKS"}
_MAKE_INTERVAL = "databricks__make_interval"
_MAKE_DAYS = "databricks_make_dt_interval"
_PARTS = (
    "year",
    "month",
    "week",
    "day",
    "hour",
    "minute",
    "second",
)
_UNITS = ("DAY", "HOUR", "MINUTE", "SECOND")


def translate_addition(node: exp.Add) -> Expr:
    """Translate ``+``; an interval may be on either side."""
    if _is_interval(node.left) and not _is_interval(node.right):
        node = exp.Add(this=node.right.copy(), expression=node.left.copy())
    return _with_interval(node, "plus")


def translate_subtraction(node: exp.Sub) -> Expr:
    """Translate ``-``."""
    return _with_interval(node, "minus")


def _with_interval(node: exp.Binary, name: str) -> Expr:
    left, interval = node.left, node.right
    if not _is_interval(interval):
        return translate_operator(node)
    if _is_interval(left):
        return node
    macro = f"databricks__{name}" if _has_days(interval) else f"databricks__{name}_time"
    if isinstance(left, exp.Literal) and left.is_string:
        left = exp.cast(left.copy(), "TEXT")
    return call(macro, left.copy(), interval.copy())


def _is_interval(node: Expr) -> bool:
    node = node.unnest()
    if isinstance(node, exp.Mul | exp.Div):
        return any(_is_interval(one) for one in (node.left, node.right))
    is_cast = isinstance(node, exp.Cast) and node.to.this == exp.DataType.Type.INTERVAL
    is_call = function_name(node) in {_MAKE_INTERVAL, _MAKE_DAYS}
    return is_cast or is_call or isinstance(node, exp.Interval)


def _has_days(interval: Expr) -> bool:
    """Return True for an interval of days, or of longer units, alone. A multiple of days may have hours."""
    interval = interval.unnest()
    if isinstance(interval, exp.Mul | exp.Div):
        parts = [one for one in (interval.left, interval.right) if _is_interval(one)]
        return bool(parts) and all(map(_has_months, parts))
    if isinstance(interval, exp.Interval):
        return interval.text("unit").upper() in _DAYS_OR_MORE
    if isinstance(interval, exp.Anonymous):
        return function_name(interval) == _MAKE_INTERVAL
    return not re.search("hour|minute|second", interval.name)


def _has_months(interval: Expr) -> bool:
    return interval.unnest().text("unit").upper() in _MONTHS_OR_MORE


def scale(node: exp.Mul | exp.Div) -> Expr:
    """Translate ``*`` and ``/``, one of whose operands may be an interval."""
    return node if _is_interval(node) else translate_operator(node)


def _make(node: exp.MakeInterval) -> Expr:
    zero = exp.Literal.number(0)
    parts = [node.args.get(name) or zero.copy() for name in _PARTS]
    return call(_MAKE_INTERVAL, *(one.copy() for one in parts))


def translate_interval(node: exp.Interval) -> Expr:
    """Translate ``INTERVAL '1 10:30:00' DAY TO SECOND``. Raises ``StatementError`` for a text of another form."""
    span = node.args.get("unit")
    if not isinstance(span, exp.IntervalSpan) or not isinstance(node.this, exp.Literal):
        return node
    units = _units_of(span)
    text = node.this.name.strip()
    numbers = re.fullmatch(
        r"[+-]?" + r"[ :-]".join([r"(\d+(?:\.\d+)?)"] * len(units)), text
    )
    if numbers is None:
        raise RefusedHere(
            f"INTERVAL {node.this.name!r}: the text is not one of {units[0]} TO {units[-1]}.",
            node.this.meta.get("start"),
        )
    sign = "-" if text.startswith("-") else ""
    parts = zip(numbers.groups(), units, strict=True)
    made = " ".join(f"{sign}{number} {unit.lower()}s" for number, unit in parts)
    literal = exp.Literal.string(made)
    return exp.cast(literal, "INTERVAL")


def _units_of(span: exp.IntervalSpan) -> tuple[str, ...]:
    first, last = span.this.name.upper(), span.expression.name.upper()
    if (first, last) == ("YEAR", "MONTH"):
        return ("YEAR", "MONTH")
    if first not in _UNITS or last not in _UNITS:
        raise RefusedHere(f"INTERVAL .. {first} TO {last} is not an interval.", None)
    return _UNITS[_UNITS.index(first) : _UNITS.index(last) + 1]


OPERATORS: dict[type[Expr], Callable[..., Expr]] = {
    exp.Add: translate_addition,
    exp.Sub: translate_subtraction,
    exp.Mul: scale,
    exp.Div: scale,
    exp.MakeInterval: _make,
    exp.Interval: translate_interval,
}
