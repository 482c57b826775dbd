"""``from_json``: a number in quotes is no number, and 1.7 is no INT; DuckDB would convert both."""

from __future__ import annotations

import json
from typing import Any

from sqlglot import exp

from aiquery.errors import StatementError
from aiquery.requests.sql_types import (
    INTEGER_BITS,
    SQLType,
    duckdb_name,
    parse_ddl,
    to_duckdb,
)
from aiquery.sql.databricks.lambdas import call, let, make_lambda
from aiquery.sql.databricks.nulls import null_if_any_is

MACROS = {
    "_json_whole": "(part) AS CASE WHEN json_type(part) IN ('BIGINT', 'UBIGINT', 'HUGEINT') THEN part::VARCHAR END",
    "_json_number": "(part) AS CASE WHEN json_type(part) IN ('BIGINT', 'UBIGINT', 'HUGEINT', 'DOUBLE') "
    "OR json_extract_string(part, '$') IN ('NaN', 'Infinity', '-Infinity') THEN json_extract_string(part, '$') END",
    "_json_boolean": "(part) AS CASE WHEN json_type(part) = 'BOOLEAN' THEN part::VARCHAR END",
    # One element of another type makes the whole array NULL.
    "_list_of": "(items, changed) AS CASE WHEN list_count(changed) = "
    "list_count(list_filter(items, lambda x: x IS NOT NULL AND x::VARCHAR <> 'null')) THEN changed END",
    "_from_object": "(text, structure) AS coalesce(from_json(databricks__json_text(text), structure), "
    "CASE WHEN trim(text) <> '' THEN from_json('{}', structure) END)",
    "_from_json": "(text, structure) AS from_json(databricks__json_text(text), structure)",
    # An object is an array of one struct.
    "_from_objects": "(text, structure) AS CASE WHEN json_type(databricks__json_text(text)) = 'OBJECT' "
    "THEN from_json('[' || databricks__json_text(text) || ']', structure) "
    "ELSE from_json(databricks__json_text(text), structure) END",
    "_json_text": "(text) AS CASE WHEN json_valid(text) THEN text ELSE nullif(databricks_py_json_text(text), '') END",
}

_CHECKED = {
    **dict.fromkeys(INTEGER_BITS, "databricks__json_whole"),
    "FLOAT": "databricks__json_number",
    "DOUBLE": "databricks__json_number",
    "BOOLEAN": "databricks__json_boolean",
}
"""The macro that returns the text of a value of the type; NULL for a value of another type."""


def translate_from_json(node: exp.FromJson) -> exp.Expr:
    """Return the value of a JSON text. A text that is not JSON gives a struct of NULLs, or NULL for another type."""
    if node.args.get("options") is not None:
        raise StatementError(
            "from_json: options are not supported on DuckDB; convert the fields after reading them."
        )
    if not isinstance(node.expression, exp.Literal):
        raise StatementError("from_json: on DuckDB the schema must be a text literal.")
    kind = parse_ddl(node.expression.name)
    structure = exp.Literal.string(json.dumps(_structure(kind)))
    read = call(_macro(kind), node.this.copy(), structure)
    if not _is_checked(kind):
        return read
    return let("__read", read, lambda value: _check(value, kind, 0))


def _macro(kind: SQLType) -> str:
    if kind.name == "STRUCT":
        return "databricks__from_object"
    is_list = kind.name == "ARRAY" and kind.element is not None
    has_structs = is_list and kind.element is not None and kind.element.name == "STRUCT"
    return "databricks__from_objects" if has_structs else "databricks__from_json"


def _structure(kind: SQLType) -> Any:
    """Return the structure that DuckDB reads: a scalar that must be checked stays JSON."""
    if kind.name in _CHECKED:
        return "JSON"
    if kind.name == "STRUCT":
        return {name: _structure(field) for name, field in kind.fields}
    if kind.name == "ARRAY" and kind.element is not None:
        return [_structure(kind.element)]
    return to_duckdb(kind)


def _is_checked(kind: SQLType) -> bool:
    if kind.name == "MAP":
        return False
    return kind.name in _CHECKED or any(map(_is_checked, kind.children()))


def _check(value: exp.Expr, kind: SQLType, depth: int) -> exp.Expr:
    """Return a value that was read, with each checked scalar in its type."""
    if kind.name in _CHECKED:
        target = exp.DataType.build(duckdb_name(kind), dialect="duckdb")
        return exp.TryCast(this=call(_CHECKED[kind.name], value), to=target)
    if not _is_checked(kind):
        return value
    if kind.name == "ARRAY" and kind.element is not None:
        item = exp.to_identifier(f"__item_{depth}")
        body = _check(exp.column(item.copy()), kind.element, depth + 1)
        changed = call("list_transform", value.copy(), make_lambda(item, body))
        if kind.element.name not in _CHECKED:
            return changed
        return call("databricks__list_of", value.copy(), changed)
    fields = [
        exp.PropertyEQ(
            this=exp.to_identifier(name, quoted=True),
            expression=_check(
                call("struct_extract", value.copy(), exp.Literal.string(name)),
                field,
                depth,
            ),
        )
        for name, field in kind.fields
    ]
    return null_if_any_is([value], call("struct_pack", *fields))
