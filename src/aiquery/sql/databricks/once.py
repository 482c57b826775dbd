"""Arguments with AI calls are evaluated once: a macro may name a parameter several times, and copies it each time."""

from __future__ import annotations

import functools
import re

from sqlglot import exp

from aiquery.sql.calls import find_calls
from aiquery.sql.databricks import aggregates
from aiquery.sql.databricks.functions import MACROS, PREFIX, PYTHON
from aiquery.sql.databricks.lambdas import call, let

_LEFT = frozenset({"variant_explode", "variant_explode_outer", *aggregates.MACROS}) - {
    "_present"
}
"""Macros of tables and of groups, whose arguments are not values of one row."""


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
            make = functools.partial(_with_argument, node, position)
            return let(f"__once_{position}", argument, make)
    return node


def _with_argument(node: exp.Anonymous, position: int, value: exp.Expr) -> exp.Expr:
    """Return a call with another argument, whose other arguments are evaluated once too."""
    arguments = list(node.expressions)
    arguments[position] = value
    return _evaluate_once(call(str(node.this), *arguments))


@functools.cache
def _is_named_once(macro: str, position: int) -> bool:
    """Return True if a macro without overloads names a parameter once, and passes it to no other macro."""
    text = MACROS[macro]
    parameters, *bodies = text.split(") AS ")
    # DuckDB itself copies an argument of a function with a lambda.
    is_nested = PREFIX in text.replace(PYTHON, "") or "lambda" in text
    names = parameters.lstrip("(").split(",")
    if is_nested or len(bodies) != 1 or position >= len(names):
        return False
    name = names[position].split()[0]
    return len(re.findall(rf"\b{name}\b", bodies[0])) <= 1
