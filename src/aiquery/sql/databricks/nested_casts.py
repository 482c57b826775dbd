"""CAST of arrays, maps and structs: each item is converted as Databricks SQL does, and fields go by their position."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from aiquery.sql.databricks.lambdas import call, let, make_lambda, struct_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlglot.expressions import Expr

    Convert = Callable[[exp.Cast], Expr]

MACROS = {
    # A text is JSON: DuckDB's own conversion gives the type, whose items need no other.
    "_nested": "(k VARCHAR, value, type) AS cast_to_type(value, type), (k, value, type) AS value",
    "_try_nested": "(k VARCHAR, value, type) AS TRY(cast_to_type(value, type)), (k, value, type) AS value",
}
_TYPES = frozenset(
    {exp.DataType.Type.ARRAY, exp.DataType.Type.MAP, exp.DataType.Type.STRUCT}
)


def is_nested(kind: exp.DataType) -> bool:
    """Return True for the type of an array, a map or a struct whose items have types."""
    return kind.this in _TYPES and bool(kind.expressions)


def cast_items(node: exp.Cast, convert: Convert) -> exp.Cast:
    """Translate a CAST to a type for which ``is_nested`` is True; ``convert`` translates the casts of the items."""
    is_try = isinstance(node, exp.TryCast)
    value = call(
        "databricks__try_nested" if is_try else "databricks__nested",
        node.this.copy(),
        node.this.copy(),
        exp.cast(exp.null(), node.to.copy()),
    )
    node.set("this", _convert(value, node.to, type(node), convert))
    return node


def _convert(
    value: Expr, kind: exp.DataType, cast: type[exp.Cast], convert: Convert
) -> Expr:
    if not is_nested(kind):
        return convert(cast(this=value, to=kind.copy()))
    name = f"__item_{kind.depth}"

    def item(parameter: Expr, of: exp.DataType) -> Expr:
        return _convert(parameter, of, cast, convert)

    if kind.this == exp.DataType.Type.STRUCT:
        fields = kind.expressions
        kinds = [field.args["kind"] for field in fields]
        names = [field.name for field in fields]

        def fields_of(row: Expr) -> Expr:
            values = map(item, _fields(row, len(kinds)), kinds)
            return _if_present(row, struct_of(names, values))

        return let(name, value, fields_of)
    parameter = exp.column(exp.to_identifier(name))
    if kind.this == exp.DataType.Type.ARRAY:
        body = item(parameter, kind.expressions[0])
        return call("list_transform", value, make_lambda(exp.to_identifier(name), body))
    parts = [
        exp.Dot(this=parameter, expression=exp.to_identifier(part))
        for part in ("key", "value")
    ]
    values = map(item, parts, kind.expressions)
    body = struct_of(["key", "value"], values)
    entries = call(
        "list_transform",
        call("map_entries", value),
        make_lambda(exp.to_identifier(name), body),
    )
    return call("map_from_entries", entries)


def _fields(row: Expr, count: int) -> list[Expr]:
    values = call("struct_values", row.copy())
    return [
        call("struct_extract_at", values.copy(), exp.Literal.number(number))
        for number in range(1, count + 1)
    ]


def _if_present(value: Expr, then: Expr) -> Expr:
    is_null = exp.Is(this=value.copy(), expression=exp.null())
    return exp.Case(
        ifs=[exp.If(this=exp.not_(is_null), true=then)],
    )
