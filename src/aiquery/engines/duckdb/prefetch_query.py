"""The query of the prefetch pass: the same query once without waiting, so that all requests are in flight at once.

DuckDB calls our function chunk by chunk (2,048 rows) and waits for the slowest request of each. In the prefetch pass
the function submits the requests and returns NULL; the real pass then finds the answers, or waits for them. The
prefetch pass runs only if it sends no request that the statement would not send, has no side effect, and reads the
same rows as the statement. Otherwise the real pass alone is correct, only slower.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from aiquery.engines.duckdb.answer_flow import AnswerFlow
from aiquery.engines.duckdb.catalog import is_file
from aiquery.engines.duckdb.syntax import (
    UNASKED,
    NodePath,
    Tree,
    canonical,
    find_calls,
    find_ctes,
    has_limit,
    is_aggregate_function,
    nodes,
    set_variant,
    walk,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiquery.engines.duckdb.catalog import Catalog

CHUNK = 2048
"""Rows that DuckDB passes at once: a smaller result needs no prefetch pass."""

_SETTLED = frozenset({
    "count", "count_star", "count_if", "countif", "min", "max", "bool_and", "bool_or", "bit_and", "bit_or", "bit_xor",
    "quantile_disc",
})  # fmt: skip
"""Aggregates whose result does not depend on the order of their rows."""

_SETTLED_WINDOWS = frozenset(
    {"WINDOW_RANK", "WINDOW_DENSE_RANK", "WINDOW_PERCENT_RANK", "WINDOW_CUME_DIST"}
)
_TABLE_FUNCTIONS = frozenset({
    "range", "generate_series", "generate_subscripts", "unnest", "repeat", "repeat_row", "glob", "json_each",
    "json_tree", "read_parquet", "parquet_scan", "read_csv", "read_csv_auto", "read_json", "read_json_auto",
    "read_json_objects", "read_json_objects_auto", "read_ndjson", "read_ndjson_auto", "read_ndjson_objects",
    "read_text", "read_blob", "pandas_scan",
})  # fmt: skip
_HARMLESS = frozenset({"error"})


def make_prefetch_query(query: Tree) -> Tree | None:
    """Return the query of the prefetch pass; None if an answer could decide about further requests.

    Calls that depend on an answer are dropped: a call about an answer, and one that an answer guards.
    """
    if depends_on_own_rows(query):
        return None
    flow = AnswerFlow(query)
    sites = find_calls(query)
    several = len(sites) > 1 or flow.is_read_twice
    if (
        not sites
        or (several and flow.decides_rows)
        or (flow.has_limit and flow.decides_rows)
    ):
        return None
    if flow.has_limit and has_set_operation(query):
        return None
    if several and flow.is_untraceable:
        return None
    made = copy.deepcopy(query)
    return made if drop_dependent_calls(made, flow) else None


def depends_on_own_rows(query: Tree) -> bool:
    """Return True if a query samples, or is recursive: it cannot be read with NULL for flow."""
    return any(
        node["type"] == "RECURSIVE_CTE_NODE" or node.get("sample")
        for node in nodes(query)
    )


def has_set_operation(query: Tree) -> bool:
    """Return True if a query has a UNION, EXCEPT or INTERSECT."""
    return any(node["type"] == "SET_OPERATION_NODE" for node in nodes(query))


def drop_dependent_calls(query: Tree, flow: AnswerFlow) -> int:
    """Replace the calls that depend on an answer by NULL; return the number of the others."""
    independent = 0
    for found in find_calls(query):
        if flow.is_dependent(found):
            set_variant(found.node, UNASKED)
        else:
            independent += 1
    return independent


def is_small(query: Tree) -> bool:
    """Return True if one chunk holds all rows of a query."""
    for modifier in query["modifiers"]:
        if (
            modifier["type"] == "LIMIT_MODIFIER"
            and (modifier.get("limit") or {}).get("class") == "CONSTANT"
        ):
            text = str((modifier["limit"].get("literal") or {}).get("text", ""))
            return text.isdigit() and int(text) <= CHUNK
    return False


def reads_the_same_twice(query: Tree, catalog: Catalog) -> bool:
    """Return True if a query read twice in one transaction reads the same, has no side effect, and hides no call."""
    trees = catalog.expand(query) or []
    limited = any(has_limit(node) for tree in trees for node in nodes(tree))
    if limited and not catalog.keeps_order():
        return False
    return is_repeatable(query, catalog) and all(
        _is_settled(site, query) for site in find_calls(query)
    )


def is_repeatable(query: Tree, catalog: Catalog) -> bool:
    """Return True if a query can be read twice; the order in which rows arrive may still decide what is read."""
    trees = catalog.expand(query)
    if trees is None or any(find_calls(tree) for tree in trees[1:]):
        return False
    for node in (node for tree in trees for node in nodes(tree)):
        if node.get("sample") or node["type"] in {
            "RECURSIVE_CTE_NODE",
            "PIVOT",
            "SHOW_REF",
        }:
            return False
        if node["type"] == "TABLE_FUNCTION" and not _known_table_function(
            node, catalog
        ):
            return False
        name = str(node.get("function_name", "")).lower()
        harmless = node.get("is_operator") or name in _HARMLESS
        if name and not harmless and not catalog.repeats(name):
            return False
    return not any(is_unsettled(node) for tree in trees[1:] for node in nodes(tree))


def _known_table_function(node: Tree, catalog: Catalog) -> bool:
    name = str(node["function"]["function_name"]).lower()
    texts = [
        n["literal"]["text"]
        for n in nodes(node["function"])
        if n.get("literal", {}).get("kind") == "STRING"
    ]
    if name.startswith(("read_", "parquet_scan")) and any(
        text.startswith("/") and not is_file(text) for text in texts
    ):
        return False
    return name in _TABLE_FUNCTIONS or catalog.is_macro(name)


def _is_settled(site: NodePath, query: Tree) -> bool:
    """Return True if the rows of a call, and its arguments, do not depend on the order of reading."""
    return not any(
        is_unsettled(node) for part in _read_by(site, query) for node in nodes(part)
    ) and not any(_cuts(node) for node in site.within)


def _read_by(site: NodePath, query: Tree) -> Iterator[Tree | list[Tree]]:
    """Yield the parts that decide about the rows of a call, and its arguments: the queries of CTEs too."""
    yield site.node
    for node in site.within:
        if node["type"] == "SELECT_NODE":
            clauses = (
                "from_table",
                "where_clause",
                "group_expressions",
                "having",
                "qualify",
            )
            yield from (node[clause] for clause in clauses if node.get(clause))
    inside = {id(node) for node in site.within}
    for node in nodes(query):
        for _, cte in find_ctes(node):
            body = cte["query_node"]
            if id(body) not in inside and _precedes(body, site, node):
                yield body


def _precedes(body: Tree, site: NodePath, owner: Tree) -> bool:
    """Return True if the query of a call may read a CTE: not one that itself reads the CTE of the call."""
    names = {
        name
        for name, cte in find_ctes(owner)
        if any(cte["query_node"] is node for node in site.within)
    }
    return not any(
        node["type"] == "BASE_TABLE" and node["table_name"].lower() in names
        for node in nodes(body)
    )


def is_unsettled(node: Tree) -> bool:
    """Return True if the result of a node depends on the order in which rows arrive."""
    if node.get("class") == "WINDOW":
        settled = (
            node["type"] in _SETTLED_WINDOWS
            or str(node["function_name"]).lower() in _SETTLED
        )
        return not settled
    if node.get("class") == "FUNCTION":
        return _is_unsettled_aggregate(node)
    return _cuts(node) or (node["type"] == "JOIN" and node["ref_type"] == "POSITIONAL")


def _is_unsettled_aggregate(node: Tree) -> bool:
    name = str(node["function_name"]).lower()
    if not is_aggregate_function(node) or name in _SETTLED:
        return False
    orders = node["order_bys"]["orders"]
    given = [canonical(argument["expression"]) for argument in node["arguments"][:1]]
    return not (name in {"list", "array_agg", "string_agg", "group_concat", "listagg"} and len(orders) == 1
                and [canonical(orders[0]["expression"])] == given)  # fmt: skip


def _cuts(node: Tree) -> bool:
    """Return True if the rows of a query may depend on their order: LIMIT and DISTINCT ON."""
    distinct_on = any(
        modifier.get("distinct_on_targets") for modifier in node.get("modifiers") or ()
    )
    return distinct_on or (has_limit(node) and not _in_order_of_a_table(node))


def _in_order_of_a_table(node: Tree) -> bool:
    """Return True if a query reads one table in its order, which DuckDB preserves."""
    source = node.get("from_table") or {}
    plain = (
        source.get("type") in {"BASE_TABLE", "TABLE_FUNCTION", "EMPTY"}
        and not node["group_expressions"]
    )
    return plain and not any(
        modifier["type"] == "ORDER_MODIFIER" for modifier in node["modifiers"]
    )


def cannot_fail(query: Tree) -> bool:
    """Return True if NULL for every answer raises no error that the statement itself would not raise.

    In a transaction of the user an error would undo earlier writes.
    """
    flow = AnswerFlow(query)
    turning = any(may_invert_rows(found) for found in walk(query))
    return (
        not turning
        and not flow.decides_rows
        and all(flow.is_passed_on(site) for site in find_calls(query))
    )


def may_invert_rows(found: NodePath) -> bool:
    """Return True if fewer rows inside may be more rows outside."""
    node = found.node
    return (
        node.get("class") == "SUBQUERY"
        or (node["type"] == "SET_OPERATION_NODE" and node["setop_type"] != "UNION")
        or (node["type"] == "JOIN" and node["join_type"] != "INNER")
    )
