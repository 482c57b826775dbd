"""Barriers: calls are made after everything that is cheap, for the rows that are left.

DuckDB moves a condition below the joins of a query, below its subqueries (IN, EXISTS), and into the queries that it
reads; it does so with volatile functions too. A call would then be made for every row of a table. Nothing moves a
condition that depends on the result of a subquery with IN, so a call becomes
``CASE WHEN 1 IN (SELECT 1) THEN call END``. DuckDB plans a hash join with one row: 10 ms for a million rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiquery.engines.duckdb.planning.conditions import condition_parts, only_if
from aiquery.engines.duckdb.syntax import (
    QUERIES,
    VOLATILE,
    NodePath,
    Tree,
    arguments,
    canonical,
    constant,
    find_all_ctes,
    find_calls,
    find_joins,
    has_subquery,
    is_grouped,
    may_be_correlated,
    nodes,
    own_calls,
    read_tables,
    replace_node,
    set_variant,
    walk,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiquery.engines.duckdb.catalog import Catalog

_CLAUSES = ("where_clause", "having", "qualify")
_NO_VOLATILE_CALL = frozenset({"OPERATOR_TRY", "LAMBDA"})


def call_after_joins(query: Tree, catalog: Catalog) -> None:
    """Put a barrier below the calls of each query node that reads more than one stored table."""
    ctes = find_all_ctes(query)
    defined = {name for name, _ in ctes}
    asking = {name for name, cte in ctes if find_calls(cte["query_node"])}
    for found in list(walk(query)):
        if found.node["type"] == "SELECT_NODE" and not found.node.get("sample"):
            is_stored = _reads_one_table(found.node, defined, catalog)
            _add_barriers(found, asking, one_table=is_stored)


def _add_barriers(select: NodePath, asking: set[str], *, one_table: bool) -> None:
    """Add the barriers of one query node; ``asking`` are the CTEs with calls."""
    node = select.node
    if one_table and not may_be_correlated(select) and not node["group_expressions"]:
        return
    conditions = list(_condition_parts(node))
    # DuckDB sees only without barriers that a condition is never true, and filters the rows of inner calls first.
    if not _is_never_true(conditions) and not _reads_answers(node, asking):
        grouped = [
            canonical(call.node) for call in find_calls(node["group_expressions"])
        ]
        for part in conditions:
            _call_late(part, grouped, makes_volatile=not _is_compared(select))
    if _is_filtered_from_outside(select):
        for item in node["select_list"]:
            if item["type"] != "STAR":
                _call_late(item, [])


def _call_late(
    expression: Tree, grouped: list[Tree], *, makes_volatile: bool = True
) -> None:
    """Put a barrier around an expression with calls, and make them volatile: DuckDB then evaluates none as a constant.

    A call that is also a key of GROUP BY stays the same expression as the key.
    """
    calls = [call for call in own_calls(expression) if not is_constant(call.node)]
    if not calls:
        return
    for call in calls:
        if (
            makes_volatile
            and not is_guarded(call)
            and canonical(call.node) not in grouped
        ):
            set_variant(call.node, VOLATILE)
    replace_node(expression, only_if(constant("1 IN (SELECT 1)"), expression))


def _condition_parts(select: Tree) -> Iterator[Tree]:
    """Yield the parts that a query node combines with AND in WHERE, HAVING and QUALIFY, and in ON of inner joins."""
    clauses = [select[clause] for clause in _CLAUSES if select[clause]]
    clauses += [
        join["condition"]
        for join in find_joins(select["from_table"])
        if join["join_type"] == "INNER" and join["condition"]
    ]
    for clause in clauses:
        yield from condition_parts(clause)


def _is_never_true(parts: list[Tree]) -> bool:
    """Return True if a value must be equal to a constant, and also to another one or different from it."""
    known: dict[str, str] = {}
    compared = [
        (part["type"], str(canonical(part["left"])), str(canonical(part["right"])))
        for part in parts
        if part.get("class") == "COMPARISON" and part["right"]["class"] == "CONSTANT"
    ]
    for kind, left, right in compared:
        if kind == "COMPARE_EQUAL" and known.setdefault(left, right) != right:
            return True
    return any(
        kind == "COMPARE_NOTEQUAL" and known.get(left) == right
        for kind, left, right in compared
    )


def _reads_one_table(select: Tree, defined: set[str], catalog: Catalog) -> bool:
    """Return True if a query node reads one table, no view, and has no subquery in its conditions."""
    source = select["from_table"]
    clauses = [select[clause] or {} for clause in _CLAUSES]
    if source["type"] != "BASE_TABLE" or has_subquery(clauses):
        return False
    name = source["table_name"].lower()
    return name not in defined and not catalog.is_view(name)


def _reads_answers(select: Tree, asking: set[str]) -> bool:
    """Return True if a query node reads an inner query, or a CTE, with calls."""
    source = select["from_table"]
    has_inner = len(find_calls(source)) > len(own_calls(source))
    return has_inner or bool(read_tables(source) & asking)


def _is_compared(select: NodePath) -> bool:
    """Return True for a part of the subquery of IN, ANY or ALL.

    With a volatile function in it, DuckDB 2.0 gives NULL for rows whose subquery has none, if it is correlated.
    """
    return any(
        node.get("class") == "SUBQUERY" and node["subquery_type"] == "ANY"
        for node in select.within
    )


def _is_filtered_from_outside(select: NodePath) -> bool:
    """Return True if a condition of an outer query may move to the columns of this one.

    None moves into a recursion, from which DuckDB leaves out the columns that nothing reads.
    """
    node = select.node
    if select.within and select.within[-1]["type"] == "RECURSIVE_CTE_NODE":
        return False
    inner = any(one["type"] in QUERIES for one in select.within)
    return inner and not is_grouped(node) and not node["modifiers"]


def is_constant(call: Tree) -> bool:
    """Return True if a call reads nothing of a row."""
    kinds = {"COLUMN_REF", "VALUE_PARAMETER", "STAR", "SUBQUERY", "LAMBDA"}
    return not any(
        node["type"] in kinds
        for argument in arguments(call)
        for node in nodes(argument)
    )


def is_guarded(call: NodePath) -> bool:
    """Return True if DuckDB allows no volatile call here."""
    return any(
        node["type"] in _NO_VOLATILE_CALL or node.get("class") == "WINDOW"
        for node in call.within
    )
