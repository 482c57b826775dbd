"""TRY around a call: its failed rows are NULL."""

from __future__ import annotations

from aiquery.engines.duckdb.planning.aggregates import (
    group_argument,
    says_fail_on_error,
)
from aiquery.engines.duckdb.syntax import (
    Tree,
    arguments,
    constant,
    is_call,
    nodes,
    walk,
)


def try_as_error_message(query: Tree) -> Tree:
    """``TRY(ai(..))`` -> ``TRY(ai(.., failOnError => false).result)``: the same NULLs, and no second evaluation.

    TRY remains for errors of the arguments. It is dropped where they cannot fail, so that the call can stay above a
    join, and around an aggregate, where DuckDB has no TRY.
    """
    for found in list(walk(query)):
        node = found.node
        if node["type"] != "OPERATOR_TRY" or not is_call(node["children"][0]):
            continue
        call = node["children"][0]
        if says_fail_on_error(call):
            continue
        quiet = constant("(f(failOnError := false)).result")
        flag = quiet["children"][0]["arguments"][0]
        call["arguments"] = [*call["arguments"], flag]
        quiet["children"][0] = call
        if group_argument(call) is None and not all(map(_cannot_fail, arguments(call))):
            node["children"] = [quiet]
            continue
        alias = node["alias"]
        node.clear()
        node.update(quiet)
        node["alias"] = alias
    return query


def _cannot_fail(argument: Tree) -> bool:
    return all(
        node["type"] in {"COLUMN_REF", "VALUE_CONSTANT", "ORDER_MODIFIER"}
        or node.get("function_name") == "||"
        for node in nodes(argument)
    )
