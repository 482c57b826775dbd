"""Calls that are aggregates."""

from __future__ import annotations

from aiquery import registry
from aiquery.engines.duckdb.planning.conditions import only_if
from aiquery.engines.duckdb.syntax import (
    DISTINCT,
    Tree,
    find_calls,
    function_name,
    set_variant,
)
from aiquery.errors import ArgumentError


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
    argument["expression"] = only_if(call["filter"], argument["expression"])
    call["filter"] = None


def says_fail_on_error(call: Tree) -> bool:
    """Return True if a call has the argument ``failOnError``."""
    names = [
        parameter.name.lower()
        for parameter in registry.functions()[function_name(call)].parameters
    ]
    given = {argument["name"].lower() for argument in call["arguments"]}
    positional = sum(not argument["name"] for argument in call["arguments"])
    return "failonerror" in given or positional > names.index("failonerror")
