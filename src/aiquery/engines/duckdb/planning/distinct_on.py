"""DISTINCT ON: the rows are chosen before the calls of the selected columns are made."""

from __future__ import annotations

from aiquery.engines.duckdb.planning.order_keys import (
    find_modifier,
    make_window,
    resolve_key,
    resolve_order,
)
from aiquery.engines.duckdb.syntax import Tree, constant, is_grouped, nodes, own_calls


def distinct_on_before_calls(query: Tree) -> Tree:
    """``DISTINCT ON (g) .. ORDER BY g, id`` -> ``QUALIFY row_number() OVER (PARTITION BY g ORDER BY g, id) = 1``.

    Only where the keys and the order have no call, and the selected columns have one.
    """
    for select in nodes(query):
        if select["type"] == "SELECT_NODE" and own_calls(select["select_list"]):
            _choose_rows_first(select)
    return query


def _choose_rows_first(select: Tree) -> None:
    distinct = find_modifier(select, "distinct")
    if distinct is None or not distinct["distinct_on_targets"] or select["qualify"]:
        return
    if is_grouped(select):
        return
    if any(node.get("class") == "WINDOW" for node in nodes(select["select_list"])):
        return
    targets = [resolve_key(key, select) for key in distinct["distinct_on_targets"]]
    keys = [key for key in targets if key is not None]
    orders = resolve_order(select)
    if orders is None or len(keys) < len(targets):
        return
    condition = constant("1 = 1")
    condition["left"] = make_window("row_number", keys, orders)
    select["qualify"] = condition
    select["modifiers"].remove(distinct)
