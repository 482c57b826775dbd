"""Calls of inner queries move up: ``FROM (SELECT .. WHERE ai(..)) AS q JOIN u`` joins first, and asks then.

A condition moves through inner joins, and through the side of an outer, semi or anti join whose rows the join keeps.
What a call reads and the inner query does not select becomes one more column of it, which the outer query leaves out.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from aiquery.engines.duckdb.planning.conditions import join_all, split_condition
from aiquery.engines.duckdb.planning.pull_up_columns import (
    columns_to_move,
    move_columns_up,
)
from aiquery.engines.duckdb.planning.pulled_tables import (
    HIDDEN,
    can_move,
    hide_columns,
    passing_tables,
)
from aiquery.engines.duckdb.syntax import (
    Tree,
    constant,
    find_all_ctes,
    find_ctes,
    find_joins,
    nodes,
    only_filters,
    parse_query,
    read_tables,
    reads_name,
    replace_node,
    selected_names,
    walk,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


def ask_after_joins(query: Tree) -> Tree:
    """Move the conditions and columns with calls of inner queries to the outermost query that may evaluate them."""
    numbers = itertools.count(1)
    while _inline_ctes(query) + _move_up(query, numbers):
        pass  # a condition that moved may move on
    return query


def _move_up(query: Tree, numbers: Iterator[int]) -> int:
    """Move conditions and columns from inner queries to the next outer ones; return how many moved."""
    moved = 0
    for select in reversed(list(nodes(query))):
        if select["type"] != "SELECT_NODE":
            continue
        is_joined = select["from_table"]["type"] == "JOIN"
        is_useful = is_joined or select["where_clause"] or select["modifiers"]
        if not is_useful and select is query:
            continue
        moved += move_columns_up(select, numbers)
        if _may_evaluate_first(select):
            for table in list(passing_tables(select["from_table"])):
                moved += _pull_up(select, table, numbers)
    return moved


def _inline_ctes(query: Tree) -> int:
    """Put CTEs with a call to move in the place of their names, if one query reads them; return how many."""
    inlined = 0
    for owner in list(nodes(query)):
        for name, cte in find_ctes(owner):
            reader = _only_reader(name, owner, query)
            body = cte["query_node"]
            calls = _conditions_to_move(body) or columns_to_move(body)
            if reader is None or not calls:
                continue
            is_own = any(one is reader for one in nodes(body))
            if is_own or _is_hidden(body, owner, query):
                continue
            replace_node(reader, _derived_table(reader, cte))
            entries = owner["cte_map"]["map"]
            entries[:] = [entry for entry in entries if entry["value"] is not cte]
            inlined += 1
    return inlined


def _is_hidden(body: Tree, owner: Tree, query: Tree) -> bool:
    """Return True if a CTE elsewhere has the name of a table that the body of this one reads."""
    elsewhere = {
        name
        for node in nodes(query)
        if node is not owner
        for name, _ in find_ctes(node)
    }
    return bool(read_tables(body) & elsewhere)


def _only_reader(name: str, owner: Tree, query: Tree) -> Tree | None:
    """Return the only place where a query reads a CTE; None if there are several, or others that may mean it.

    A CTE is read inside of the query that defines it, by the CTEs behind it, and not where another one has its name.
    """
    definitions = [one for one, _ in find_all_ctes(query)]
    readers = [
        path
        for path in walk(query)
        if path.node["type"] == "BASE_TABLE" and path.node["table_name"].lower() == name
    ]
    if len(readers) != 1 or definitions.count(name) != 1:
        return None
    (reader,) = readers
    table = reader.node
    is_plain = not (
        table.get("sample") or table.get("schema_name") or table.get("catalog_name")
    )
    is_inside = any(node is owner for node in reader.within)
    names = [one for one, _ in find_ctes(owner)]
    before = [cte["query_node"] for _, cte in find_ctes(owner)[: names.index(name) + 1]]
    is_earlier = any(node is body for node in reader.within for body in before)
    return table if is_plain and is_inside and not is_earlier else None


def _derived_table(reader: Tree, cte: Tree) -> Tree:
    query = parse_query("SELECT * FROM (SELECT 1) AS q")
    made: Tree = query["from_table"]
    made["subquery"]["node"] = cte["query_node"]
    made["alias"] = reader["alias"] or reader["table_name"]
    given = reader["column_name_alias"]
    made["column_name_alias"] = [*given, *cte["aliases"][len(given) :]]
    return made


def _may_evaluate_first(select: Tree) -> bool:
    """Return True if the joins and conditions of a query node may be evaluated for more rows: none of them can fail."""
    if select.get("sample"):
        return False
    joined = [join["condition"] or {} for join in find_joins(select["from_table"])]
    return not any(
        node["type"] in {"OPERATOR_CAST", "OPERATOR_TRY"}
        for node in nodes([select["where_clause"] or {}, *joined])
    )


def _conditions_to_move(query: Tree) -> list[Tree]:
    """Return the conditions with calls of an inner query that does nothing else that depends on its rows."""
    if not only_filters(query) or not all(map(_is_plain, query["select_list"])):
        return []
    _, asking = split_condition(query["where_clause"])
    return [part for part in asking if can_move(part)]


def _is_plain(item: Tree) -> bool:
    """Return True if a column is selected as it is: it can be computed for rows that the condition would remove."""
    return item["class"] in {"COLUMN_REF", "CONSTANT", "STAR"}


def _pull_up(select: Tree, table: Tree, numbers: Iterator[int]) -> bool:
    inner = table["subquery"]["node"]
    moved = _conditions_to_move(inner)
    if moved:
        names = selected_names(inner)
        moved = [part for part in moved if not reads_name(part, names)]
    if not moved or _reads_whole_rows(select, table):
        return False
    if not table["alias"]:
        table["alias"] = f"{HIDDEN}{next(numbers)}"
    cheap, asking = split_condition(inner["where_clause"])
    stay = [part for part in asking if not any(part is one for one in moved)]
    inner["where_clause"] = join_all([*cheap, *stay])
    hidden = hide_columns(moved, table, numbers)
    inner["select_list"] += hidden
    _leave_out(select, [item["alias"] for item in hidden])
    here, asked_here = split_condition(select["where_clause"])
    select["where_clause"] = join_all([*here, *moved, *asked_here])
    return True


def _reads_whole_rows(select: Tree, table: Tree) -> bool:
    """Return True if a further column of an inner query could be seen: in a row as a value, or by a pattern."""
    alias = table["alias"].lower()
    for item in select["select_list"]:
        stars = [node for node in nodes(item) if node["type"] == "STAR"]
        if any(star is not item or star.get("columns") for star in stars):
            return True
    return any(
        node["type"] == "COLUMN_REF" and [name.lower() for name in node["column_names"]] == [alias]
        for node in nodes(select)
    )  # fmt: skip


def _leave_out(select: Tree, names: list[str]) -> None:
    if not names:
        return
    for item in select["select_list"]:
        if item["type"] == "STAR":
            text = ", ".join(names)
            star = constant(f"* EXCLUDE ({text})")
            item["exclude_list"] = [*item["exclude_list"], *star["exclude_list"]]
