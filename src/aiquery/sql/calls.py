"""Find AI calls in an expression, and make a failed call fail its row instead of the statement."""

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


def find_calls(tree: exp.Expr) -> list[exp.Expr]:
    """Return the AI calls at or below a node."""
    functions = registry.functions()
    calls = tree.find_all(exp.Anonymous)
    return [call for call in calls if str(call.this).lower() in functions]


def tolerate(expression: exp.Expr, dialect: str) -> TolerantExpression:
    """Return an expression that is NULL for a failed row, and one that is true for it.

    If every call is made for every row, the calls return their errors as values. Otherwise the expression is in TRY, in
    a STRUCT, which distinguishes a NULL value from a failure; DuckDB then evaluates row by row after a failure.
    """
    tree = exp.Paren(this=expression.copy())
    calls = find_calls(tree)
    if any(_is_conditional(call) or _has_fail_on_error(call) for call in calls):
        return _wrap_in_try(expression, dialect)
    failures = []
    for call in reversed(calls):  # inner calls first
        quiet = exp.Paren(this=_hide_errors(call))
        message = exp.Dot(this=quiet, expression=exp.to_identifier("errorMessage"))
        failures.append(f"{message.sql(dialect)} IS NOT NULL")
        call.replace(exp.Dot(this=quiet.copy(), expression=exp.to_identifier("result")))
    return TolerantExpression(tree.sql(dialect), " OR ".join(failures) or "false")


def _is_conditional(call: exp.Expr) -> bool:
    return call.find_ancestor(*_CONDITIONAL) is not None


def _wrap_in_try(expression: exp.Expr, dialect: str) -> TolerantExpression:
    text = expression.sql(dialect)
    if dialect == "databricks":
        struct = f"named_struct('value', {text})"
    else:
        struct = f"{{'value': {text}}}"
    return TolerantExpression(f"(TRY({struct})).value", f"TRY({struct}) IS NULL")


def _hide_errors(call: exp.Expr) -> exp.Expr:
    flag = exp.Kwarg(this=exp.to_identifier("failOnError"), expression=exp.false())
    arguments = [argument.copy() for argument in call.expressions]
    return exp.Anonymous(this=call.this, expressions=[*arguments, flag])


def _has_fail_on_error(call: exp.Expr) -> bool:
    named = set()
    positional = 0
    for argument in call.expressions:
        if isinstance(argument, exp.Kwarg | exp.PropertyEQ):
            named.add(argument.this.name.lower())
        else:
            positional += 1
    parameters = registry.functions()[str(call.this).lower()].parameters
    names = [parameter.name.lower() for parameter in parameters]
    return "failonerror" in named or positional > names.index("failonerror")
