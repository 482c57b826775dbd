"""``from_json``: a number in quotes is no number, and 1.7 is no INT; DuckDB would convert both."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from aiquery.errors import StatementError
from aiquery.requests.sql_types import (
    INTEGER_BITS,
    SQLType,
    duckdb_name,
    parse_ddl,
    to_duckdb,
)
from aiquery.sql.databricks.date_patterns import parse_time
from aiquery.sql.databricks.json_options import read_options
from aiquery.sql.databricks.lambdas import call, let, make_lambda, struct_of
from aiquery.sql.databricks.nulls import null_if_any_is
from aiquery.sql.databricks.positions import RefusedHere
from aiquery.sql.databricks.python.schemas import schema_of_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlglot.expressions import Expr

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


_VARIANT = re.compile(
    r"[\w`>][\s:]+VARIANT\b|<\s*VARIANT\b|^\s*VARIANT\s*$", re.IGNORECASE
)
"""VARIANT as a type; a field may have that name."""

_FORMATS = {
    "dateformat": "DATE",
    "timestampformat": "TIMESTAMP",
    "timestampntzformat": "TIMESTAMP_NTZ",
}
"""The type whose text an option gives the pattern of."""


def translate_from_json(node: exp.FromJson) -> Expr:
    """Return the value of a JSON text. A text that is not JSON gives a struct of NULLs, or NULL for another type."""
    options = read_options(
        node.args.get("options"), "from_json", {*_FORMATS, "mode", "allowsinglequotes"}
    )
    if options.get("mode", "PERMISSIVE").upper() != "PERMISSIVE":
        raise RefusedHere(
            "from_json: on DuckDB the mode is PERMISSIVE; test for a text that is no JSON with try_parse_json.",
            node.meta.get("start"),
        )
    schema = _schema(node.expression)
    if _VARIANT.search(schema):
        raise RefusedHere(
            "from_json: on DuckDB a schema has no VARIANT; use parse_json.",
            node.meta.get("start"),
        )
    kind = parse_ddl(schema)
    _refuse_corrupt_record(kind, node)
    patterns = {
        _FORMATS[name]: one for name, one in options.items() if name in _FORMATS
    }
    reader = _Reader(patterns, node)
    structure = exp.Literal.string(json.dumps(reader.structure(kind)))
    read = call(_macro(kind), node.this.copy(), structure)
    if not reader.checks(kind):
        return read
    return let("__read", read, lambda value: reader.check(value, kind, 0))


def _refuse_corrupt_record(kind: SQLType, node: Expr) -> None:
    if any(name.lower() == "_corrupt_record" for name, _ in kind.fields):
        raise RefusedHere(
            "from_json: DuckDB has no _corrupt_record; test for a text that is no JSON with try_parse_json.",
            node.meta.get("start"),
        )


def _schema(node: Expr) -> str:
    """Return the text of a schema, which may be that of a text: ``schema_of_json('..')``."""
    if isinstance(node, exp.Literal):
        return str(node.name)
    example = node.expressions[0] if node.expressions else None
    is_example = str(node.this).lower() == "databricks_schema_of_json"
    if is_example and isinstance(example, exp.Literal):
        return schema_of_json(example.name)
    raise StatementError(
        "from_json: on DuckDB the schema must be a text literal, or schema_of_json of one."
    )


def _macro(kind: SQLType) -> str:
    if kind.name == "STRUCT":
        return "databricks__from_object"
    is_list = kind.name == "ARRAY" and kind.element is not None
    has_structs = is_list and kind.element is not None and kind.element.name == "STRUCT"
    return "databricks__from_objects" if has_structs else "databricks__from_json"


class _Reader:
    """Reads the values of a type; ``patterns`` are those of the texts of dates and times, by the type."""

    def __init__(self, patterns: Mapping[str, str], node: Expr) -> None:
        self._patterns = patterns
        self._node = node

    def structure(self, kind: SQLType) -> Any:
        """Return the structure that DuckDB reads: a scalar that must be checked stays JSON, or a text."""
        if kind.name in self._patterns:
            return "VARCHAR"
        if kind.name in _CHECKED:
            return "JSON"
        if kind.name == "STRUCT":
            return {name: self.structure(field) for name, field in kind.fields}
        if kind.name == "ARRAY" and kind.element is not None:
            return [self.structure(kind.element)]
        return to_duckdb(kind)

    def checks(self, kind: SQLType) -> bool:
        """Return True for a type with a part that is not yet of its type after DuckDB has read it."""
        if kind.name == "MAP":
            return False
        is_checked = kind.name in _CHECKED or kind.name in self._patterns
        return is_checked or any(map(self.checks, kind.children()))

    def check(self, value: Expr, kind: SQLType, depth: int) -> Expr:
        """Return a value that was read, with each checked scalar in its type."""
        target = exp.DataType.build(duckdb_name(kind), dialect="duckdb")
        if kind.name in self._patterns:
            pattern = exp.Literal.string(self._patterns[kind.name])
            read = parse_time(value, pattern, self._node, is_tried=True)
            return exp.cast(read, target)
        if kind.name in _CHECKED:
            return exp.TryCast(this=call(_CHECKED[kind.name], value), to=target)
        if not self.checks(kind):
            return value
        if kind.name == "ARRAY" and kind.element is not None:
            return self._check_items(value, kind.element, depth)
        return null_if_any_is([value], self._check_fields(value, kind, depth))

    def _check_items(self, value: Expr, kind: SQLType, depth: int) -> Expr:
        item = exp.to_identifier(f"__item_{depth}")
        body = self.check(exp.column(item.copy()), kind, depth + 1)
        changed = call("list_transform", value.copy(), make_lambda(item, body))
        if kind.name not in _CHECKED:
            return changed
        return call("databricks__list_of", value.copy(), changed)

    def _check_fields(self, value: Expr, kind: SQLType, depth: int) -> Expr:
        names = [name for name, _ in kind.fields]
        values = []
        for name, field in kind.fields:
            part = call("struct_extract", value.copy(), exp.Literal.string(name))
            values.append(self.check(part, field, depth))
        return struct_of(names, values)
