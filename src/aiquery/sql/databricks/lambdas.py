"""Lambdas: DuckDB's functions take one or two parameters, and count positions from 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sqlglot.expressions import Expr


def call(name: str, *arguments: Expr) -> exp.Anonymous:
    """Return a call of a function by its name."""
    return exp.Anonymous(this=name, expressions=list(arguments))


def choose(macro: str, value: Expr, *others: Expr) -> exp.Anonymous:
    """Return a call of a macro whose first parameter chooses an overload by the type of the value."""
    arguments = (value, value, *others)
    return call(macro, *(one.copy() for one in arguments))


def function_name(node: Expr | None) -> str:
    """Return the name of a called function in small letters; "" for another expression, or a function of sqlglot."""
    if not isinstance(node, exp.Anonymous):
        return ""
    return str(node.this).lower()


def struct_of(names: Iterable[str], values: Iterable[Expr]) -> exp.Struct:
    """Return a struct of some fields."""
    fields = [
        exp.PropertyEQ(this=exp.Literal.string(name), expression=value)
        for name, value in zip(names, values, strict=True)
    ]
    return exp.Struct(expressions=fields)


def make_lambda(parameter: exp.Identifier, body: Expr) -> exp.Lambda:
    """Return ``parameter -> body``."""
    return exp.Lambda(this=body, expressions=[parameter])


def let(name: str, value: Expr, function: Callable[[Expr], Expr]) -> Expr:
    """Return ``list_transform([value], name -> function(name))[1]``, which evaluates the value once."""
    column = exp.column(exp.to_identifier(name))
    body = function(column)
    return first_of(
        call("list_value", value), make_lambda(exp.to_identifier(name), body)
    )


def first_of(items: Expr, function: Expr) -> Expr:
    """Return ``list_transform(items, function)[1]``."""
    return call(
        "list_extract", call("list_transform", items, function), exp.Literal.number(1)
    )


def fields_of(row: Expr, count: int) -> list[Expr]:
    """Return the first fields of a struct without names."""
    return [
        call("struct_extract_at", row.copy(), exp.Literal.number(number))
        for number in range(1, count + 1)
    ]


def apply(function: Expr, values: Sequence[Expr]) -> Expr:
    """Return the body of a lambda with values in the place of its parameters."""
    named = {
        parameter.name.lower(): value
        for parameter, value in zip(function.expressions, values, strict=False)
    }

    def replace(node: Expr) -> Expr:
        is_column = isinstance(node, exp.Column) and not node.table
        is_field = isinstance(node.parent, exp.Dot) and node.arg_key == "expression"
        is_name = isinstance(node.parent, exp.PropertyEQ) and node.arg_key == "this"
        is_part = is_field or is_name or isinstance(node.parent, exp.Column)
        is_bare = isinstance(node, exp.Identifier) and not is_part
        value = named.get(node.name.lower()) if is_column or is_bare else None
        return node if value is None else exp.paren(value.copy())

    body: Expr = function.this.copy().transform(replace)
    return body


def shift_index(function: Expr) -> Expr:
    """Return a lambda whose second parameter, a position, counts from 0 in its body."""
    if not isinstance(function, exp.Lambda) or len(function.expressions) != 2:  # noqa: PLR2004
        return function
    item, index = function.expressions
    one = exp.Literal.number(1)
    position = exp.Sub(this=exp.column(index.copy()), expression=one)
    values = [exp.column(item.copy()), exp.cast(position, "INT")]
    return exp.Lambda(this=apply(function, values), expressions=[item, index])
