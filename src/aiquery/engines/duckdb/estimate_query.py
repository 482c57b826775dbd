"""The query that an estimate runs: the statement's own, in which every answer is NULL, never one that asks for more."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from aiquery import registry
from aiquery.engines.duckdb.answer_flow import AnswerFlow
from aiquery.engines.duckdb.prefetch_query import (
    collected,
    goes_its_own_way,
    has_set_operation,
    leave_out_dependent,
    turns,
)
from aiquery.engines.duckdb.syntax import (
    UNASKED,
    NotPrintable,
    Tree,
    calls,
    constant,
    function_of,
    mentions_ai,
    nodes,
    print_query,
    walk,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiquery.engines.duckdb.statements import Rewritten


def counting_sql(rewritten: Rewritten) -> tuple[str | None, bool]:
    """Return the query whose calls are counted, and whether that counts every call.

    Where an answer decides what else is asked, the query lets no row past such a condition and leaves out calls that an
    answer guards, so that it counts too few rather than too many; None where even that cannot be said.
    """
    query, parts = rewritten.query, rewritten.parts
    if query is None or parts is None:
        return None, not mentions_ai(rewritten.sql)
    if parts.empty:
        return None, True
    made = collected(query) if parts.collects else None
    exact = made is not None and not any(
        call.node["function_name"].endswith(UNASKED) for call in calls(made)
    )
    try:
        if made is not None:
            return print_query(made), exact and not any(
                _goes_on(call.node) for call in calls(query)
            )
        return _least_sql(query) if parts.collects else None, False
    except NotPrintable:
        return None, False


def _goes_on(call: Tree) -> bool:
    """Say whether a call may ask again about what was answered: an aggregate over much text."""
    return any(
        parameter.kind == "group"
        for parameter in registry.functions()[function_of(call)].parameters
    )


def _least_sql(query: Tree) -> str | None:
    query = copy.deepcopy(query)
    if goes_its_own_way(query):
        return None
    answers = AnswerFlow(query)
    deciding = [
        clause for clause in _clauses(query) if answers.uses(clause[0][clause[1]])
    ]
    limited = answers.limited
    if answers.decide_rows and (limited or any(turns(found) for found in walk(query))):
        return None
    if limited and has_set_operation(query):
        return None
    leave_out_dependent(query, answers)
    for node, name in deciding:
        node[name] = _never(node[name])
    return print_query(query)


def _clauses(query: Tree) -> Iterator[tuple[Tree, str]]:
    """Yield where the conditions of a query stand: a node, and its part."""
    places: dict[str, list[str]] = {
        "SELECT_NODE": ["where_clause", "having", "qualify"],
        "JOIN": ["condition"],
    }
    for node in nodes(query):
        yield from (
            (node, name) for name in places.get(node["type"], ()) if node.get(name)
        )


def _never(condition: Tree) -> Tree:
    """Return a condition that evaluates this one and is false; DuckDB cannot see that it is."""
    never = constant("(CASE WHEN 1 THEN random() ELSE random() END) < 0")
    never["left"]["case_checks"][0]["when_expr"] = condition
    return never
