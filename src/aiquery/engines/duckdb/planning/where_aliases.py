"""``SELECT ai(s) AS k FROM t WHERE k``: DuckDB lets WHERE name a selected column. The call takes the name's place."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from aiquery.engines.duckdb.planning.candidates import PSEUDO_COLUMNS
from aiquery.engines.duckdb.planning.pulled_tables import can_move
from aiquery.engines.duckdb.syntax import (
    Tree,
    find_calls,
    is_call,
    may_be_correlated,
    nodes,
    parse_query,
    replace_node,
    walk,
    walk_own,
    with_ctes,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiquery.engines.duckdb.syntax import NodePath


def replace_where_aliases(query: Tree, describe: Callable[[Tree], set[str]]) -> Tree:
    """Return a query whose conditions have the calls of selected columns in the place of their names.

    describe  returns the names of a query's columns, in lower case. A column of FROM comes before a selected one.
    """
    made = copy.deepcopy(query)
    for path in _naming_nodes(made):
        _replace(path, describe)
    return made


def has_where_aliases(query: Tree) -> bool:
    """Return True if a condition of a query may name a selected column that has a call."""
    return bool(_naming_nodes(query))


def _naming_nodes(query: Tree) -> list[NodePath]:
    return [
        path
        for path in walk(query)
        if path.node["type"] == "SELECT_NODE"
        and not may_be_correlated(path)
        and _find_reads(path.node, _named_calls(path.node))
    ]


def _named_calls(select: Tree) -> dict[str, Tree]:
    return {
        item["alias"].lower(): item
        for item in select["select_list"]
        if item["alias"] and find_calls(item) and can_move(item)
    }


def _find_reads(select: Tree, named: dict[str, Tree]) -> list[Tree]:
    return [
        found.node
        for found in walk_own(select["where_clause"] or {})
        if found.node["type"] == "COLUMN_REF"
        and len(found.node["column_names"]) == 1
        and found.node["column_names"][0].lower() in named
    ]


def _replace(path: NodePath, describe: Callable[[Tree], set[str]]) -> None:
    select = path.node
    named = _named_calls(select)
    source = _source(path)
    if any(
        node["type"] == "VALUE_PARAMETER" or is_call(node) for node in nodes(source)
    ):
        return
    columns = describe(source) | PSEUDO_COLUMNS | _tables(select["from_table"])
    for column in _find_reads(select, named):
        name = column["column_names"][0].lower()
        if name not in columns:
            replace_node(column, {**copy.deepcopy(named[name]), "alias": ""})


def _tables(table: Tree) -> set[str]:
    """Return the names of the tables of a FROM clause, each of which is also a name of its rows."""
    return {
        str(found.node.get(key, "")).lower()
        for found in walk_own(table)
        for key in ("alias", "table_name")
    }


def _source(path: NodePath) -> Tree:
    """Return ``SELECT * FROM ..`` with the FROM clause of a query node."""
    made = parse_query("SELECT * FROM t")
    made["from_table"] = copy.deepcopy(path.node["from_table"])
    made["cte_map"] = copy.deepcopy(path.node["cte_map"])
    return with_ctes(path, made)
