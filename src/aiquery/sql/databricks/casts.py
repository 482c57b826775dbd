"""CAST: a text has Spark's form, a number loses its fraction, a struct keeps the order of its fields."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sqlglot import exp

from aiquery.sql.databricks.json import NESTED
from aiquery.sql.databricks.lambdas import call, choose, function_name
from aiquery.sql.databricks.nested_casts import cast_items, is_nested
from aiquery.sql.databricks.positions import RefusedHere
from aiquery.sql.databricks.value_texts import as_text, is_text, is_variant

if TYPE_CHECKING:
    from sqlglot.expressions import Expr

MACROS = {
    # The first of two parameters chooses an overload. A VARIANT is JSON, whose texts have quotes.
    "_scalar_text": "(value) AS CASE WHEN typeof(value) = 'JSON' THEN json_extract_string(value::VARCHAR, '$') "
    "ELSE value::VARCHAR END",
    "_whole_number": "(value) AS CASE WHEN typeof(value) = 'JSON' "
    "THEN databricks__truncated(json_extract_string(value::VARCHAR, '$')) "
    "ELSE databricks__strict_whole(value::VARCHAR) END",
    "_truncated": "(text) AS coalesce(trunc(TRY_CAST(text AS DECIMAL(38, 19)))::DECIMAL(38, 0)::VARCHAR, text)",
    "_strict_whole": "(value) AS CASE WHEN regexp_matches(value, '[.eExXbBoO_]') "
    "THEN value || ' is not a whole number' ELSE value END",
    "_whole": "(k VARCHAR, value) AS databricks__whole_number(value), "
    "(k DOUBLE, value) AS trunc(value), (k FLOAT, value) AS trunc(value), "
    "(k DECIMAL(38, 19), value) AS trunc(value), (k INTEGER, value) AS value, (k BIGINT, value) AS value, "
    "(k HUGEINT, value) AS value, (k BOOLEAN, value) AS value, (k TIMESTAMPTZ, value) AS floor(epoch(value)), "
    "(k INTERVAL, value) AS epoch(value) // 86400, (k, value) AS value",
    "_moment_of": "(k VARCHAR, value) AS databricks__moment_text(databricks__scalar_text(value)), "
    "(k BIGINT, value) AS to_timestamp(value), (k DOUBLE, value) AS to_timestamp(value), (k, value) AS value",
    # A parameter of a function has no type when the function is created: ``typeof`` chooses.
    "_parameter_whole": "(value) AS CASE WHEN typeof(value) IN ('DOUBLE', 'FLOAT') "
    "THEN trunc(TRY_CAST(value AS DOUBLE))::HUGEINT WHEN starts_with(typeof(value), 'DECIMAL') "
    "THEN trunc(TRY_CAST(value AS DECIMAL(38, 18)))::HUGEINT WHEN typeof(value) IN ('VARCHAR', 'JSON') "
    "THEN databricks__whole_number(value)::HUGEINT ELSE value::HUGEINT END",
    "_parameter_text": "(value) AS CASE WHEN typeof(value) = 'JSON' THEN databricks__variant_text(value) "
    "ELSE databricks__other_text(value) END",
    # The zone of a time may stand after a blank, and its day has no slashes.
    "_moment_text": "(value) AS CASE WHEN regexp_matches(value, '^[0-9 ]+/') THEN value || ' is not a time' "
    "WHEN regexp_matches(value, ' [+-]\\d\\d:?\\d\\d$') THEN regexp_replace(value, '\\s+([+-])', '\\1') "
    "ELSE value END",
    "_double_of": "(k VARCHAR, value) AS databricks__double_text(databricks__scalar_text(value)), "
    "(k TIMESTAMPTZ, value) AS epoch(value), (k, value) AS value",
    "_double_text": "(value) AS CASE WHEN contains(value, '_') THEN value || ' is not a number' "
    "ELSE regexp_replace(value, '([0-9.])[dDfF]\\s*$', '\\1') END",
    "_boolean_of": "(k VARCHAR, value) AS databricks__boolean_text(trim(databricks__scalar_text(value))), "
    "(k, value) AS value",
    "_boolean_text": "(value) AS CASE WHEN lower(value) IN ('on', 'off') THEN 'not a boolean' ELSE value END",
    "_date_of": "(k VARCHAR, value) AS databricks__date_text(trim(databricks__scalar_text(value))), "
    "(k, value) AS value",
    "_date_text": "(value) AS CASE WHEN regexp_full_match(value, '\\d{4}-\\d{1,2}-\\d{1,2}') THEN value "
    "WHEN regexp_matches(value, '^\\d{4,7}-\\d{1,2}-\\d{1,2}[ T]') THEN regexp_extract(value, '^\\d+-\\d+-\\d+') "
    "WHEN regexp_full_match(value, '\\d{4}-\\d{1,2}') THEN value || '-01' "
    "WHEN regexp_full_match(value, '\\d{4}') THEN value || '-01-01' "
    "WHEN regexp_matches(value, '^[+-]?\\d{5,7}(-|$)') THEN value ELSE value || ' is not a date' END",
}
_WITHOUT_NANOSECONDS = frozenset(
    {"year", "quarter", "month", "weekofyear", "day", "dayofmonth", "dayofweek", "dayofyear", "weekday", "dayname",
     "monthname", "hour", "minute", "second", "unix_seconds", "unix_millis", "unix_micros"}
)  # fmt: skip
"""The functions whose result does not depend on them."""
_Type = exp.DataType.Type
_NANOSECONDS = re.compile(r"[.]\d{7}")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_NUMBER = re.compile(r"[\d.]+([eE][-+]?\d+)?")
_ODD_TIME = re.compile(r"/| [+-]\d\d:?\d\d$")
_BINARY = frozenset({_Type.BINARY, _Type.VARBINARY})
_STRICT = {
    _Type.DATE: "databricks__date_of",
    _Type.BOOLEAN: "databricks__boolean_of",
    _Type.DOUBLE: "databricks__double_of",
    _Type.FLOAT: "databricks__double_of",
}
"""The macro that returns a text as DuckDB casts it, by the type."""

_TYPES = {
    _Type.VARIANT: _Type.JSON,
    _Type.TIMESTAMP: _Type.TIMESTAMPTZ,
}
_MOMENTS = frozenset({_Type.TIMESTAMP, _Type.TIMESTAMPTZ})
_WHOLE = frozenset(
    {
        _Type.INT,
        _Type.BIGINT,
        _Type.SMALLINT,
        _Type.TINYINT,
    }
)


def translate_cast(node: exp.Cast) -> Expr:
    """Translate CAST, TRY_CAST and ``::``."""
    _refuse_nanoseconds(node)
    if node.to.this == _Type.DECIMAL and not node.to.expressions:
        node.set("to", exp.DataType.build("DECIMAL(10, 0)"))
    value = node.this
    while isinstance(value, exp.Paren):
        value = value.this
    if is_path(value) or is_variant(value):
        return _cast_variant(node, value)
    return _cast_value(node, value)


def translate_type(kind: exp.DataType) -> exp.DataType:
    """Let VARIANT be DuckDB's JSON, which ``:path`` reads, and a TIMESTAMP one with a time zone; in place."""
    if kind.this in _TYPES:
        kind.set("this", _TYPES[kind.this])
    return kind


def is_path(node: Expr) -> bool:
    """Return True for ``document:path``."""
    return isinstance(node, exp.Anonymous) and node.this in {
        "databricks__path",
        "databricks__part",
    }


def _cast_variant(node: exp.Cast, value: Expr) -> Expr:
    """Cast a scalar from its text, which has no quotes; structs, arrays and maps from their JSON."""
    if node.to.this in NESTED or node.to.this == _Type.JSON:
        if is_path(value):
            node.set("this", call("databricks__path", *value.expressions[-2:]))
        return node
    if not is_path(value):
        if _is_plain_text(node.to):
            return as_text(node.this)
        value = call("databricks__path", value.copy(), exp.Literal.string("$"))
    text: Expr = call("databricks__path_text", *value.expressions[-2:])
    if node.to.this in _WHOLE:
        number = exp.DataType.build("DECIMAL(38, 19)")
        text = call("trunc", type(node)(this=text, to=number))
    elif node.to.this in _STRICT:
        text = choose(_STRICT[node.to.this], text)
    made: Expr = type(node)(this=text, to=node.to)
    return made


def _cast_value(node: exp.Cast, value: Expr) -> Expr:
    kind = node.to.this
    if isinstance(value, exp.Null):
        return node
    if _is_plain_text(node.to):
        return as_text(node.this)
    if kind == _Type.JSON:  # a VARIANT
        return call("databricks__as_variant", node.this)
    if kind in _BINARY:  # DuckDB's cast reads escapes in a text
        return call("databricks__bytes", _typed(node.this))
    if kind in _MOMENTS:
        _set_moment(node, value)
    elif kind in _WHOLE and not _is_whole(value):
        node.set("this", choose("databricks__whole", node.this))
    elif kind in _STRICT and not _is_plain_literal(value, kind):
        node.set("this", choose(_STRICT[kind], _typed(node.this)))
    elif is_nested(node.to):
        return cast_items(node, translate_cast)
    return node


def _set_moment(node: exp.Cast, value: Expr) -> None:
    """Let a text of a time be one that DuckDB reads, and a number the seconds since 1970; in place."""
    is_text_literal = isinstance(value, exp.Literal) and value.is_string
    if is_text_literal and not _ODD_TIME.search(value.name):
        return
    if is_text(value):
        node.set("this", call("databricks__moment_text", node.this.copy()))
    else:
        node.set("this", choose("databricks__moment_of", node.this))


def _typed(value: Expr) -> Expr:
    """Return a literal with the type of a text, which DuckDB leaves open."""
    is_literal = isinstance(value, exp.Literal) and value.is_string
    return exp.cast(value.copy(), "TEXT") if is_literal else value.copy()


def _is_plain_literal(value: Expr, kind: object) -> bool:
    """Return True for a literal that needs no check, as that of ``DATE'2024-01-31'``."""
    form = _DATE if kind == _Type.DATE else _NUMBER
    return isinstance(value, exp.Literal) and form.fullmatch(value.name) is not None


def _refuse_nanoseconds(node: exp.Cast) -> None:
    """Raise ``StatementError`` for a time with more digits than DuckDB stores."""
    is_time = node.to.this in {*_MOMENTS, _Type.TIMESTAMPNTZ}
    value, parent = node.this, node.parent
    is_long = isinstance(value, exp.Literal) and _NANOSECONDS.search(value.name)
    name = function_name(parent)
    if is_time and is_long and name not in _WITHOUT_NANOSECONDS:
        raise RefusedHere(
            f"{value.name}: a time on DuckDB has six digits after the second.",
            value.meta.get("start"),
        )


def _is_plain_text(kind: exp.DataType) -> bool:
    """Return True for STRING; CHAR(n) and VARCHAR(n) have a length."""
    return kind.this in exp.DataType.TEXT_TYPES and not kind.expressions


def _is_whole(value: Expr) -> bool:
    """Return True for an expression that is certainly a whole number, or a text of one."""
    is_cast = isinstance(value, exp.Cast) and value.to.this in _WHOLE
    return is_cast or (
        isinstance(value, exp.Literal) and value.name.lstrip("-").isdigit()
    )
