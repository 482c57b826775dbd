"""Aggregates that take the value of one row: the row is chosen before the call is made.

``first`` and ``last`` take any row. ``any_value``, ``arg_min`` and ``arg_max`` skip the rows whose answer is NULL, so
the choice holds only if no answer of a chosen row is NULL.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from aiquery.engines.duckdb.planning.aggregates import (
    group_argument,
    says_fail_on_error,
)
from aiquery.engines.duckdb.syntax import (
    QUERIES,
    NodePath,
    Tree,
    arguments,
    constant,
    find_calls,
    is_call,
    nodes,
    print_expression,
    replace_node,
    walk,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_ANY_ROW = frozenset({"first", "last", "arbitrary"})
_SKIPPING_NULLS = frozenset(
    {"any_value", "arg_min", "argmin", "min_by", "arg_max", "argmax", "max_by"}
)


def first_before_call(query: Tree) -> Tree:
    """``first(ai(x))`` -> ``ai(first(x))``, and so for last: one call for a group."""
    for select in nodes(query):
        if select["type"] == "SELECT_NODE":
            for aggregate in list(_find(select, _ANY_ROW)):
                _choose_row_first(aggregate)
    return query


def find_skipping_nulls(query: Tree) -> list[NodePath]:
    """Return the query nodes with an aggregate of a call that skips NULL answers, inner ones first."""
    return [
        path
        for path in reversed(list(walk(query)))
        if path.node["type"] == "SELECT_NODE" and any(_find(path.node, _SKIPPING_NULLS))
    ]


def choose_rows_first(select: Tree) -> Tree:
    """Change ``any_value(ai(x))`` to ``ai(any_value(x))``; return a query of the groups where that could differ.

    It reads the groups with a value of ``x`` whose answer is NULL: another row of the group may have an answer.
    """
    conditions = []
    for item in select["select_list"]:
        if item["alias"] == "" and find_calls(item):
            item["alias"] = print_expression(item)
    for aggregate in list(_find(select, _SKIPPING_NULLS)):
        _choose_row_first(aggregate)
        condition = constant("1 IS NULL AND 2 IS NOT NULL")
        chosen = next(
            node
            for node in nodes(aggregate)
            if node.get("function_name") in _SKIPPING_NULLS
        )
        condition["children"][0]["children"] = [
            {**copy.deepcopy(aggregate), "alias": ""}
        ]
        condition["children"][1]["children"] = [{**copy.deepcopy(chosen), "alias": ""}]
        conditions.append(condition)
    made = copy.deepcopy(select)
    made["modifiers"] = []
    made["qualify"] = None
    either = constant("1 OR 2")
    either["children"] = [*conditions, constant("false")]
    groups = made["having"]
    both = constant("1 AND 2")
    both["children"] = [*([groups] if groups else []), either, constant("true")]
    made["having"] = both
    return made


def _find(select: Tree, names: frozenset[str]) -> Iterator[Tree]:
    """Yield the aggregates with these names whose value is the answer of a call about one column or more."""
    for part in (select["select_list"], select["having"] or {}):
        for found in walk(part):
            if found.node.get("function_name") in names and _is_of_call(found, names):
                yield found.node


def _is_of_call(found: NodePath, names: frozenset[str]) -> bool:
    node = found.node
    is_inner = any(one["type"] in QUERIES for one in found.within)
    has_key = node["function_name"].startswith(("arg", "min_by", "max_by"))
    if is_inner or node["distinct"] or len(node["arguments"]) != 1 + has_key:
        return False
    value, *keys = arguments(node)
    call = value
    while call["type"] == "STRUCT_EXTRACT":
        call = call["children"][0]
    if not is_call(call) or group_argument(call) is not None or find_calls(keys):
        return False
    if call is value and says_fail_on_error(call):
        return False  # without a row, first() is NULL, and the call a struct of NULLs
    columns = [one for one in nodes(value) if one["type"] == "COLUMN_REF"]
    kinds = {one.get("class") for one in nodes(value)}
    is_known = not kinds & {"SUBQUERY", "LAMBDA", "WINDOW"} and bool(columns)
    return is_known and (names is _ANY_ROW or len(columns) == 1)


def _choose_row_first(aggregate: Tree) -> None:
    value = arguments(aggregate)[0]
    for column in [one for one in nodes(value) if one["type"] == "COLUMN_REF"]:
        chosen = copy.deepcopy(aggregate)
        chosen["alias"] = column["alias"]
        chosen["arguments"][0]["expression"] = {**column, "alias": ""}
        replace_node(column, chosen)
    replace_node(aggregate, {**value, "alias": aggregate["alias"]})
