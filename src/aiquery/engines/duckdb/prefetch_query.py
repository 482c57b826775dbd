"""The collect pass: the same query once without waiting, so that every request of the statement is in flight at once.

DuckDB asks chunk by chunk (2,048 rows) and waits for the slowest of each. In the collect pass our function takes the
requests and answers NULL; the real pass then finds its answers there or on their way. It is run only where it asks for
nothing that the statement would not ask, has no effect, and reads the same as the statement does; elsewhere the
function alone is right, only slower.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from aiquery.engines.duckdb.answer_flow import AnswerFlow
from aiquery.engines.duckdb.catalog import is_file
from aiquery.engines.duckdb.syntax import (
    UNASKED,
    Found,
    Tree,
    built_in,
    call_of,
    calls,
    canonical,
    ctes,
    limits,
    nodes,
    walk,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiquery.engines.duckdb.catalog import Catalog

CHUNK = 2048
"""Rows that DuckDB hands over at once: what has no more of them is in flight at once without a collect pass."""

_SETTLED = frozenset({
    "count", "count_star", "count_if", "countif", "min", "max", "bool_and", "bool_or", "bit_and", "bit_or", "bit_xor",
    "quantile_disc",
})  # fmt: skip
"""Aggregates that give the same in whatever order, and on however many threads, their rows are read."""

_SETTLED_WINDOWS = frozenset(
    {"WINDOW_RANK", "WINDOW_DENSE_RANK", "WINDOW_PERCENT_RANK", "WINDOW_CUME_DIST"}
)
_MACROS_OF_AGGREGATES = frozenset({
    "json_group_array", "json_group_object", "json_group_structure", "variant_group_array", "geomean",
    "geometric_mean", "wavg", "weighted_avg",
})  # fmt: skip
_TABLE_FUNCTIONS = frozenset({
    "range", "generate_series", "generate_subscripts", "unnest", "repeat", "repeat_row", "glob", "json_each",
    "json_tree", "read_parquet", "parquet_scan", "read_csv", "read_csv_auto", "read_json", "read_json_auto",
    "read_json_objects", "read_json_objects_auto", "read_ndjson", "read_ndjson_auto", "read_ndjson_objects",
    "read_text", "read_blob", "pandas_scan",
})  # fmt: skip
_HARMLESS = frozenset({"error"})


def collected(query: Tree) -> Tree | None:
    """Return the query that collects for ``query``, or None where an answer could decide what is asked.

    What depends on an answer is left out of it: a call about an answer, and one that an answer guards.
    """
    if goes_its_own_way(query):
        return None
    answers = AnswerFlow(query)
    sites = calls(query)
    several = len(sites) > 1 or answers.read_twice
    if (
        not sites
        or (several and answers.decide_rows)
        or (answers.limited and answers.decide_rows)
    ):
        return None
    if answers.limited and has_set_operation(query):
        return None
    if several and answers.untraceable:
        return None
    made = copy.deepcopy(query)
    return made if leave_out_dependent(made, answers) else None


def goes_its_own_way(query: Tree) -> bool:
    """Say whether a query samples, or goes on by what it read: it cannot be read with NULL for answers."""
    return any(
        node["type"] == "RECURSIVE_CTE_NODE" or node.get("sample")
        for node in nodes(query)
    )


def has_set_operation(query: Tree) -> bool:
    """Say whether a query has a UNION, EXCEPT or INTERSECT."""
    return any(node["type"] == "SET_OPERATION_NODE" for node in nodes(query))


def leave_out_dependent(query: Tree, answers: AnswerFlow) -> int:
    """Let the calls of a query that depend on an answer ask nothing; return how many others there are."""
    independent = 0
    for found in calls(query):
        if answers.decide(found):
            call_of(found.node, UNASKED)
        else:
            independent += 1
    return independent


def is_small(query: Tree) -> bool:
    """Say whether a query gives so few rows that one chunk has them all."""
    for modifier in query["modifiers"]:
        if (
            modifier["type"] == "LIMIT_MODIFIER"
            and (modifier.get("limit") or {}).get("class") == "CONSTANT"
        ):
            text = str((modifier["limit"].get("literal") or {}).get("text", ""))
            return text.isdigit() and int(text) <= CHUNK
    return False


def reads_the_same_twice(query: Tree, catalog: Catalog) -> bool:
    """Say whether reading a query twice, in one transaction, reads the same, has no effect, and hides no call."""
    trees = catalog.expanded(query)
    if trees is None or any(calls(tree) for tree in trees[1:]):
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
    limited = any(limits(node) for tree in trees for node in nodes(tree))
    if limited and not catalog.keeps_order():
        return False
    hidden = any(_is_unsettled(node) for tree in trees[1:] for node in nodes(tree))
    return not hidden and all(_is_settled(site, query) for site in calls(query))


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


def _is_settled(site: Found, query: Tree) -> bool:
    """Say whether the rows that a call is made for, and its arguments, do not depend on the order of reading."""
    return not any(
        _is_unsettled(node) for part in _read_by(site, query) for node in nodes(part)
    ) and not any(_cuts(node) for node in site.within)


def _read_by(site: Found, query: Tree) -> Iterator[Tree | list[Tree]]:
    """Yield what decides for which rows a call is made, and its arguments: the queries of the CTEs too."""
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
        for _, cte in ctes(node):
            body = cte["query_node"]
            if id(body) not in inside and _precedes(body, site, node):
                yield body


def _precedes(body: Tree, site: Found, owner: Tree) -> bool:
    """Say whether a CTE may be read by the query of a call: not one that itself reads the CTE of the call."""
    names = {
        name
        for name, cte in ctes(owner)
        if any(cte["query_node"] is node for node in site.within)
    }
    return not any(
        node["type"] == "BASE_TABLE" and node["table_name"].lower() in names
        for node in nodes(body)
    )


def _is_unsettled(node: Tree) -> bool:
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
    kind = built_in().get(name)
    aggregate = name in _MACROS_OF_AGGREGATES or (
        kind is not None and kind.kind == "aggregate"
    )
    if not aggregate or name in _SETTLED:
        return False
    orders = node["order_bys"]["orders"]
    given = [canonical(argument["expression"]) for argument in node["arguments"][:1]]
    return not (name in {"list", "array_agg", "string_agg", "group_concat", "listagg"} and len(orders) == 1
                and [canonical(orders[0]["expression"])] == given)  # fmt: skip


def _cuts(node: Tree) -> bool:
    """Say whether which rows a query keeps may depend on their order: LIMIT and DISTINCT ON."""
    distinct_on = any(
        modifier.get("distinct_on_targets") for modifier in node.get("modifiers") or ()
    )
    return distinct_on or (limits(node) and not _in_order_of_a_table(node))


def _in_order_of_a_table(node: Tree) -> bool:
    """Say whether a query keeps the rows of one table in their order, which DuckDB keeps too."""
    source = node.get("from_table") or {}
    plain = (
        source.get("type") in {"BASE_TABLE", "TABLE_FUNCTION", "EMPTY"}
        and not node["group_expressions"]
    )
    return plain and not any(
        modifier["type"] == "ORDER_MODIFIER" for modifier in node["modifiers"]
    )


def cannot_fail(query: Tree) -> bool:
    """Say whether NULL for every answer can raise no error that the statement itself would not raise.

    Within the user's transaction an error would undo what was written before.
    """
    answers = AnswerFlow(query)
    turning = any(turns(found) for found in walk(query))
    return (
        not turning
        and not answers.decide_rows
        and all(answers.is_passed_on(site) for site in calls(query))
    )


def turns(found: Found) -> bool:
    """Say whether fewer rows inside may be more rows outside."""
    node = found.node
    return (
        node.get("class") == "SUBQUERY"
        or (node["type"] == "SET_OPERATION_NODE" and node["setop_type"] != "UNION")
        or (node["type"] == "JOIN" and node["join_type"] != "INNER")
    )
