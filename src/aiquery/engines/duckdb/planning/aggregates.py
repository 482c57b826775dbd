"""Calls in aggregates, and calls that are aggregates."""

from __future__ import annotations

import copy

from aiquery import registry
from aiquery.engines.duckdb.syntax import (
    DISTINCT,
    QUERIES,
    NodePath,
    Tree,
    arguments,
    constant,
    find_calls,
    function_name,
    is_call,
    nodes,
    replace_node,
    set_variant,
    walk,
)
from aiquery.errors import ArgumentError

_OF_ONE_ROW = frozenset({"first", "last", "arbitrary"})


def aggregate_modifiers(query: Tree) -> Tree:
    """``ai_agg(DISTINCT x, ..) FILTER (WHERE c)`` -> ``ai_agg__distinct(CASE WHEN c THEN x END, ..)``.

    A macro takes no such modifier. NULLs are not texts of a group, so the CASE means the same. ORDER BY raises an
    ``ArgumentError``: the texts of a group are read in sorted order.
    """
    for found in find_calls(query):
        call = found.node
        if group_argument(call) is None:
            continue
        if call["order_bys"]["orders"]:
            raise ArgumentError(
                f"{function_name(call)} reads the texts of a group in sorted order, so that the same group is the same "
                "request. Remove ORDER BY from the call."
            )
        if call["filter"] is not None:
            _filter_argument(call)
        if call["distinct"]:
            call["distinct"] = False
            set_variant(call, DISTINCT)
    return query


def group_argument(call: Tree) -> Tree | None:
    """Return the argument of an aggregate with its texts; None for a function of a row."""
    parameters = registry.functions()[function_name(call)].parameters
    for position, parameter in enumerate(parameters):
        if parameter.kind != "group":
            continue
        named = [
            given
            for given in call["arguments"]
            if given["name"].lower() == parameter.name.lower()
        ]
        placed = call["arguments"][position : position + 1]
        return next(iter([*named, *placed]), None)
    return None


def _filter_argument(call: Tree) -> None:
    argument = group_argument(call)
    if argument is None:
        return
    chosen = constant("CASE WHEN 1 THEN 2 ELSE NULL END")
    chosen["case_checks"][0]["when_expr"] = call["filter"]
    chosen["case_checks"][0]["then_expr"] = argument["expression"]
    chosen["alias"] = argument["expression"]["alias"]
    argument["expression"] = chosen
    call["filter"] = None


def first_before_call(query: Tree) -> Tree:
    """``first(ai(x))`` -> ``ai(first(x))``, and so for last: one call for a group.

    ``any_value`` is not changed: it skips the rows whose answer is NULL.
    """
    for select in nodes(query):
        if select["type"] == "SELECT_NODE":
            for part in (select["select_list"], select["having"] or {}):
                for found in list(walk(part)):
                    if _is_first_of_call(found, select):
                        _swap(found.node)
    return query


def _is_first_of_call(found: NodePath, select: Tree) -> bool:
    node = found.node
    if node.get("function_name") not in _OF_ONE_ROW or len(node["arguments"]) != 1:
        return False
    if node["filter"] is not None or node["distinct"]:
        return False
    if any(one["type"] in QUERIES for one in found.within):
        return False
    value = arguments(node)[0]
    inner = value
    while inner["type"] == "STRUCT_EXTRACT":
        inner = inner["children"][0]
    if not is_call(inner) or group_argument(inner) is not None:
        return False
    if not select["group_expressions"] and says_fail_on_error(inner):
        return False  # without a row, first() is NULL, and the call a struct of NULLs
    kinds = {node.get("class") for node in nodes(value)}
    return "COLUMN_REF" in kinds and not kinds & {"SUBQUERY", "LAMBDA", "WINDOW"}


def _swap(first: Tree) -> None:
    value = arguments(first)[0]
    for column in list(nodes(value)):
        if column["type"] != "COLUMN_REF":
            continue
        chosen = copy.deepcopy(first)
        chosen["alias"] = column["alias"]
        chosen["arguments"][0]["expression"] = {**column, "alias": ""}
        replace_node(column, chosen)
    replace_node(first, {**value, "alias": first["alias"]})


def says_fail_on_error(call: Tree) -> bool:
    """Return True if a call has the argument ``failOnError``."""
    names = [
        parameter.name.lower()
        for parameter in registry.functions()[function_name(call)].parameters
    ]
    given = {argument["name"].lower() for argument in call["arguments"]}
    positional = sum(not argument["name"] for argument in call["arguments"])
    return "failonerror" in given or positional > names.index("failonerror")
