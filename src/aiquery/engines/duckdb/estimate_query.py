"""The query that an estimate runs: the statement's own with every answer NULL, which never counts too much."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING

from aiquery import registry
from aiquery.engines.duckdb.answer_flow import AnswerFlow
from aiquery.engines.duckdb.planning import with_barriers
from aiquery.engines.duckdb.planning.candidates import Source
from aiquery.engines.duckdb.planning.groups import GroupSource, find_groups
from aiquery.engines.duckdb.planning.limits import find_limits, without_limit
from aiquery.engines.duckdb.prefetch_query import (
    depends_on_own_rows,
    drop_dependent_calls,
    has_set_operation,
    make_prefetch_query,
    may_invert_rows,
)
from aiquery.engines.duckdb.syntax import (
    UNASKED,
    NotPrintable,
    Tree,
    constant,
    find_calls,
    function_name,
    mentions_ai,
    nodes,
    print_query,
    replace_node,
    walk,
)
from aiquery.engines.duckdb.waves import may_have_waves
from aiquery.functions.signature import is_aggregate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiquery.engines.duckdb.catalog import Catalog
    from aiquery.engines.duckdb.statements import ParsedStatement

_CONDITIONS = {
    "SELECT_NODE": ("where_clause", "having", "qualify"),
    "JOIN": ("condition",),
}


def make_estimate_query(
    parsed: ParsedStatement, catalog: Catalog
) -> tuple[str | None, bool]:
    """Return the query whose calls are counted, and True if that counts every call.

    Where an answer decides about further requests, the query lets no row pass such a condition and drops calls that
    an answer guards: it counts too few requests rather than too many. None if even that is not possible.
    """
    query = parsed.query
    parts = parsed.parts
    if query is None or parts is None:
        is_asking = mentions_ai(parsed.sql) or catalog.definitions.are_read_by(
            parsed.sql
        )
        return None, not is_asking
    if parts.is_empty:
        return None, True
    if not parts.can_prefetch or catalog.hides_calls(query):
        return None, False
    made = make_prefetch_query(query)
    try:
        if made is None:
            return _lower_bound_sql(query, catalog), False
        sql = print_query(with_barriers(made, catalog))
        return sql, _counts_every_call(query, made)
    except NotPrintable:
        return None, False


def split_by_waves(
    parsed: ParsedStatement, catalog: Catalog
) -> tuple[ParsedStatement, ParsedStatement | None]:
    """Return a statement that asks the least its waves can ask, and one that asks all; None if it has no waves.

    The least is as many candidates as rows are wanted, and one of each group: it is enough if each of them passes.
    """
    query = parsed.query
    if query is None or not may_have_waves(query, catalog):
        return parsed, None
    most = copy.deepcopy(query)
    for limit in find_limits(most):
        replace_node(limit.path.node, without_limit(limit.path.node))
    least = copy.deepcopy(query)
    for limit in find_limits(least):
        for node in limit.sources:
            Source.of(node, limit.orders).restrict(limit.rows)
        replace_node(limit.path.node, without_limit(limit.path.node))
    for group in find_groups(least):
        GroupSource.of(group).restrict([(1, None)])
    return replace(parsed, query=least), replace(parsed, query=most)


def _counts_every_call(query: Tree, made: Tree) -> bool:
    has_dropped = any(
        call.node["function_name"].endswith(UNASKED) for call in find_calls(made)
    )
    return not has_dropped and not any(
        _may_ask_again(call.node) for call in find_calls(query)
    )


def _may_ask_again(call: Tree) -> bool:
    """Return True if a call may have further rounds: an aggregate over much text."""
    return is_aggregate(registry.functions()[function_name(call)])


def _lower_bound_sql(query: Tree, catalog: Catalog) -> str | None:
    query = copy.deepcopy(query)
    if depends_on_own_rows(query):
        return None
    flow = AnswerFlow(query)
    deciding = [
        (node, name) for node, name in _conditions(query) if flow.uses(node[name])
    ]
    if flow.decides_rows:
        may_count_too_much = any(may_invert_rows(path) for path in walk(query))
        if flow.has_limit or may_count_too_much:
            return None
    if flow.has_limit and has_set_operation(query):
        return None
    drop_dependent_calls(query, flow)
    for node, name in deciding:
        node[name] = _make_false(node[name])
    return print_query(with_barriers(query, catalog))


def _conditions(query: Tree) -> Iterator[tuple[Tree, str]]:
    """Yield the conditions of a query: a node and the name of its part."""
    for node in nodes(query):
        for name in _CONDITIONS.get(node["type"], ()):
            if node.get(name):
                yield node, name


def _make_false(condition: Tree) -> Tree:
    """Return a condition that evaluates this one and is false; DuckDB cannot prove that it is."""
    false = constant("(CASE WHEN 1 THEN random() ELSE random() END) < 0")
    false["left"]["case_checks"][0]["when_expr"] = condition
    return false
