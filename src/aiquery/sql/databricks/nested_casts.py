"""CAST of arrays, maps and structs: each item is converted as Databricks SQL does, and fields go by their position."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlglot import exp

from aiquery.sql.databricks.json import NESTED
from aiquery.sql.databricks.lambdas import call, fields_of, let, make_lambda, struct_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlglot.expressions import Expr

    Convert = Callable[[exp.Cast], Expr]

MACROS = {
    # A text is JSON: DuckDB's own conversion gives the type, whose items need no other.
    "_nested": "(k VARCHAR, value, type) AS cast_to_type(value, type), (k, value, type) AS value",
    "_try_nested": "(k VARCHAR, value, type) AS TRY(cast_to_type(value, type)), (k, value, type) AS value",
}
_BY_NAME = "aiquery_by_name"


def is_nested(kind: exp.DataType) -> bool:
    """Return True for the type of an array, a map or a struct whose items have types."""
    return kind.this in NESTED and bool(kind.expressions)


def match_names(node: exp.Cast) -> exp.Cast:
    """Let the fields of a cast go by their names, as they do in UPDATE and MERGE of Delta; return the node."""
    node.meta[_BY_NAME] = True
    return node


def cast_items(node: exp.Cast, convert: Convert) -> exp.Cast:
    """Translate a CAST to a type for which ``is_nested`` is True; ``convert`` translates the casts of the items."""
    is_try = isinstance(node, exp.TryCast)
    value = call(
        "databricks__try_nested" if is_try else "databricks__nested",
        node.this.copy(),
        node.this.copy(),
        exp.cast(exp.null(), node.to.copy()),
    )
    items = _Items(type(node), convert, by_name=_BY_NAME in node.meta)
    node.set("this", items.convert(value, node.to))
    return node


@dataclass(frozen=True, slots=True)
class _Items:
    """Converts the items of values.

    cast         the kind of cast: CAST, or TRY_CAST
    convert_one  translates the cast of an item that has no items
    by_name      the fields of a struct go by their names, and not by their position
    """

    cast: type[exp.Cast]
    convert_one: Convert
    by_name: bool

    def convert(self, value: Expr, kind: exp.DataType) -> Expr:
        if not is_nested(kind):
            return self.convert_one(self.cast(this=value, to=kind.copy()))
        name = f"__item_{kind.depth}"
        if kind.this == exp.DataType.Type.STRUCT:
            return let(name, value, lambda row: self._struct(row, kind))
        item = exp.to_identifier(name)
        if kind.this == exp.DataType.Type.ARRAY:
            body = self.convert(exp.column(item.copy()), kind.expressions[0])
            return call("list_transform", value, make_lambda(item, body))
        body = self._entry(exp.column(item.copy()), kind)
        entries = call("map_entries", value)
        made = call("list_transform", entries, make_lambda(item, body))
        return call("map_from_entries", made)

    def _entry(self, entry: Expr, kind: exp.DataType) -> Expr:
        names = ["key", "value"]
        parts = [
            exp.Dot(this=entry.copy(), expression=exp.to_identifier(name))
            for name in names
        ]
        return struct_of(names, map(self.convert, parts, kind.expressions))

    def _struct(self, row: Expr, kind: exp.DataType) -> Expr:
        fields = kind.expressions
        names = [field.name for field in fields]
        kinds = [field.args["kind"] for field in fields]
        if self.by_name:
            keys = map(exp.Literal.string, names)
            values: list[Expr] = [
                call("struct_extract", row.copy(), key) for key in keys
            ]
        else:
            values = fields_of(call("struct_values", row.copy()), len(fields))
        made = struct_of(names, map(self.convert, values, kinds))
        return _if_present(row, made)


def _if_present(value: Expr, then: Expr) -> Expr:
    is_null = exp.Is(this=value.copy(), expression=exp.null())
    return exp.Case(
        ifs=[exp.If(this=exp.not_(is_null), true=then)],
    )
