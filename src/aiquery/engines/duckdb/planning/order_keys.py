"""The keys by which a query node orders its rows, and those that DISTINCT ON names, as expressions of its source."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from aiquery.engines.duckdb.syntax import (
    QUERIES,
    Tree,
    constant,
    find_calls,
    nodes,
    reads_name,
    selected_names,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

_SEVERAL_ROWS = frozenset({"unnest", "unlist"})
_MODIFIERS = {"order": "ORDER_MODIFIER", "distinct": "DISTINCT_MODIFIER"}


def find_modifier(query: Tree, kind: str) -> Tree | None:
    """Return the ORDER BY (``order``) or DISTINCT (``distinct``) of a query node."""
    found = (m for m in query["modifiers"] if m["type"] == _MODIFIERS[kind])
    return next(found, None)


def resolve_order(select: Tree) -> list[Tree] | None:
    """Return the orders of a query node over its source; [] without ORDER BY, None if one is unknown or has a call."""
    modifier = find_modifier(select, "order")
    if modifier is None:
        return []
    orders = []
    for order in _expand_all(modifier["orders"], select["select_list"]):
        key = resolve_key(order["expression"], select)
        if key is None:
            return None
        orders.append({**order, "expression": key})
    return orders


def _expand_all(orders: list[Tree], items: list[Tree]) -> list[Tree]:
    """Return the orders of a query node: for ORDER BY ALL, the positions of all columns."""
    key = orders[0]["expression"]
    if key["type"] != "STAR" or not key["columns"] or key["expr"]:
        return orders
    positions = range(1, len(items) + 1)
    return [{**orders[0], "expression": constant(str(one))} for one in positions]


def resolve_key(key: Tree, select: Tree) -> Tree | None:
    """Return a key without names or positions of selected columns; None if it has a call or is unknown."""
    items = select["select_list"]
    if any(map(_changes_columns, items)):
        return None
    if key["class"] == "CONSTANT":
        text = str((key.get("literal") or {}).get("text", ""))
        known = text.isdigit() and 1 <= int(text) <= len(items)
        if not known or _has_star(items[: int(text)]):
            return None
        key = items[int(text) - 1]
    elif key["type"] == "COLUMN_REF" and len(key["column_names"]) == 1:
        name = key["column_names"][0].lower()
        named = [item for item in items if item["alias"].lower() == name]
        key = named[0] if named else key
    elif reads_name(key, selected_names(select)):
        return None
    if find_calls(key) or _has_star([key]) or _is_not_of_the_source(key):
        return None
    return {**copy.deepcopy(key), "alias": ""}


def _changes_columns(item: Tree) -> bool:
    """Return True if a column stands for several, and may change one under its name: REPLACE, RENAME, COLUMNS."""
    return any(
        node["type"] == "STAR"
        and (
            node is not item
            or node.get("columns")
            or node.get("replace_list")
            or node.get("rename_list")
        )
        for node in nodes(item)
    )


def _has_star(items: Iterable[Tree]) -> bool:
    return any(node["type"] == "STAR" for node in nodes(list(items)))


def _is_not_of_the_source(key: Tree) -> bool:
    """Return True if a key is a window, has a subquery, or makes several rows of one."""
    return any(
        node.get("class") in {"WINDOW", "SUBQUERY"}
        or node["type"] in QUERIES
        or node.get("function_name") in _SEVERAL_ROWS
        for node in nodes(key)
    )


def make_window(function: str, partitions: list[Tree], orders: list[Tree]) -> Tree:
    """Return ``function() OVER (PARTITION BY .. ORDER BY ..)``."""
    window = constant(f"{function}() OVER ()")
    window["partitions"] = partitions
    window["orders"] = orders
    return window
