"""JSON texts and VARIANT, which is DuckDB's JSON here."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sqlglot import exp

from aiquery.errors import StatementError
from aiquery.sql.databricks.json_options import read_options
from aiquery.sql.databricks.lambdas import call
from aiquery.sql.databricks.python.json_paths import check_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlglot.expressions import Expr

_PLAIN_PATH = re.compile(r"\$(\.[A-Za-z_][A-Za-z0-9_]*|\[\d+\])*")
NESTED = (exp.DataType.Type.STRUCT, exp.DataType.Type.ARRAY, exp.DataType.Type.MAP)

MACROS = {
    "json_array_length": "(text) AS CASE WHEN json_valid(text) AND json_type(text) = 'ARRAY' "
    "THEN json_array_length(text)::INT END",
    "json_object_keys": "(text) AS CASE WHEN json_valid(text) AND json_type(text) = 'OBJECT' THEN json_keys(text) END",
    "_json_object_part": "(text, path) AS json_extract_string(databricks__json_text(text), path)",
    "_json_parts": "(text, path) AS nullif(databricks_py_json_parts(databricks__json_text(text), path), '')",
    "_path": "(document, path) AS CASE WHEN json_valid(document::VARCHAR) "
    "THEN json_extract(document::VARCHAR, path) END",
    # A part of a text is a text, without quotes. A part of a VARIANT is a VARIANT. The first parameter makes DuckDB
    # wait for the type of the second.
    "_part": "(k VARCHAR, document, path) AS databricks__typed("
    "databricks__json_part(document, path), "
    "CASE WHEN typeof(document) = 'JSON' THEN '\"JSON\"' ELSE '\"VARCHAR\"' END), "
    "(k, document, path) AS databricks__json_part(document, path)",
    "_json_part": "(document, path) AS CASE WHEN NOT json_valid(document::VARCHAR) THEN NULL "
    "WHEN typeof(document) = 'JSON' THEN json_extract(document::VARCHAR, path)::VARCHAR "
    "ELSE databricks__text_of_part(document, path) END",
    "_path_text": "(document, path) AS CASE WHEN json_valid(document::VARCHAR) "
    "THEN databricks__text_of_part(document, path) END",
    "_text_of_part": "(document, path) AS CASE WHEN typeof(document) <> 'JSON' "
    "AND json_extract(document::VARCHAR, path) IS NULL AND databricks__has_name(document::VARCHAR, path) "
    "THEN json_extract_string(databricks_py_any_case(document::VARCHAR, path), '$') "
    "ELSE json_extract_string(document::VARCHAR, path) END",
    # The last name of a path of a text may be that of a field in another case.
    "_has_name": "(text, path) AS contains(lower(text), '\"' || lower(regexp_extract(path, "
    "'([^.\"\\[\\]]+)[^.\"\\w]*\"?(?:\\[\\d+\\])*$', 1)) || '\"')",
    "is_variant_null": "(value) AS value IS NOT NULL AND json_type(value) IS NOT DISTINCT FROM 'NULL'",
    "is_valid_variant": "(value) AS CASE WHEN value IS NULL THEN NULL ELSE json_valid(value::VARCHAR) END",
    # DuckDB's JSON is Spark's unless a field is NULL, or of a type that Spark writes otherwise.
    "to_json": "(value) AS CASE WHEN typeof(value) = 'JSON' THEN databricks__variant_json(value::VARCHAR) "
    "WHEN regexp_matches(typeof(value), 'DECIMAL|TIMESTAMP|FLOAT|MAP|BLOB|INTERVAL|JSON') "
    "OR (contains(typeof(value), 'DOUBLE') "
    "AND regexp_matches(to_json(value)::VARCHAR, '[0-9]{8}|[0-9][eE]|[^0-9]0[.]000|NaN|Infinity')) "
    "OR contains(to_json(value)::VARCHAR, 'null') "
    "THEN databricks_py_to_json(to_json(value)::VARCHAR, typeof(value)) ELSE to_json(value)::VARCHAR END",
    "_to_json_with": "(value, options) AS databricks_py_to_json_with(to_json(value)::VARCHAR, typeof(value), options)",
    "_variant_value": "(value) AS CASE WHEN value IS NULL THEN NULL ELSE to_json(value)::VARCHAR END",
    "variant_set": "(value, path, part, creates := true) AS databricks_py_variant_set("
    "value::VARCHAR, path, databricks__variant_value(part), creates::VARCHAR)::JSON",
    "variant_insert": "(value, path, part) AS databricks_py_variant_insert("
    "value::VARCHAR, path, databricks__variant_value(part))::JSON",
    "variant_array_append": "(value, path, part) AS databricks_py_variant_append("
    "value::VARCHAR, path, databricks__variant_value(part))::JSON",
    "_variant_remove": "(value, path) AS CASE WHEN path IS NULL THEN value::JSON "
    "ELSE databricks_py_variant_delete(value::VARCHAR, path)::JSON END",
    "variant_strip_nulls": "(value, in_arrays := true) AS "
    "databricks_py_variant_strip_nulls(value::VARCHAR, in_arrays::VARCHAR)::JSON",
    "variant_explode": "(input) AS TABLE SELECT part.pos, part.key, part.value::JSON AS value "
    "FROM (SELECT unnest(databricks_py_variant_explode(input::VARCHAR)) AS part)",
    "variant_explode_outer": "(input) AS TABLE SELECT part.pos, part.key, part.value::JSON AS value "
    "FROM (SELECT unnest(databricks__or_one_null(databricks_py_variant_explode(input::VARCHAR))) AS part)",
    "to_variant_object": "(value) AS databricks__variant(to_json(value)::VARCHAR)::JSON",
    "_as_variant": "(value) AS CASE WHEN typeof(value) IN ('DOUBLE', 'FLOAT') "
    "THEN databricks_py_variant(value::VARCHAR || CASE WHEN contains(value::VARCHAR, 'e') THEN '' ELSE 'E0' END)::JSON "
    "WHEN typeof(value) = 'TIMESTAMP WITH TIME ZONE' "
    "THEN to_json(databricks__other_text(value)) ELSE databricks_to_variant_object(value) END",
    "schema_of_variant": "(value) AS databricks_py_schema_of_variant(value::VARCHAR)",
    "schema_of_variant_agg": "(value) AS databricks_py_schema_of_variants(to_json(list(value))::VARCHAR)",
    "schema_of_json": "(text) AS databricks_py_schema_of_json(text)",
    "parse_json": "(text) AS databricks__variant(text::VARCHAR)::JSON",
    "try_parse_json": "(text) AS CASE WHEN json_valid(text) THEN databricks_parse_json(text) END",
    # The keys of an object are sorted, which DuckDB's own VARIANT does. Python writes numbers with zeros at their end,
    # with an exponent, or with more digits than a DOUBLE has.
    "_variant": "(text) AS CASE WHEN databricks__has_odd_number(text) THEN databricks_py_variant(text) "
    "ELSE databricks__sorted_json(text) END",
    "_variant_json": "(text) AS CASE WHEN databricks__has_odd_number(text) THEN databricks_py_variant_text(text) "
    "ELSE databricks__sorted_json(text) END",
    "_has_odd_number": "(text) AS "
    "regexp_matches(text, '[.][0-9]*0(?:[^0-9.]|$)|[.]000|[0-9][eE][-+]?[0-9]|[0-9]{16}')",
    "_sorted_json": "(text) AS CASE WHEN contains(text, '{') THEN (text::JSON)::VARIANT::JSON::VARCHAR "
    "ELSE json(text)::VARCHAR END",
}


def _variant_get(node: exp.Anonymous) -> Expr:
    return _get(node, exp.Cast)


def _try_variant_get(node: exp.Anonymous) -> Expr:
    return _get(node, exp.TryCast)


def _get(node: exp.Anonymous, cast: type[exp.Cast]) -> Expr:
    """Return a part of a VARIANT: a scalar is cast from its text, and without a type it stays a VARIANT."""
    value, path, *kind = node.expressions
    if not kind:
        return call("json_extract", value, path)
    to = exp.DataType.build(kind[0].name, dialect="databricks")
    function = "json_extract" if to.this in NESTED else "json_extract_string"
    part = call(function, value, path)
    if to.this in exp.DataType.INTEGER_TYPES:
        number = exp.DataType.build("DECIMAL(38, 19)")
        part = call("trunc", cast(this=part, to=number))
    made: Expr = cast(this=part, to=to)
    return made


def _variant_delete(node: exp.Anonymous) -> Expr:
    made, *paths = node.expressions
    result: Expr = made
    for path in paths:
        result = call("databricks__variant_remove", result, path)
    return result


def _tried(name: str) -> Callable[[exp.Anonymous], Expr]:
    def make(node: exp.Anonymous) -> Expr:
        return exp.Try(this=call(f"databricks_{name}", *node.expressions))

    return make


def _get_json_object(node: exp.Anonymous) -> Expr:
    text, path = node.expressions
    if not isinstance(path, exp.Literal):
        raise StatementError(
            "get_json_object: on DuckDB the path must be a text literal."
        )
    if not path.name.startswith("$"):
        return exp.cast(exp.null(), "TEXT")
    if _PLAIN_PATH.fullmatch(path.name):
        return call("databricks__json_object_part", text, path)
    check_path(path.name)
    return call("databricks__json_parts", text, path)


def _to_json(node: exp.Anonymous) -> Expr:
    value, *others = node.expressions
    options = read_options(others[0] if others else None, "to_json", _TO_JSON_OPTIONS)
    chosen = [
        name
        for name, given in options.items()
        if given.lower() == _TO_JSON_OPTIONS[name]
    ]
    if not chosen:
        return call("databricks_to_json", value)
    return call(
        "databricks__to_json_with", value, exp.Literal.string(",".join(sorted(chosen)))
    )


_TO_JSON_OPTIONS = {"ignorenullfields": "false", "sortkeys": "true"}
"""The options of ``to_json`` with the value that changes its result."""

REWRITES: dict[str, Callable[[exp.Anonymous], Expr]] = {
    "to_json": _to_json,
    "get_json_object": _get_json_object,
    "variant_get": _variant_get,
    "try_variant_get": _try_variant_get,
    "variant_delete": _variant_delete,
    "try_variant_set": _tried("variant_set"),
    "try_variant_insert": _tried("variant_insert"),
    "try_variant_array_append": _tried("variant_array_append"),
}
