"""What EXPLAIN says about the calls of a statement: which are asked, in which order, after what, and in which waves."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from aiquery.engines.duckdb.condition_order import SAMPLE, find_several_conditions
from aiquery.engines.duckdb.planning import with_barriers
from aiquery.engines.duckdb.planning.conditions import split_condition
from aiquery.engines.duckdb.planning.groups import find_groups
from aiquery.engines.duckdb.planning.limits import find_limits
from aiquery.engines.duckdb.syntax import (
    Tree,
    canonical,
    find_calls,
    nodes,
    own_calls,
    print_expression,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiquery.engines.duckdb.catalog import Catalog

MAX_TEXT = 120
"""Characters of an expression that are shown."""


def describe_plan(query: Tree, catalog: Catalog) -> str:
    """Return a line for each fact about the calls of a planned query."""
    return "\n".join(
        [
            *_describe_calls(query),
            *_describe_barriers(query, catalog),
            *_describe_waves(query),
        ]
    )


def _describe_calls(query: Tree) -> Iterator[str]:
    for select in nodes(query):
        if select["type"] != "SELECT_NODE":
            continue
        _, asking = split_condition(select["where_clause"])
        for number, condition in enumerate(asking, 1):
            yield f"condition {number}: {_print(condition)}"
        for item in select["select_list"]:
            if own_calls(item):
                yield f"column: {_print(item)}"
    for path in find_several_conditions(query):
        _, asking = split_condition(path.node["where_clause"])
        yield (
            f"order of {len(asking)} conditions: as written for the first {SAMPLE} rows, then by tokens per row that "
            "does not pass"
        )


def _describe_barriers(query: Tree, catalog: Catalog) -> Iterator[str]:
    for select in nodes(query):
        if select["type"] != "SELECT_NODE" or not find_calls(select):
            continue
        barred = with_barriers(copy.deepcopy(select), catalog)
        if canonical(barred["where_clause"]) != canonical(select["where_clause"]):
            yield f"barrier: asked after the joins, subqueries and cheap conditions of FROM {_print_source(select)}"


def _print_source(select: Tree) -> str:
    names = [
        str(node["alias"] or node.get("table_name") or "a subquery")
        for node in nodes(select["from_table"])
        if "class" not in node
        and node["type"] in {"BASE_TABLE", "SUBQUERY", "TABLE_FUNCTION"}
    ]
    return ", ".join(names)


def _describe_waves(query: Tree) -> Iterator[str]:
    for limit in find_limits(query):
        yield f"waves: until {limit.rows:,} {'row' if limit.rows == 1 else 'rows'}"
    for group in find_groups(query):
        keys = ", ".join(_print(key) for key in group.keys)
        yield f"waves: until one row passes for each {keys}"


def _print(expression: Tree) -> str:
    text = print_expression({**expression, "alias": ""})
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…"
