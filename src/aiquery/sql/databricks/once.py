"""Arguments with AI calls are evaluated once: a macro may name a parameter several times, and copies it each time."""

from __future__ import annotations

import functools
import re

from sqlglot import exp

from aiquery.sql.calls import find_calls
from aiquery.sql.databricks import aggregates
from aiquery.sql.databricks.functions import MACROS, PREFIX
from aiquery.sql.databricks.lambdas import call, make_lambda

_LEFT = frozenset({"variant_explode", "variant_explode_outer", *aggregates.MACROS}) - {
    "_present"
}
"""Macros of tables and of groups, whose arguments are not values of one row."""

_OVERLOAD = re.compile(r"\(([^()]*)\) AS (?=CASE|[A-Z'(]|\w)")


def evaluate_all_once(tree: exp.Expr) -> exp.Expr:
    """Return a translated statement whose macros evaluate each AI call once for a row."""
    if not find_calls(tree):
        return tree
    for node in reversed(list(tree.walk(bfs=False))):
        if isinstance(node, exp.Anonymous) and str(node.this).startswith(PREFIX):
            made = _evaluate_once(node)
            if made is not node:
                node.replace(made)
    return tree


def _evaluate_once(node: exp.Anonymous) -> exp.Expr:
    """Return ``f(ai(..), b)`` as ``list_transform([ai(..)], x -> f(x, b))[1]``."""
    macro = str(node.this).removeprefix(PREFIX)
    if macro in _LEFT:
        return node
    for position, argument in enumerate(node.expressions):
        if find_calls(argument) and not _is_named_once(macro, position):
            name = exp.to_identifier(f"__once_{position}")
            others = list(node.expressions)
            others[position] = exp.column(name.copy())
            body = _evaluate_once(call(str(node.this), *others))
            items = call("list_value", argument)
            made = call("list_transform", items, make_lambda(name, body))
            return call("list_extract", made, exp.Literal.number(1))
    return node


@functools.cache
def _is_named_once(macro: str, position: int) -> bool:
    """Return True if no overload of a macro names a parameter more than once, or passes it to another macro."""
    text = MACROS[macro]
    # DuckDB itself copies an argument of a function with a lambda.
    if PREFIX in text.replace("databricks_py_", "") or "lambda" in text:
        return False
    names = [parameters.split(",") for parameters in _OVERLOAD.findall(text)]
    used = {
        one[position].split(":=")[0].split()[0] for one in names if position < len(one)
    }
    declared = sum(position < len(one) for one in names)
    return (
        all(len(re.findall(rf"\b{name}\b", text)) <= 2 * declared for name in used)
        and declared == 1
    )
