"""Subqueries of conditions with calls: they are asked only about rows that the query around them can match.

``x IN (SELECT y FROM t WHERE ai(..))`` reads only the rows of ``t`` whose ``y`` is an ``x``.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from aiquery.engines.duckdb.planning.conditions import (
    condition_parts,
    join_all,
    split_condition,
)
from aiquery.engines.duckdb.syntax import (
    Tree,
    built_in_functions,
    constant,
    find_calls,
    find_ctes,
    may_be_correlated,
    nodes,
    only_filters,
    own_calls,
    pack,
    parse_query,
    replace_node,
    walk,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


def constant_in_as_exists(query: Tree) -> Tree:
    """``3 IN (SELECT y FROM t WHERE ai(..))`` -> is there a row with ``y = 3``, or else one with NULL."""
    for node in list(nodes(query)):
        if node.get("class") != "SUBQUERY" or node["subquery_type"] != "ANY":
            continue
        inner = node["subquery"]["node"]
        given = node["child"]
        is_compared = node["comparison_type"] == "COMPARE_EQUAL" and _is_known(given)
        if is_compared and _is_plain(inner) and len(inner["select_list"]) == 1:
            value = inner["select_list"][0]
            if own_calls(inner["where_clause"]) and _is_cheap(value):
                _test(node, inner, value, given)
    return query


def _is_known(value: Tree) -> bool:
    """Return True for a number or a text as it is written in the query, which is not NULL."""
    literal = value.get("literal") or {}
    return value["class"] == "CONSTANT" and literal.get("kind") in {"INTEGER", "STRING"}


def _test(node: Tree, inner: Tree, value: Tree, given: Tree) -> None:
    made = constant(
        "CASE WHEN EXISTS (SELECT 1) THEN true WHEN EXISTS (SELECT 1) THEN NULL::BOOLEAN ELSE false END"
    )
    equal = constant("1 = 2")
    equal["left"] = {**value, "alias": ""}
    equal["right"] = given
    missing = constant("1 IS NULL")
    missing["children"] = [{**value, "alias": ""}]
    for check, condition in zip(made["case_checks"], (equal, missing), strict=True):
        tested = copy.deepcopy(inner)
        parts = condition_parts(tested["where_clause"])
        tested["where_clause"] = join_all([copy.deepcopy(condition), *parts])
        tested["select_list"] = [constant("1")]
        check["when_expr"]["subquery"]["node"] = tested
    replace_node(node, {**made, "alias": node["alias"]})


def read_matching_rows(query: Tree) -> Tree:
    """Reduce the subqueries of conditions that a query node combines with AND to the rows that can match."""
    for found in list(walk(query)):
        if found.node["type"] == "SELECT_NODE" and found.node["where_clause"]:
            _exists_as_in(found.node)
            if not may_be_correlated(found):
                _reduce(found.node)
    return query


def _exists_as_in(select: Tree) -> None:
    """``EXISTS (SELECT 1 FROM t WHERE t.y = u.x AND ai(..))`` -> ``u.x IN (SELECT t.y FROM t WHERE ai(..))``."""
    _, asking = split_condition(select["where_clause"])
    for part in asking:
        if part.get("class") != "SUBQUERY" or part["subquery_type"] != "EXISTS":
            continue
        inner = part["subquery"]["node"]
        if not _is_plain(inner) or not own_calls(inner["where_clause"]):
            continue
        names = {
            alias for table in _tables(inner["from_table"]) for alias in _names(table)
        }
        plain, asked = split_condition(inner["where_clause"])
        if any(_reads_outside(one, names) for one in asked):
            continue
        pairs = {id(one): pair for one in plain if (pair := _find_pair(one, names))}
        if pairs:
            rest = [one for one in [*plain, *asked] if id(one) not in pairs]
            _compare(part, list(pairs.values()), rest)


def _reads_outside(condition: Tree, names: set[str]) -> bool:
    """Return True if a condition reads a column that is qualified with another name: of the query around it."""
    return any(
        node["type"] == "COLUMN_REF"
        and len(node["column_names"]) > 1
        and node["column_names"][0].lower() not in names
        for node in nodes(condition)
    )


def _tables(table: Tree | None) -> Iterator[Tree]:
    if table is not None and table["type"] == "JOIN":
        yield from _tables(table["left"])
        yield from _tables(table["right"])
    elif table is not None:
        yield table


def _names(table: Tree) -> set[str]:
    return {str(table["alias"] or table.get("table_name") or "").lower()} - {""}


def _find_pair(condition: Tree, inner: set[str]) -> tuple[Tree, Tree] | None:
    """Return the inner and the outer side of an equality between a subquery and the query around it."""
    if condition["type"] != "COMPARE_EQUAL":
        return None
    sides = [condition["left"], condition["right"]]
    for inside, outside in (sides, sides[::-1]):
        if _is_of(inside, inner, known=True) and _is_of(outside, inner, known=False):
            return inside, outside
    return None


def _is_of(side: Tree, names: set[str], *, known: bool) -> bool:
    """Return True if a side is a column that is qualified with one of the names, or with another name."""
    if side["type"] != "COLUMN_REF" or len(side["column_names"]) != 2:  # noqa: PLR2004  table.column
        return False
    return (side["column_names"][0].lower() in names) is known


def _compare(exists: Tree, pairs: list[tuple[Tree, Tree]], rest: list[Tree]) -> None:
    made = constant("1 IN (SELECT 2)")
    inner = exists["subquery"]["node"]
    inside = [copy.deepcopy(pair[0]) for pair in pairs]
    inner["where_clause"] = join_all([*map(_is_not_null, inside), *rest])
    inner["select_list"] = [_row(inside)]
    made["subquery"]["node"] = inner
    made["child"] = _row([pair[1] for pair in pairs])
    replace_node(exists, {**made, "alias": exists["alias"]})


def _row(values: list[Tree]) -> Tree:
    """Return one value, or several as a struct."""
    return values[0] if len(values) == 1 else pack(values)


def _is_not_null(value: Tree) -> Tree:
    made = constant("1 IS NOT NULL")
    made["children"] = [copy.deepcopy(value)]
    return made


def _reduce(select: Tree) -> None:
    cheap, asking = split_condition(select["where_clause"])
    for part in asking:
        if part.get("class") != "SUBQUERY" or part["subquery_type"] != "ANY":
            continue
        if part["comparison_type"] != "COMPARE_EQUAL" or not _is_cheap(part["child"]):
            continue
        inner = part["subquery"]["node"]
        if not _is_plain(inner) or not own_calls(inner["where_clause"] or {}):
            continue
        if len(inner["select_list"]) == 1 and _is_cheap(inner["select_list"][0]):
            matches = _match(inner["select_list"][0], part["child"], select, cheap)
            if matches is not None:
                parts = condition_parts(inner["where_clause"])
                inner["where_clause"] = join_all([matches, *parts])


def _is_plain(query: Tree) -> bool:
    """Return True if fewer rows of a query's source are only fewer rows of its result, and it has a condition."""
    is_filter = only_filters(query) and query["where_clause"] is not None
    return is_filter and not find_ctes(query)


def _is_cheap(value: Tree) -> bool:
    """Return True if a value may be evaluated for more rows: columns and constants only."""
    return all(
        node.get("class") in {"COLUMN_REF", "CONSTANT", None}
        or node.get("function_name") == "struct_pack"
        for node in nodes(value)
    )


def _match(value: Tree, child: Tree, select: Tree, cheap: list[Tree]) -> Tree | None:
    """Return the condition that a row of a subquery can match the query around it; None if that may change rows."""
    value = {**copy.deepcopy(value), "alias": ""}
    source = select["from_table"]
    if not all(map(_is_repeatable, [source, *cheap])) or source["type"] == "EMPTY":
        return None
    made = constant("1 IN (SELECT 2 FROM t)")
    made["child"] = value
    outer = parse_query("SELECT 1 FROM t")
    outer["select_list"] = [{**copy.deepcopy(child), "alias": ""}]
    outer["from_table"] = copy.deepcopy(source)
    outer["where_clause"] = join_all(copy.deepcopy(cheap))
    made["subquery"]["node"] = outer
    return made


def _is_repeatable(part: Tree) -> bool:
    """Return True if a part of a query can be read twice: stored tables, functions of DuckDB, no call, no sample."""
    if find_calls(part):
        return False
    for node in nodes(part):
        if node.get("sample") or node["type"] == "TABLE_FUNCTION":
            return False
        if node.get("class") == "FUNCTION":
            known = built_in_functions().get(str(node["function_name"]).lower())
            if known is None or known.volatile:
                return False
    return True
