"""CAST: a text has Spark's form, a number loses its fraction, a struct keeps the order of its fields."""

from __future__ import annotations

import re

from sqlglot import exp

from aiquery.sql.databricks.json import NESTED
from aiquery.sql.databricks.lambdas import call, function_name
from aiquery.sql.databricks.positions import RefusedHere
from aiquery.sql.databricks.value_texts import as_text, is_text, is_variant

MACROS = {
    "_strict_whole": "(value) AS CASE WHEN regexp_matches(value, '[.eExXbBoO_]') "
    "THEN value || ' is not a whole number' ELSE value END",
    "_whole": "(value VARCHAR) AS databricks__strict_whole(value), "
    "(value DOUBLE) AS trunc(value), (value FLOAT) AS trunc(value), "
    "(value DECIMAL(38, 19)) AS trunc(value), (value INTEGER) AS value, (value BIGINT) AS value, "
    "(value HUGEINT) AS value, (value BOOLEAN) AS value, (value TIMESTAMPTZ) AS floor(epoch(value)), "
    "(value INTERVAL) AS epoch(value) // 86400, (value) AS value",
    "_moment_of": "(value VARCHAR) AS databricks__moment_text(value), (value BIGINT) AS to_timestamp(value), "
    "(value DOUBLE) AS to_timestamp(value), (value) AS value",
    # The zone of a time may stand after a blank, and its day has no slashes.
    "_moment_text": "(value) AS CASE WHEN regexp_matches(value, '^[0-9 ]+/') THEN value || ' is not a time' "
    "WHEN regexp_matches(value, ' [+-]\\d\\d:?\\d\\d$') THEN regexp_replace(value, '\\s+([+-])', '\\1') "
    "ELSE value END",
    "_double_of": "(value VARCHAR) AS CASE WHEN contains(value, '_') THEN value || ' is not a number' "
    "ELSE regexp_replace(value, '([0-9.])[dDfF]\\s*$', '\\1') END, (value TIMESTAMPTZ) AS epoch(value), "
    "(value) AS value",
    "_boolean_of": "(value VARCHAR) AS CASE WHEN lower(trim(value)) IN ('on', 'off') THEN 'not a boolean' "
    "ELSE trim(value) END, (value) AS value",
    "_date_of": "(value VARCHAR) AS databricks__date_text(trim(value)), (value) AS value",
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
_NANOSECONDS = re.compile(r"[.]\d{7}")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_NUMBER = re.compile(r"[\d.]+")
_ODD_TIME = re.compile(r"/| [+-]\d\d:?\d\d$")
_BINARY = frozenset({exp.DataType.Type.BINARY, exp.DataType.Type.VARBINARY})
_STRICT = {
    exp.DataType.Type.DATE: "databricks__date_of",
    exp.DataType.Type.BOOLEAN: "databricks__boolean_of",
    exp.DataType.Type.DOUBLE: "databricks__double_of",
    exp.DataType.Type.FLOAT: "databricks__double_of",
}
"""The macro that returns a text as DuckDB casts it, by the type."""

_MOMENTS = frozenset({exp.DataType.Type.TIMESTAMP, exp.DataType.Type.TIMESTAMPTZ})
_WHOLE = frozenset(
    {
        exp.DataType.Type.INT,
        exp.DataType.Type.BIGINT,
        exp.DataType.Type.SMALLINT,
        exp.DataType.Type.TINYINT,
    }
)


def translate_cast(node: exp.Cast) -> exp.Expr:
    """Translate CAST, TRY_CAST and ``::``."""
    _refuse_nanoseconds(node)
    if node.to.this == exp.DataType.Type.DECIMAL and not node.to.expressions:
        node.set("to", exp.DataType.build("DECIMAL(10, 0)"))
    value = node.this
    while isinstance(value, exp.Paren):
        value = value.this
    if is_path(value) or is_variant(value):
        return _cast_variant(node, value)
    return _cast_value(node, value)


def is_path(node: exp.Expr) -> bool:
    """Return True for ``document:path``."""
    return isinstance(node, exp.Anonymous) and node.this in {
        "databricks__path",
        "databricks__part",
    }


def _cast_variant(node: exp.Cast, value: exp.Expr) -> exp.Expr:
    """Cast a scalar from its text, which has no quotes; structs, arrays and maps from their JSON."""
    if node.to.this in NESTED:
        return node
    if not is_path(value):
        if _is_plain_text(node.to):
            return as_text(node.this)
        value = call("databricks__path", value.copy(), exp.Literal.string("$"))
    text: exp.Expr = call("databricks__path_text", *value.expressions)
    if node.to.this in _WHOLE:
        text = call("trunc", exp.cast(text, "DECIMAL(38, 19)"))
    elif node.to.this in _STRICT:
        text = call(_STRICT[node.to.this], text)
    made: exp.Expr = type(node)(this=text, to=node.to)
    return made


def _cast_value(node: exp.Cast, value: exp.Expr) -> exp.Expr:
    kind = node.to.this
    if _is_plain_text(node.to):
        return as_text(node.this)
    if kind in _BINARY:  # DuckDB's cast reads escapes in a text
        return call("databricks__bytes", _typed(node.this))
    if kind in _MOMENTS:
        _set_moment(node, value)
    elif kind in _WHOLE and not _is_whole(value):
        node.set("this", call("databricks__whole", node.this.copy()))
    elif kind in _STRICT and not _is_plain_literal(value, kind):
        node.set("this", call(_STRICT[kind], _typed(node.this)))
    elif _has_struct(node.to) and not isinstance(value, exp.Null):
        # The fields go by position; DuckDB's go by name.
        macro = "structs" if kind == exp.DataType.Type.ARRAY else "struct"
        node.set("this", call(f"databricks__{macro}", value.copy(), value.copy()))
    return node


def _set_moment(node: exp.Cast, value: exp.Expr) -> None:
    """Let a text of a time be one that DuckDB reads, and a number the seconds since 1970; in place."""
    if isinstance(value, exp.Literal) and not _ODD_TIME.search(value.name):
        return
    macro = "moment_text" if is_text(value) else "moment_of"
    node.set("this", call(f"databricks__{macro}", node.this.copy()))


def _typed(value: exp.Expr) -> exp.Expr:
    """Return a literal with the type of a text, which DuckDB leaves open."""
    is_literal = isinstance(value, exp.Literal) and value.is_string
    return exp.cast(value.copy(), "TEXT") if is_literal else value.copy()


def _is_plain_literal(value: exp.Expr, kind: object) -> bool:
    """Return True for a literal that needs no check, as that of ``DATE'2024-01-31'``."""
    form = _DATE if kind == exp.DataType.Type.DATE else _NUMBER
    return isinstance(value, exp.Literal) and form.fullmatch(value.name) is not None


def _has_struct(kind: exp.DataType) -> bool:
    """Return True for a STRUCT, and for an array of them."""
    if kind.this == exp.DataType.Type.ARRAY and kind.expressions:
        return _has_struct(kind.expressions[0])
    return bool(kind.this == exp.DataType.Type.STRUCT)


def _refuse_nanoseconds(node: exp.Cast) -> None:
    """Raise ``StatementError`` for a time with more digits than DuckDB stores."""
    is_time = node.to.this in {*_MOMENTS, exp.DataType.Type.TIMESTAMPNTZ}
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


def _is_whole(value: exp.Expr) -> bool:
    """Return True for an expression that is certainly a whole number, or a text of one."""
    is_cast = isinstance(value, exp.Cast) and value.to.this in _WHOLE
    return is_cast or (
        isinstance(value, exp.Literal) and value.name.lstrip("-").isdigit()
    )
