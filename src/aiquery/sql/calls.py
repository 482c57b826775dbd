"""An expression in which a failed call fails its row, and not the statement."""

from __future__ import annotations

from dataclasses import dataclass

from sqlglot import exp

from aiquery import registry

_CONDITIONAL = (
    exp.Case,
    exp.If,
    exp.Coalesce,
    exp.Connector,
    exp.Nullif,
    exp.Try,
    exp.Lambda,
    exp.Query,
)


@dataclass(frozen=True, slots=True)
class TolerantExpression:
    """SQL for the value of an expression, and for whether a call in it failed."""

    value: str
    failed: str


def tolerate(expression: exp.Expr, dialect: str) -> TolerantExpression:
    """Return an expression whose failed rows are known, and NULL.

    Where every call is made for every row, the calls give their errors as values. Elsewhere all of it stands in TRY,
    within a STRUCT, so that NULL by right is told from NULL by failure; DuckDB then goes on row by row after a failure.
    """
    tree = exp.Paren(this=expression.copy())
    calls = calls_in(tree)
    if any(
        call.find_ancestor(*_CONDITIONAL) is not None or _says_fail_on_error(call)
        for call in calls
    ):
        return _wrap_in_try(expression, dialect)
    failures = []
    for call in reversed(calls):  # what stands inside another one first
        quiet = exp.Paren(this=_hide_errors(call))
        failures.append(
            f"{exp.Dot(this=quiet, expression=exp.to_identifier('errorMessage')).sql(dialect)} IS NOT NULL"
        )
        call.replace(exp.Dot(this=quiet.copy(), expression=exp.to_identifier("result")))
    return TolerantExpression(tree.sql(dialect), " OR ".join(failures) or "false")


def _wrap_in_try(expression: exp.Expr, dialect: str) -> TolerantExpression:
    text = expression.sql(dialect)
    inside = (
        f"named_struct('value', {text})"
        if dialect == "databricks"
        else f"{{'value': {text}}}"
    )
    return TolerantExpression(f"(TRY({inside})).value", f"TRY({inside}) IS NULL")


def _hide_errors(call: exp.Expr) -> exp.Expr:
    flag = exp.Kwarg(this=exp.to_identifier("failOnError"), expression=exp.false())
    return exp.Anonymous(
        this=call.this, expressions=[*(one.copy() for one in call.expressions), flag]
    )


def _says_fail_on_error(call: exp.Expr) -> bool:
    named = {
        one.this.name.lower()
        for one in call.expressions
        if isinstance(one, exp.Kwarg | exp.PropertyEQ)
    }
    positional = sum(
        not isinstance(one, exp.Kwarg | exp.PropertyEQ) for one in call.expressions
    )
    names = [
        parameter.name.lower()
        for parameter in registry.functions()[str(call.this).lower()].parameters
    ]
    return "failonerror" in named or positional > names.index("failonerror")


def calls_in(tree: exp.Expr) -> list[exp.Expr]:
    """Return the AI calls at or below a node."""
    functions = registry.functions()
    return [
        found
        for found in tree.find_all(exp.Anonymous)
        if str(found.this).lower() in functions
    ]
