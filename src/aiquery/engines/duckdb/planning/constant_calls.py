"""Calls that read nothing of a row."""

from __future__ import annotations

from aiquery.engines.duckdb.planning.aggregates import group_argument
from aiquery.engines.duckdb.planning.barriers import is_constant, is_guarded
from aiquery.engines.duckdb.syntax import (
    QUERIES,
    VOLATILE,
    Tree,
    find_calls,
    nodes,
    set_variant,
    walk,
)


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
                and not is_guarded(call)
                and group_argument(call.node) is None
                and is_constant(call.node)
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


def evaluate_constant_calls_later(query: Tree) -> None:
    """Make every call volatile that reads nothing of a row, where DuckDB allows it."""
    for call in find_calls(query):
        is_aggregate = group_argument(call.node) is not None
        if is_constant(call.node) and not is_guarded(call) and not is_aggregate:
            set_variant(call.node, VOLATILE)
