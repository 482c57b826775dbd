"""Lambdas: DuckDB's functions take one or two parameters, and count positions from 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

if TYPE_CHECKING:
    from collections.abc import Sequence


def call(name: str, *arguments: exp.Expr) -> exp.Anonymous:
    """Return a call of a function by its name."""
    return exp.Anonymous(this=name, expressions=list(arguments))


def make_lambda(parameter: exp.Identifier, body: exp.Expr) -> exp.Lambda:
    """Return ``parameter -> body``."""
    return exp.Lambda(this=body, expressions=[parameter])


def apply(function: exp.Expr, values: Sequence[exp.Expr]) -> exp.Expr:
    """Return the body of a lambda with values in the place of its parameters."""
    named = {
        parameter.name.lower(): value
        for parameter, value in zip(function.expressions, values, strict=False)
    }

    def replace(node: exp.Expr) -> exp.Expr:
        is_column = isinstance(node, exp.Column) and not node.table
        is_bare = isinstance(node, exp.Identifier) and not isinstance(
            node.parent, exp.Column | exp.Dot
        )
        value = named.get(node.name.lower()) if is_column or is_bare else None
        return node if value is None else exp.paren(value.copy())

    body: exp.Expr = function.this.copy().transform(replace)
    return body


def shift_index(function: exp.Expr) -> exp.Expr:
    """Return a lambda whose second parameter, a position, counts from 0 in its body."""
    if not isinstance(function, exp.Lambda) or len(function.expressions) != 2:  # noqa: PLR2004
        return function
    item, index = function.expressions
    values = [
        exp.column(item.copy()),
        exp.Sub(this=exp.column(index.copy()), expression=exp.Literal.number(1)),
    ]
    return exp.Lambda(this=apply(function, values), expressions=[item, index])
