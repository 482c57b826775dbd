"""Plan a query: each change is a function from tree to tree that preserves the query's meaning.

A tree comes from DuckDB's parser (``syntax``). A function does not change nodes that it does not support.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from aiquery import registry
from aiquery.engines.duckdb.answer_flow import CONDITIONAL
from aiquery.engines.duckdb.syntax import (
    DISTINCT,
    QUERIES,
    VOLATILE,
    NodePath,
    Tree,
    arguments,
    canonical,
    constant,
    find_calls,
    function_name,
    has_limit,
    is_call,
    nodes,
    print_expression,
    set_variant,
    walk,
)
from aiquery.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterator

_GUARDS = frozenset({"OPERATOR_TRY", "LAMBDA"})


def plan_query(query: Tree) -> Tree:
    """Return the query to run: the same rows, names and types, with the fewest calls."""
    made = copy.deepcopy(query)
    names = _names(made)
    for change in _CHANGES:
        made = change(made)
    for item, before, name in names:
        if canonical(item) != before and item["alias"] == "":
            item["alias"] = name
    return made


def _names(query: Tree) -> list[tuple[Tree, Tree, str]]:
    """Return the columns with a call and without an alias: each with its current tree and name."""
    items = [item for select in _selects(query) for item in select["select_list"]]
    unnamed = [
        item
        for item in items
        if item["alias"] == "" and find_calls(item) and not _has_star(item)
    ]
    return [(item, canonical(item), print_expression(item)) for item in unnamed]


def _has_star(item: Tree) -> bool:
    return any(node["type"] == "STAR" for node in nodes(item))


def _selects(query: Tree) -> list[Tree]:
    return [node for node in nodes(query) if node["type"] == "SELECT_NODE"]


def aggregate_modifiers(query: Tree) -> Tree:
    """``ai_agg(DISTINCT x, ..) FILTER (WHERE c)`` -> ``ai_agg__distinct(CASE WHEN c THEN x END, ..)``.

    A macro takes no such modifier. NULLs are not texts of a group, so the CASE means the same. ORDER BY raises an
    ``ArgumentError``: the texts of a group are read in sorted order.
    """
    for found in find_calls(query):
        call = found.node
        if _group_argument(call) is None:
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


def _group_argument(call: Tree) -> Tree | None:
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
    argument = _group_argument(call)
    if argument is None:
        return
    chosen = constant("CASE WHEN 1 THEN 2 ELSE NULL END")
    chosen["case_checks"][0]["when_expr"] = call["filter"]
    chosen["case_checks"][0]["then_expr"] = argument["expression"]
    chosen["alias"] = argument["expression"]["alias"]
    argument["expression"] = chosen
    call["filter"] = None


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
        if _says_fail_on_error(call):
            continue
        quiet = constant("(f(failOnError := false)).result")
        flag = quiet["children"][0]["arguments"][0]
        call["arguments"] = [*call["arguments"], flag]
        quiet["children"][0] = call
        if _group_argument(call) is None and not all(
            map(_cannot_fail, arguments(call))
        ):
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


def _says_fail_on_error(call: Tree) -> bool:
    names = [
        parameter.name.lower()
        for parameter in registry.functions()[function_name(call)].parameters
    ]
    given = {argument["name"].lower() for argument in call["arguments"]}
    positional = sum(not argument["name"] for argument in call["arguments"])
    return "failonerror" in given or positional > names.index("failonerror")


def ai_conditions_last(query: Tree) -> Tree:
    """``ai(..) AND cheap`` -> ``cheap AND ai(..)``: DuckDB preserves the order of conditions that may have effects."""
    for condition in _conditions(query):
        if condition["type"] != "CONJUNCTION_AND":
            continue
        parts = condition["children"]
        condition["children"] = [p for p in parts if not find_calls(p)] + [
            p for p in parts if find_calls(p)
        ]
    return query


def _conditions(query: Tree) -> Iterator[Tree]:
    for node in nodes(query):
        clause = node.get("where_clause") if node["type"] == "SELECT_NODE" else None
        on = node.get("condition") if node["type"] == "JOIN" else None
        yield from (condition for condition in (clause, on) if condition)


def volatile_in_conditions(query: Tree) -> Tree:
    """Make calls volatile that DuckDB would push below a join: calls in conditions, and columns that a condition reads.

    A condition about constants is not changed: DuckDB evaluates it first, and reads no row if it is false.
    """
    for found in walk(query):
        if found.node["type"] == "SELECT_NODE":
            _choose_volatile(found)
    return query


def _choose_volatile(select: NodePath) -> None:
    node = select.node
    if node.get("sample") or _reads_one_table(select):
        return
    grouped = [canonical(call.node) for call in find_calls(node["group_expressions"])]
    for call in [*_condition_calls(node), *_projections_below_filter(select)]:
        constant_condition = _is_constant(call.node) and not any(
            node["type"] in CONDITIONAL for node in call.within
        )
        if (
            canonical(call.node) not in grouped
            and not _guarded(call)
            and not constant_condition
        ):
            set_variant(call.node, VOLATILE)


def _reads_one_table(select: NodePath) -> bool:
    """Return True if there is no join: DuckDB also makes one of a subquery in an expression."""
    subquery = any(node.get("class") == "SUBQUERY" for node in select.within)
    return (
        select.node["from_table"]["type"] == "BASE_TABLE"
        and not subquery
        and not _has_subquery(select.node)
    )


def _has_subquery(select: Tree) -> bool:
    return any(
        node.get("class") == "SUBQUERY" for node in nodes(select["where_clause"])
    )


def _condition_calls(select: Tree) -> list[NodePath]:
    clauses = [
        select["where_clause"],
        select["having"],
        *_inner_conditions(select["from_table"]),
    ]
    return [call for clause in clauses if clause for call in _own_calls(clause)]


def _own_calls(clause: Tree) -> list[NodePath]:
    """Return the calls of a clause, without those of its subqueries."""
    return [
        call
        for call in find_calls(clause)
        if not any(node["type"] in QUERIES for node in call.within)
    ]


def _inner_conditions(table: Tree | None) -> Iterator[Tree | None]:
    if table is None or table["type"] != "JOIN":
        return
    if table["join_type"] == "INNER":
        yield table["condition"]
    yield from _inner_conditions(table["left"])
    yield from _inner_conditions(table["right"])


def _projections_below_filter(select: NodePath) -> list[NodePath]:
    """Return calls selected from a join in a filtered subquery: the filter would be pushed below the join."""
    node = select.node
    outer = next(
        (one for one in reversed(select.within) if one["type"] in QUERIES), None
    )
    joins = node["from_table"]["type"] == "JOIN"
    if not joins or outer is None or not outer.get("where_clause") or has_limit(outer):
        return []
    reused = {
        column["column_names"][-1].lower()
        for column in nodes(node)
        if column["type"] == "COLUMN_REF"
    }
    items = [
        item
        for item in node["select_list"]
        if item["alias"] and item["alias"].lower() not in reused
    ]
    return [call for item in items for call in _own_calls(item)]


def constant_calls_where_they_are_reached(query: Tree) -> Tree:
    """Make calls volatile that read nothing of a row: DuckDB would evaluate them when it binds the statement.

    Then a branch that is never taken sends no request. Calls are not changed where DuckDB allows no volatile call, and
    where columns are grouped, ordered or shared by name.
    """
    for found in walk(query):
        select = found.node
        if (
            select["type"] != "SELECT_NODE"
            or select.get("sample")
            or _shares_columns(select)
        ):
            continue
        for call in find_calls(select["select_list"]):
            inside = any(node["type"] in QUERIES for node in call.within)
            if (
                not inside
                and not _guarded(call)
                and _group_argument(call.node) is None
                and _is_constant(call.node)
            ):
                set_variant(call.node, VOLATILE)
    return query


def _shares_columns(select: Tree) -> bool:
    """Return True if other parts of a query may read its columns by name or position, or group their sources."""
    names = {item["alias"].lower() for item in select["select_list"] if item["alias"]}
    read = {
        node["column_names"][-1].lower()
        for node in nodes(select)
        if node["type"] == "COLUMN_REF"
    }
    return bool(select["group_expressions"] or select["modifiers"] or names & read) or (
        select["aggregate_handling"] != "STANDARD_HANDLING"
    )


def _is_constant(call: Tree) -> bool:
    kinds = {"COLUMN_REF", "VALUE_PARAMETER", "STAR", "SUBQUERY", "LAMBDA"}
    return not any(
        node["type"] in kinds
        for argument in arguments(call)
        for node in nodes(argument)
    )


def _guarded(call: NodePath) -> bool:
    """Return True if DuckDB allows no volatile call here."""
    return any(
        node["type"] in _GUARDS or node.get("class") == "WINDOW" for node in call.within
    )


_CHANGES = (
    aggregate_modifiers,
    try_as_error_message,
    ai_conditions_last,
    volatile_in_conditions,
    constant_calls_where_they_are_reached,
)
