"""Tests for NULL, around an expression of the user: ``NOT a AND b IS NULL`` would test only ``b``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlglot.expressions import Expr


def is_null(value: Expr) -> Expr:
    """Return ``(value) IS NULL``."""
    return exp.Is(this=exp.paren(value), expression=exp.null())


def is_not_null(value: Expr) -> Expr:
    """Return ``NOT (value) IS NULL``."""
    return exp.Not(this=is_null(value))


def null_if_any_is(values: Sequence[Expr], result: Expr) -> Expr:
    """Return the result, or NULL where one of the values is NULL; at least one value."""
    missing = exp.or_(*(is_null(one) for one in values))
    return exp.Case(ifs=[exp.If(this=missing, true=exp.null())], default=result)
