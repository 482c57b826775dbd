"""Queries that need only some of the answers: those below a LIMIT, and those of EXISTS.

Where more answers can only add rows, a prefix of the candidates is enough if it gives as many rows as are wanted. The
candidates are the rows of a query node (the source) whose calls decide which rows go on.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiquery.engines.duckdb.answer_flow import AnswerFlow
from aiquery.engines.duckdb.planning.barriers import is_constant
from aiquery.engines.duckdb.planning.conditions import condition_parts
from aiquery.engines.duckdb.planning.order_keys import find_modifier, resolve_order
from aiquery.engines.duckdb.syntax import (
    NodePath,
    Tree,
    find_all_ctes,
    find_calls,
    has_limit,
    is_aggregate_function,
    is_grouped,
    is_limit,
    nodes,
    own_calls,
    read_tables,
    walk,
    walk_own,
)

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

_FOLLOWED = {
    "INNER": ("left", "right"),
    "LEFT": ("left",),
    "RIGHT": ("right",),
    "SEMI": ("left", "right"),
    "ANTI": ("left",),
}
"""The sides of a join to which more rows add only rows of the join."""


@dataclass(frozen=True, kw_only=True)
class Limit:
    """A query node, how many of its rows are wanted, and its sources with the order in which they are asked.

    path      the node and those around it
    rows      rows that are wanted, those that OFFSET skips included
    sources   query nodes whose candidates are asked in waves
    orders    ORDER BY over the columns of the source; [] for the order of reading
    """

    path: NodePath
    rows: int
    sources: tuple[Tree, ...]
    orders: list[Tree]


def find_limits(query: Tree, settled: Container[int] = ()) -> list[Limit]:
    """Return the limits of a query for which a prefix of the candidates is enough, inner ones first.

    ``settled`` are ids of nodes with a limit whose answers are known: their rows are candidates like any other.
    """
    if any(node["type"] == "RECURSIVE_CTE_NODE" for node in nodes(query)):
        return []
    found = []
    for path in reversed(list(walk(query))):
        rows = _wanted_rows(path)
        limit = None if not rows else _find_sources(path, rows, query, settled)
        if limit is not None:
            found.append(limit)
    return found


def _wanted_rows(path: NodePath) -> int | None:
    node = path.node
    if node["type"] not in {"SELECT_NODE", "SET_OPERATION_NODE"}:
        return None
    limits = [modifier for modifier in node["modifiers"] if is_limit(modifier)]
    if limits:
        return _constant_rows(limits[0])
    around = path.within[-1] if path.within else {}
    is_tested = around.get("class") == "SUBQUERY"
    return 1 if is_tested and "EXISTS" in around["subquery_type"] else None


def _constant_rows(limit: Tree) -> int | None:
    if limit["type"] != "LIMIT_MODIFIER" or limit.get("limit_type") != "ROW_COUNT":
        return None
    parts = [limit["limit"], limit["offset"]]
    texts = [str((part.get("literal") or {}).get("text")) for part in parts if part]
    if limit["limit"] is None or not all(text.isdigit() for text in texts):
        return None
    return sum(map(int, texts)) if int(texts[0]) else None


def _find_sources(
    path: NodePath, rows: int, query: Tree, settled: Container[int]
) -> Limit | None:
    node = path.node
    if not find_calls(node) or not AnswerFlow(node).decides_rows:
        return None
    orders: list[Tree] | None = []
    if node["type"] == "SELECT_NODE":
        orders = resolve_order(node)
    elif find_modifier(node, "order") is not None:
        return None
    sources = Sources(query, node, settled)
    if orders is None or not sources.follow(node):
        return None
    found = sources.found
    if not found or (orders and not (len(found) == 1 and found[0] is node)):
        return None
    return Limit(path=path, rows=rows, sources=tuple(found), orders=orders)


class Sources:
    """Finds the sources of a query node: the innermost query nodes whose calls decide about rows."""

    def __init__(self, query: Tree, limited: Tree, settled: Container[int]) -> None:
        self._settled = settled
        self.found: list[Tree] = []
        self._limited = limited
        self._ctes = {name: cte["query_node"] for name, cte in find_all_ctes(query)}
        self._reads = [
            node["table_name"].lower()
            for node in nodes(query)
            if node["type"] == "BASE_TABLE"
        ]

    def is_only(self, node: Tree) -> bool:
        """Return True if a query node is its only source."""
        return self.follow(node) and len(self.found) == 1 and self.found[0] is node

    def follow(self, node: Tree) -> bool:
        """Add the sources of a query node. Return False if more answers could remove one of its rows."""
        if node["type"] == "SET_OPERATION_NODE":
            return node["setop_type"] == "UNION" and self._follow_set(node)
        if node["type"] != "SELECT_NODE" or not self._only_adds_rows(node):
            return False
        before = len(self.found)
        if not self._follow_table(node["from_table"]):
            return False
        for inner in _filtering_subqueries(node):
            if not self._follow_inner(inner):
                return False
        if len(self.found) > before:
            return True
        asked = own_calls(node["where_clause"] or {})
        decides = any(not is_constant(call.node) for call in asked)
        gives = node is not self._limited and own_calls(node["select_list"])
        if decides or gives:
            self.found.append(node)
        return True

    def _follow_set(self, node: Tree) -> bool:
        is_inner = node is not self._limited
        if is_inner and has_limit(node):
            return False
        followed = [self.follow(child) for child in node["children"]]
        return all(followed)

    def _only_adds_rows(self, select: Tree) -> bool:
        grouped = is_grouped(select) or _has_aggregate(select)
        if grouped or select["having"] or select.get("sample"):
            return False
        if own_calls(select["qualify"] or {}) or _has_window(select):
            return False
        if len(list(_asking_subqueries(select))) > len(_filtering_subqueries(select)):
            return False
        distinct = find_modifier(select, "distinct")
        if distinct is not None and distinct["distinct_on_targets"]:
            return select is self._limited
        return select is self._limited or not has_limit(select)

    def _follow_table(self, table: Tree | None) -> bool:
        """Follow the tables of FROM. A part without calls, and one with a limit of its own, is left as it is."""
        if table is None or not self._asks(table):
            return True
        if table["type"] == "JOIN":
            return self._follow_join(table)
        if table["type"] == "SUBQUERY":
            return self._follow_inner(table["subquery"]["node"])
        if table["type"] == "BASE_TABLE":
            name = table["table_name"].lower()
            return self._reads.count(name) == 1 and self._follow_inner(self._ctes[name])
        return False

    def _follow_inner(self, node: Tree) -> bool:
        if id(node) in self._settled:
            return True
        if has_limit(node) and not AnswerFlow(node).decides_rows:
            return True
        return self.follow(node)

    def _follow_join(self, join: Tree) -> bool:
        followed = _FOLLOWED.get(join["join_type"], ())
        if own_calls(join["condition"] or {}):
            return False
        followed_sides = [
            self._follow_table(join[side])
            if side in followed
            else not self._asks(join[side])
            for side in ("left", "right")
        ]
        return all(followed_sides)

    def _asks(self, table: Tree) -> bool:
        """Return True if a part of FROM has a call, or reads a CTE with one."""
        if find_calls(table):
            return True
        return any(find_calls(self._ctes.get(name, {})) for name in read_tables(table))


def _has_aggregate(select: Tree) -> bool:
    own = walk_own(select["select_list"])
    return any(is_aggregate_function(found.node) for found in own)


def _has_window(select: Tree) -> bool:
    own = walk_own([select["select_list"], select["qualify"] or {}])
    return any(found.node.get("class") == "WINDOW" for found in own)


def _filtering_subqueries(select: Tree) -> list[Tree]:
    """Return the queries with calls of ``x IN (..)``, as parts of WHERE: a row more in one keeps rows, or adds some."""
    return [
        part["subquery"]["node"]
        for part in condition_parts(select["where_clause"])
        if part.get("class") == "SUBQUERY"
        and part["subquery_type"] == "ANY"
        and find_calls(part["subquery"]["node"])
        and not find_calls(part["child"] or {})
    ]


def _asking_subqueries(select: Tree) -> Iterator[Tree]:
    """Yield the outermost subqueries with calls in the expressions of a query node."""
    clauses = [
        select["select_list"],
        select["where_clause"] or {},
        select["qualify"] or {},
    ]
    for found in walk_own(clauses):
        if found.node.get("class") == "SUBQUERY" and find_calls(found.node):
            yield found.node


def without_limit(query: Tree) -> Tree:
    """Return a query without LIMIT, and without ORDER BY unless DISTINCT ON needs it."""
    made = copy.deepcopy(query)
    distinct_on = any(one.get("distinct_on_targets") for one in made["modifiers"])
    made["modifiers"] = [
        modifier
        for modifier in made["modifiers"]
        if not is_limit(modifier)
        and (distinct_on or modifier["type"] != "ORDER_MODIFIER")
    ]
    return made
