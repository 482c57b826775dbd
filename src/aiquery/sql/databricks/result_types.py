"""Functions that DuckDB has with another type, or another value where there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from aiquery.sql.databricks.lambdas import call, struct_of
from aiquery.sql.databricks.nulls import null_if_any_is
from aiquery.sql.databricks.struct_order import order_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlglot.expressions import Expr

AGGREGATES: dict[type[Expr], str] = {
    exp.CountIf: "BIGINT",
    exp.RegrCount: "BIGINT",
    **dict.fromkeys((exp.Corr, exp.RegrSlope, exp.RegrIntercept, exp.RegrR2), "number"),
}
"""What is around an aggregate: a cast to a type, or ``number``: NaN is NULL."""

_TYPES: dict[type[Expr], str] = {
    exp.StrPosition: "INT",
    exp.RegexpCount: "INT",
    exp.RegexpInstr: "INT",
    exp.ArraySize: "INT",
    exp.Grouping: "TINYINT",
    exp.Uuid: "TEXT",
}


def around_aggregate(kind: type[Expr], node: Expr) -> Expr:
    """Return an aggregate, with its FILTER and window, as a value of Spark's type."""
    name = AGGREGATES[kind]
    if name == "number":
        return call("databricks__number", node.copy())
    return exp.cast(node.copy(), name)


def translate_aggregate(node: Expr) -> Expr:
    """Translate an aggregate that is in no FILTER or window; ``aggregates`` translates the others."""
    if isinstance(node.parent, exp.Filter | exp.Window):
        return node
    return around_aggregate(type(node), node)


def _typed(node: Expr) -> Expr:
    return exp.cast(node.copy(), _TYPES[type(node)])


def _log(node: exp.Ln) -> Expr:
    return call("databricks__log", node.this.copy())


def _log_of_base(node: exp.Log) -> Expr:
    """Translate ``log(base, value)``, which ``log2`` and ``log10`` are too."""
    base, value = node.this, node.expression
    if value is None:
        return call("databricks__log", base.copy())
    if isinstance(base, exp.Literal) and base.name in {"2", "10"}:
        return call(f"databricks__log{base.name}", value.copy())
    return call("databricks__log_base", base.copy(), value.copy())


def _trim(node: exp.Trim) -> Expr:
    """Let ``trim`` remove blanks only: DuckDB's removes other spaces too."""
    names = {"LEADING": "ltrim", "TRAILING": "rtrim"}
    characters = node.expression or exp.Literal.string(" ")
    name = names.get(str(node.args.get("position") or "").upper(), "trim")
    return call(name, node.this.copy(), characters.copy())


def _max_by(node: exp.ArgMax | exp.ArgMin) -> Expr:
    """Let the value of the highest row be NULL, if it is."""
    name = "arg_max_null" if isinstance(node, exp.ArgMax) else "arg_min_null"
    if node.args.get("count") is not None:
        return node
    return call(name, node.this.copy(), order_key(node.expression).copy())


def _unhex(node: exp.Unhex) -> Expr:
    """Let a text that is not hexadecimal be NULL."""
    return node if isinstance(node.parent, exp.Try) else exp.Try(this=node.copy())


def _sha2(node: exp.SHA2) -> Expr:
    length = node.args.get("length")
    if length is None or length.name in {"0", "256"}:
        return exp.SHA2(this=node.this.copy(), length=exp.Literal.number(256))
    value = call("databricks__bytes", node.this.copy())
    return call("databricks__sha2", value, length.copy())


def _zip(node: exp.ArraysZip) -> Expr:
    """Return an array of structs, whose fields have the names of the columns, or their positions."""
    items = node.expressions
    names = [
        one.name if isinstance(one, exp.Column) else str(position)
        for position, one in enumerate(items)
    ]
    index = exp.to_identifier("__position")
    values = [
        call("list_extract", one.copy(), exp.column(index.copy())) for one in items
    ]
    lengths = [call("len", one.copy()) for one in items]
    count = exp.Add(this=call("greatest", *lengths), expression=exp.Literal.number(1))
    made = call(
        "list_transform",
        call("range", exp.Literal.number(1), count),
        exp.Lambda(this=struct_of(names, values), expressions=[index]),
    )
    return null_if_any_is(items, made)


OPERATORS: dict[type[Expr], Callable[..., Expr]] = {
    **dict.fromkeys(_TYPES, _typed),
    **dict.fromkeys(AGGREGATES, translate_aggregate),
    exp.Ln: _log,
    exp.Log: _log_of_base,
    exp.Trim: _trim,
    exp.ArgMax: _max_by,
    exp.ArgMin: _max_by,
    exp.ArraysZip: _zip,
    exp.Unhex: _unhex,
    exp.SHA2: _sha2,
}
