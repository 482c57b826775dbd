"""Dates and times. TIMESTAMP is a moment (DuckDB's TIMESTAMPTZ), TIMESTAMP_NTZ a time without a zone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from aiquery.errors import StatementError
from aiquery.sql.databricks.lambdas import call

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlglot.expressions import Expr

SECONDS = frozenset({"SECOND", "SECONDS", "S", "SEC", "SECS"})


def _make_timestamp(from_parts: str) -> str:
    """Return the macro of ``make_timestamp`` over one that makes a time without a zone of six parts."""
    parts = "year, month, day, hour, minute, second"
    return (
        f"({parts}) AS databricks__moment({from_parts}({parts})), "
        f"({parts}, zone) AS {from_parts}({parts}) AT TIME ZONE zone, "
        "(day) AS databricks__moment(day::DATE::TIMESTAMP), (day, time) AS databricks__moment(day::DATE + time::TIME), "
        "(day, time, zone) AS (day::DATE + time::TIME) AT TIME ZONE zone"
    )


def _make_timestamp_ntz(from_parts: str) -> str:
    parts = "year, month, day, hour, minute, second"
    return f"({parts}) AS {from_parts}({parts}), (day, time) AS day::DATE + time::TIME"


MACROS = {
    "add_months": "(day, months) AS (day::DATE + to_months(months::INT))::DATE",
    "date_add": "(day, days) AS day::DATE + days::INT",
    "date_sub": "(day, days) AS day::DATE - days::INT",
    "date_from_unix_date": "(days) AS DATE '1970-01-01' + days::INT",
    "unix_date": "(day) AS (day::DATE - DATE '1970-01-01')::INT",
    "datediff": "(later, earlier) AS (later::DATE - earlier::DATE)::INT",
    "day": "(value) AS day(value::TIMESTAMP)::INT",
    "dayname": "(value) AS strftime(value::TIMESTAMP, '%a')",
    "dayofweek": "(value) AS (dayofweek(value::TIMESTAMP) + 1)::INT",
    "dayofyear": "(value) AS dayofyear(value::TIMESTAMP)::INT",
    "hour": "(value) AS hour(value::TIMESTAMP)::INT, (value TIME) AS hour(value)::INT",
    "minute": "(value) AS minute(value::TIMESTAMP)::INT, (value TIME) AS minute(value)::INT",
    "second": "(value) AS second(value::TIMESTAMP)::INT, (value TIME) AS second(value)::INT",
    "month": "(value) AS month(value::TIMESTAMP)::INT",
    "monthname": "(value) AS strftime(value::TIMESTAMP, '%b')",
    "quarter": "(value) AS quarter(value::TIMESTAMP)::INT",
    "weekday": "(value) AS (isodow(value::TIMESTAMP) - 1)::INT",
    "weekofyear": "(value) AS weekofyear(value::TIMESTAMP)::INT",
    "year": "(value) AS year(value::TIMESTAMP)::INT",
    "_unix_time": "() AS epoch_ms(now()) // 1000, (value VARCHAR) AS "
    "epoch_ms(databricks__moment(strptime(value, '%Y-%m-%d %H:%M:%S'))) // 1000, "
    "(value) AS epoch_ms(value::TIMESTAMPTZ) // 1000",
    "current_timezone": "() AS current_setting('TimeZone')",
    "last_day": "(day) AS last_day(day::DATE)",
    "months_between": "(a, b, rounded := true) AS CASE "
    "WHEN day(a::TIMESTAMP) = day(b::TIMESTAMP) OR (a::DATE = last_day(a::DATE) AND b::DATE = last_day(b::DATE)) "
    "THEN ((year(a::TIMESTAMP) - year(b::TIMESTAMP)) * 12 + month(a::TIMESTAMP) - month(b::TIMESTAMP))::DOUBLE "
    "WHEN rounded THEN round(databricks__months_apart(a::TIMESTAMP, b::TIMESTAMP), 8) "
    "ELSE databricks__months_apart(a::TIMESTAMP, b::TIMESTAMP) END",
    "_months_apart": "(a, b) AS (year(a) - year(b)) * 12 + month(a) - month(b) + "
    "((day(a) - day(b)) * 86400 + floor(epoch(a) - epoch(date_trunc('day', a))) - "
    "floor(epoch(b) - epoch(date_trunc('day', b))))::DOUBLE / 2678400",
    "next_day": "(day, name) AS day::DATE + (((list_position(['mo', 'tu', 'we', 'th', 'fr', 'sa', 'su'], "
    "lower(left(trim(name), 2))) - isodow(day::DATE) + 6) % 7) + 1)::INT",
    "from_utc_timestamp": "(value, zone) AS value::TIMESTAMP AT TIME ZONE 'UTC' AT TIME ZONE zone "
    "AT TIME ZONE current_setting('TimeZone')",
    "to_utc_timestamp": "(value, zone) AS value::TIMESTAMP AT TIME ZONE zone AT TIME ZONE 'UTC' "
    "AT TIME ZONE current_setting('TimeZone')",
    "convert_timezone": "(target, value) AS "
    "value::TIMESTAMP AT TIME ZONE current_setting('TimeZone') AT TIME ZONE target, "
    "(source, target, value) AS value::TIMESTAMP AT TIME ZONE source AT TIME ZONE target",
    "make_date": "(year, month, day) AS make_date(year, month, day)",
    "_seconds": "(value INTERVAL) AS (extract(microsecond FROM value) % 60000000 / 1000000.0)::DECIMAL(8, 6), "
    "(value) AS (extract(microsecond FROM value::TIMESTAMP) / 1000000.0)::DECIMAL(8, 6)",
    "make_dt_interval": "(days := 0, hours := 0, minutes := 0, seconds := 0) AS to_days(days::INT) + "
    "to_hours(hours) + to_minutes(minutes) + to_microseconds((seconds::DECIMAL(18, 6) * 1000000)::BIGINT)",
    "unix_nanos": "(value) AS epoch_us(value::TIMESTAMPTZ)::HUGEINT * 1000",
    "_bucket": "(width, value) AS time_bucket(width, value::TIMESTAMP), "
    "(width, value, origin) AS time_bucket(width, value::TIMESTAMP, origin::TIMESTAMP)",
    "_make_ntz": "(year, month, day, hour, minute, second) AS CASE WHEN second::DECIMAL(16, 6) > 60 "
    "THEN error('make_timestamp: the second must be between 0 and 60') "
    "ELSE make_timestamp(year, month, day, hour, minute, 0) + to_microseconds((second::DECIMAL(16, 6) * "
    "1000000)::BIGINT) "
    "END",
    "_try_make_ntz": "(year, month, day, hour, minute, second) AS CASE WHEN second::DECIMAL(16, 6) > 60 THEN NULL "
    "ELSE TRY(make_timestamp(year, month, day, hour, minute, 0)) + "
    "to_microseconds((second::DECIMAL(16, 6) * 1000000)::BIGINT) END",
    "make_timestamp": _make_timestamp("databricks__make_ntz"),
    "make_timestamp_ntz": _make_timestamp_ntz("databricks__make_ntz"),
    "try_make_timestamp": _make_timestamp("databricks__try_make_ntz"),
    "try_make_timestamp_ntz": _make_timestamp_ntz("databricks__try_make_ntz"),
    "_moment": "(value) AS value AT TIME ZONE current_setting('TimeZone')",
    "timestamp_seconds": "(value) AS to_timestamp(value::DOUBLE)",
    "timestamp_millis": "(value) AS make_timestamptz(value::BIGINT * 1000)",
    "timestamp_micros": "(value) AS make_timestamptz(value::BIGINT)",
    "unix_seconds": "(value) AS floor(epoch(value::TIMESTAMPTZ))::BIGINT",
    "unix_millis": "(value) AS floor(epoch_us(value::TIMESTAMPTZ) / 1000)::BIGINT",
    "unix_micros": "(value) AS epoch_us(value::TIMESTAMPTZ)",
    "trunc": "(day, unit) AS CASE "
    "WHEN upper(unit) IN ('YEAR', 'YYYY', 'YY') THEN date_trunc('year', day::DATE) "
    "WHEN upper(unit) = 'QUARTER' THEN date_trunc('quarter', day::DATE) "
    "WHEN upper(unit) IN ('MONTH', 'MON', 'MM') THEN date_trunc('month', day::DATE) "
    "WHEN upper(unit) = 'WEEK' THEN date_trunc('week', day::DATE) END::DATE",
    "date_trunc": "(unit, value) AS CASE "
    "WHEN upper(unit) IN ('YEAR', 'YYYY', 'YY') THEN date_trunc('year', databricks__any_moment(value)) "
    "WHEN upper(unit) = 'QUARTER' THEN date_trunc('quarter', databricks__any_moment(value)) "
    "WHEN upper(unit) IN ('MONTH', 'MON', 'MM') THEN date_trunc('month', databricks__any_moment(value)) "
    "WHEN upper(unit) = 'WEEK' THEN date_trunc('week', databricks__any_moment(value)) "
    "WHEN upper(unit) IN ('DAY', 'DD') THEN date_trunc('day', databricks__any_moment(value)) "
    "WHEN upper(unit) = 'HOUR' THEN date_trunc('hour', databricks__any_moment(value)) "
    "WHEN upper(unit) = 'MINUTE' THEN date_trunc('minute', databricks__any_moment(value)) "
    "WHEN upper(unit) = 'SECOND' THEN date_trunc('second', databricks__any_moment(value)) "
    "WHEN upper(unit) = 'MILLISECOND' THEN date_trunc('millisecond', databricks__any_moment(value)) "
    "WHEN upper(unit) = 'MICROSECOND' THEN databricks__any_moment(value) END",
    # Months that are over: from January 31 to February 29 none is.
    "_whole_months": "(a, b) AS (year(b) - year(a)) * 12 + month(b) - month(a) "
    "- CASE WHEN b >= a AND databricks__since_month(b) < databricks__since_month(a) THEN 1 "
    "WHEN b < a AND databricks__since_month(b) > databricks__since_month(a) THEN -1 ELSE 0 END",
    "_since_month": "(value) AS day(value) * 86400000000 + epoch_us(value) - epoch_us(date_trunc('day', value))",
    "_part_of": "(name, value VARCHAR) AS date_part(name, value::TIMESTAMP)::INT, "
    "(name, value) AS date_part(name, value)::INT",
    "_any_moment": "(value) AS value::TIMESTAMPTZ",
}

NAMES = {
    "dayofmonth": "day",
    "make_timestamp_ltz": "make_timestamp",
    "try_make_timestamp_ltz": "try_make_timestamp",
}


_PARTS = {
    "DOW_ISO": "isodow", "DAYOFWEEK_ISO": "isodow", "YEAROFWEEK": "isoyear", "Y": "year", "YR": "year", "YRS": "year",
    "QTR": "quarter", "MON": "month", "MONS": "month", "W": "week", "D": "day", "H": "hour", "HR": "hour",
    "HRS": "hour", "M": "minute", "MIN": "minute", "MINS": "minute", "DOY": "doy",
}  # fmt: skip
"""DuckDB's names of the parts that Spark names otherwise."""


def part_of(unit: str, value: Expr) -> Expr:
    """Return a part of a date or time: ``unit`` is in upper case."""
    if unit in SECONDS:
        return call("databricks__seconds", value)
    if unit in {"DOW", "DAYOFWEEK"}:
        return call("databricks_dayofweek", value)
    name = _PARTS.get(unit, unit.lower())
    part = exp.Literal.string(name)
    return call("databricks__part_of", part, value)


def _date_part(node: exp.Anonymous) -> Expr:
    unit, value = node.expressions
    return part_of(unit.name.upper(), value)


def _add(node: exp.Anonymous) -> Expr:
    """``date_add(day, days)`` gives a date, ``dateadd(unit, count, time)`` a time."""
    if len(node.expressions) != _WITH_UNIT:
        return call("databricks_date_add", *node.expressions)
    unit, count, time = node.expressions
    function, factor = _INTERVALS[_unit(node, unit)]
    if factor != 1:
        count = exp.Mul(this=exp.paren(count), expression=exp.Literal.number(factor))
    moment = call("databricks__any_moment", time)
    return exp.paren(
        exp.Add(this=moment, expression=call(function, exp.cast(count, "INT")))
    )


def _difference(node: exp.Anonymous) -> Expr:
    """``datediff(later, earlier)`` counts days, ``datediff(unit, earlier, later)`` whole units."""
    if len(node.expressions) != _WITH_UNIT:
        return call("databricks_datediff", *node.expressions)
    unit, earlier, later = node.expressions
    name = _unit(node, unit)
    times = [call("databricks__any_moment", one) for one in (earlier, later)]
    if name in _MONTHS:
        months = call("databricks__whole_months", *times)
        return exp.cast(
            call(
                "trunc",
                exp.Div(this=months, expression=exp.Literal.number(_MONTHS[name])),
            ),
            "BIGINT",
        )
    return call("date_sub", exp.Literal.string(name.lower()), *times)


def _unit(node: exp.Anonymous, unit: Expr) -> str:
    name = unit.name.upper()
    if name not in _INTERVALS:
        known = ", ".join(_INTERVALS)
        raise StatementError(
            f"{str(node.this).lower()}: the unit {unit.name!r} is not known; use {known}."
        )
    return name


_WITH_UNIT = 3
_MONTHS = {"MONTH": 1, "QUARTER": 3, "YEAR": 12}
_INTERVALS = {
    "YEAR": ("to_years", 1), "QUARTER": ("to_months", 3), "MONTH": ("to_months", 1), "WEEK": ("to_weeks", 1),
    "DAY": ("to_days", 1), "HOUR": ("to_hours", 1), "MINUTE": ("to_minutes", 1), "SECOND": ("to_seconds", 1),
    "MILLISECOND": ("to_milliseconds", 1), "MICROSECOND": ("to_microseconds", 1),
}  # fmt: skip


def _time_bucket(node: exp.Anonymous) -> Expr:
    width, *others = node.expressions
    is_calendar = isinstance(width, exp.Interval) and width.text("unit").upper().rstrip(
        "S"
    ) in {"MONTH", "YEAR"}
    if is_calendar and len(others) > 1:
        raise StatementError(
            "time_bucket: a width of months with an origin is not supported on DuckDB; use date_trunc, or leave the "
            "origin out."
        )
    return call("databricks__bucket", *node.expressions)


REWRITES: dict[str, Callable[[exp.Anonymous], Expr]] = {
    **dict.fromkeys(("date_add", "dateadd", "timestampadd"), _add),
    **dict.fromkeys(("datediff", "date_diff", "timestampdiff"), _difference),
    "date_part": _date_part,
    "datepart": _date_part,
    "time_bucket": _time_bucket,
}
