"""Arguments of macros that are evaluated before the macro is chosen.

A macro may name a parameter several times, and copies it each time: an AI call would be made several times. And DuckDB
chooses among the overloads of a macro before it knows the type of an aggregate, a window or an alias of the same
SELECT. Such an argument becomes the parameter of a lambda: ``list_transform([argument], x -> macro(x))[1]``.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlglot import exp

from aiquery.sql.calls import find_calls
from aiquery.sql.databricks import aggregates
from aiquery.sql.databricks.decimals import CHOOSING, example_of
from aiquery.sql.databricks.functions import MACROS, PREFIX, PYTHON
from aiquery.sql.databricks.lambdas import call, let

if TYPE_CHECKING:
    from sqlglot.expressions import Expr

_UNKNOWN = "aiquery_unknown_function"
_LEFT = frozenset({"variant_explode", "variant_explode_outer", *aggregates.MACROS}) - {
    "_present",
}
"""Macros of tables and of groups, whose arguments are not values of one row."""

_TYPED = re.compile(r"\(\s*\w+ [A-Z]|, \w+ [A-Z]")
"""A parameter with a type: the macro has overloads."""

_AGGREGATES = frozenset(
    {"list", "first", "last", "any_value", "arg_min", "arg_max", "arg_min_null", "arg_max_null",
     "quantile_cont", "quantile_disc", "bool_and",
     "bool_or", "stddev_samp", "kurtosis_pop", "databricks_try_sum", "databricks_skewness"}
)  # fmt: skip
"""Aggregates that are no ``exp.AggFunc`` in a translated tree."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a macro is called.

    aliases     the names that the SELECT around it gives its columns
    has_calls   the statement calls AI functions
    is_lateral  it is in a LATERAL subquery: DuckDB fails there when it chooses an overload by a column of another table
    """

    aliases: frozenset[str]
    has_calls: bool
    is_lateral: bool


def evaluate_all_once(tree: Expr, late: frozenset[str] = frozenset()) -> Expr:
    """Return a translated statement whose macros get each argument evaluated, where that is needed.

    ``late`` are names of columns whose type DuckDB does not know when it chooses an overload.
    """
    has_calls = bool(find_calls(tree))
    for node in reversed(list(tree.walk(bfs=False))):
        if isinstance(node, exp.Anonymous) and _may_be_macro(node):
            is_lateral = node.find_ancestor(exp.Lateral) is not None
            place = _Place(_aliases(node) | late, has_calls, is_lateral)
            made = _evaluate_once(node, place)
            if made is node:
                continue
            if node is tree:
                tree = made
            else:
                node.replace(made)
    return tree


def mark_unknown(node: exp.Anonymous) -> None:
    """Mark a call of a function that no file of this package translates: it may be a macro that the user created."""
    node.meta[_UNKNOWN] = True


def _may_be_macro(node: exp.Anonymous) -> bool:
    if _UNKNOWN in node.meta:
        tables = (exp.Table, exp.Lateral)
        return not isinstance(node.parent, tables)
    return str(node.this).startswith(PREFIX)


def _aliases(node: Expr) -> frozenset[str]:
    """Return the names that the SELECT around a node gives its columns."""
    select = node.find_ancestor(exp.Select)
    if select is None:
        return frozenset()
    items = [one for one in select.expressions if isinstance(one, exp.Alias)]
    return frozenset(one.alias.lower() for one in items)


def _evaluate_once(node: exp.Anonymous, place: _Place) -> Expr:
    macro = str(node.this).removeprefix(PREFIX)
    if macro in _LEFT:
        return node
    if macro in CHOOSING:
        return _without_choice(node, macro, place)
    for position, argument in enumerate(node.expressions):
        if _is_evaluated_before(macro, position, argument, place):
            return let(
                f"__once_{position}",
                argument,
                functools.partial(_with_argument, node, position, place),
            )
    return node


def _is_evaluated_before(
    macro: str, position: int, argument: Expr, place: _Place
) -> bool:
    if macro not in MACROS:
        is_value = not isinstance(argument, exp.Lambda | exp.Kwarg | exp.Star)
        return is_value and _has_late_type(argument, place)
    asks = place.has_calls and find_calls(argument)
    if asks and not _is_named_once(macro, position):
        return True
    return _has_overloads(macro) and _has_late_type(argument, place)


def _without_choice(node: exp.Anonymous, macro: str, place: _Place) -> Expr:
    """Return a call that DuckDB can choose an overload for, or one of the macro without overloads."""
    count = CHOOSING[macro]
    choosing, rest = node.expressions[:count], node.expressions[count:]
    if not any(_has_late_type(one, place) for one in choosing):
        return node
    alike = [example_of(one) for one in choosing]
    known = [one for one in alike if one and not _has_late_type(one, place)]
    if len(known) == count:
        name = str(node.this)
        return call(name, *known, *rest)
    return call(f"{node.this}_typed", *rest)


def _with_argument(
    node: exp.Anonymous, position: int, place: _Place, value: Expr
) -> Expr:
    """Return a call with another value for an argument and its copies, whose other arguments are evaluated too."""
    replaced = node.expressions[position]
    arguments = [value.copy() if one == replaced else one for one in node.expressions]
    return _evaluate_once(call(str(node.this), *arguments), place)


def _has_late_type(argument: Expr, place: _Place) -> bool:
    """Return True if DuckDB does not know an argument's type when it chooses an overload."""
    for node in argument.walk():
        if isinstance(node, exp.AggFunc | exp.Window):
            return True
        if isinstance(node, exp.Anonymous) and str(node.this).lower() in _AGGREGATES:
            return True
        if not isinstance(node, exp.Column):
            continue
        is_own = node.name.startswith("__once_")
        if place.is_lateral and not is_own:
            return True
        if not node.table and node.name.lower() in place.aliases:
            return True
    return False


@functools.cache
def _has_overloads(macro: str) -> bool:
    return _TYPED.search(MACROS[macro]) is not None


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
