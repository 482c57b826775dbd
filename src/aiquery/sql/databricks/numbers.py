"""Numbers: overflow and bad casts are errors, ``try_`` forms give NULL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from aiquery.sql.databricks.lambdas import choose

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlglot.expressions import Expr

_HALF_EVEN = "round_even(value, scale)"
_RANDOM = "Random numbers"

MACROS = {
    "bin": "(value) AS bin(value::BIGINT)",
    "bit_get": "(value, position) AS ((value >> position) & 1)::TINYINT",
    # The type is that of ``round``.
    "_bround": "(k BIGINT, value, digits) AS cast_to_type(round_even(value, digits), value), "
    "(k DECIMAL(38, 0), value, digits) AS "
    "cast_to_type(round_even(value, digits), databricks__round_typed(value, digits)), "
    "(k, value, digits) AS round_even(value, digits)",
    "csc": "(value) AS 1 / sin(value)",
    "sec": "(value) AS 1 / cos(value)",
    "e": "() AS exp(1)",
    "div": "(a BIGINT, b BIGINT) AS (a // databricks__nonzero(b))::BIGINT, "
    "(a, b) AS trunc(a / databricks__nonzero(b))::BIGINT",
    # The first parameter chooses the overload: as a DECIMAL(38, 0) it loses its digits.
    "_ceil": "(k DOUBLE, value) AS ceil(value)::BIGINT, (k FLOAT, value) AS ceil(value)::BIGINT, "
    "(k BIGINT, value) AS value::BIGINT, (k DECIMAL(38, 0), value) AS databricks__ceil_typed(value), "
    "(k, value) AS ceil(value)",
    "_floor": "(k DOUBLE, value) AS floor(value)::BIGINT, (k FLOAT, value) AS floor(value)::BIGINT, "
    "(k BIGINT, value) AS value::BIGINT, (k DECIMAL(38, 0), value) AS databricks__floor_typed(value), "
    "(k, value) AS floor(value)",
    # Spark rounds the digits that a number is shown with: 1.005 is 1.01.
    "_round": "(k BIGINT, value, digits) AS cast_to_type(round(value, digits), value), "
    "(k FLOAT, value, digits) AS coalesce(round(TRY_CAST(value::VARCHAR AS DECIMAL(38, 16)), digits)::FLOAT, "
    "round(value, digits)), "
    "(k DOUBLE, value, digits) AS coalesce(round(TRY_CAST(value::VARCHAR AS DECIMAL(38, 16)), digits)"
    "::DOUBLE, round(value, digits)), (k DECIMAL(38, 0), value, digits) AS databricks__round_typed(value, digits), "
    "(k, value, digits) AS round(value, digits)",
    "_nonzero": "(value) AS CASE WHEN value = 0 THEN 1 // value::BIGINT ELSE value END",
    # DuckDB's cube root of 27 is 3.0000000000000004.
    "cbrt": "(value) AS CASE WHEN value = 0 THEN 0.0::DOUBLE ELSE "
    "databricks__nearer_root(cbrt(value), databricks__newton(cbrt(value), value::DOUBLE), value::DOUBLE) END",
    "_newton": "(root, value) AS root - (root * root * root - value) / (3 * root * root)",
    "_nearer_root": "(a, b, value) AS CASE WHEN abs(b * b * b - value) < abs(a * a * a - value) THEN b ELSE a END",
    "expm1": "(value) AS exp(value) - 1",
    "hypot": "(a, b) AS sqrt(a * a + b * b)",
    "log1p": "(value) AS CASE WHEN value > -1 THEN ln(1 + value) END",
    "nanvl": "(a, b) AS CASE WHEN isnan(a::DOUBLE) THEN b ELSE a END",
    "_log": "(value) AS CASE WHEN value > 0 THEN ln(value) END",
    "_log2": "(value) AS CASE WHEN value > 0 THEN log2(value) END",
    "_log10": "(value) AS CASE WHEN value > 0 THEN log10(value) END",
    "_log_base": "(base, value) AS CASE WHEN base > 0 AND value > 0 THEN ln(value) / ln(base) END",
    "factorial": "(value) AS CASE WHEN value BETWEEN 0 AND 20 THEN factorial(value::INT)::BIGINT END",
    "isnan": "(value) AS coalesce(isnan(value::DOUBLE), false)",
    "bit_count": "(value BOOLEAN) AS value::INT, (value) AS bit_count(value::BIGINT)::INT",
    "negative": "(value) AS -value",
    "positive": "(value) AS +value",
    "rint": "(value) AS round_even(value::DOUBLE, 0)",
    "sign": "(value) AS sign(value)::DOUBLE",
    "shiftrightunsigned": "(value, count) AS CASE WHEN value >= 0 THEN value >> count "
    "ELSE ((value::HUGEINT + 4294967296) >> count)::INT END",
    "width_bucket": "(value INTERVAL, low INTERVAL, high INTERVAL, count) AS databricks__bucket_of("
    "databricks__days(value), databricks__days(low), databricks__days(high), count), "
    "(value, low, high, count) AS databricks__bucket_of(value, low, high, count)",
    "_days": "(value) AS extract(year FROM value) * 372 + extract(month FROM value) * 31 + extract(day FROM value) + "
    "extract(hour FROM value) / 24.0 + extract(minute FROM value) / 1440.0",
    "_bucket_of": "(value, low, high, count) AS CASE WHEN count <= 0 OR low = high THEN NULL "
    "WHEN low < high THEN CASE WHEN value < low THEN 0 WHEN value >= high THEN count + 1 "
    "ELSE floor(count * (value - low) / (high - low))::BIGINT + 1 END "
    "ELSE CASE WHEN value > low THEN 0 WHEN value <= high THEN count + 1 "
    "ELSE floor(count * (low - value) / (low - high))::BIGINT + 1 END END",
    "conv": "(value, source, target) AS databricks_py_conv(value::VARCHAR, source, target)",
    "format_number": "(value, form) AS databricks_py_format_number(value::VARCHAR, form::VARCHAR)",
    "_number_to_char": "(value, form) AS databricks_py_to_char(value::VARCHAR, form)",
    "vector_norm": "(items, degree := 2) AS (CASE WHEN degree = 'inf'::DOUBLE "
    "THEN list_max(list_transform(items, lambda x: abs(x))) "
    "ELSE list_sum(list_transform(items, lambda x: abs(x) ^ degree)) ^ (1.0 / degree) END)::FLOAT",
    "vector_normalize": "(items, degree := 2) AS list_transform(items, lambda x: "
    "(x / databricks_vector_norm(items, degree))::FLOAT)",
    "zeroifnull": "(value) AS coalesce(value, 0)",
    "nullifzero": "(value) AS nullif(value, 0)",
    "isnull": "(value) AS value IS NULL",
    "isnotnull": "(value) AS value IS NOT NULL",
    "vector_cosine_similarity": "(a, b) AS list_cosine_similarity(a::DOUBLE[], b::DOUBLE[])::FLOAT",
    "vector_inner_product": "(a, b) AS list_inner_product(a, b)",
    "vector_l2_distance": "(a, b) AS list_distance(a, b)",
}

NAMES = {"signum": "sign", "getbit": "bit_get", "ushr": "shiftrightunsigned"}


def _bround(node: exp.Anonymous) -> Expr:
    value, *rest = node.expressions
    digits = rest[0] if rest else exp.Literal.number(0)
    return choose("databricks__bround", value, digits)


REWRITES: dict[str, Callable[[exp.Anonymous], Expr]] = {"bround": _bround}
