"""Plan a query: each change is a function from tree to tree that preserves the query's meaning.

A tree comes from DuckDB's parser (``syntax``). A function does not change nodes that it does not support.
"""

from __future__ import annotations

import copy
from contextlib import contextmanager
from typing import TYPE_CHECKING

from aiquery.engines.duckdb.planning.aggregates import aggregate_modifiers
from aiquery.engines.duckdb.planning.barriers import call_after_joins
from aiquery.engines.duckdb.planning.conditions import (
    ai_conditions_last,
    skip_decided_calls,
)
from aiquery.engines.duckdb.planning.constant_calls import (
    constant_calls_where_they_are_reached,
    evaluate_constant_calls_later,
)
from aiquery.engines.duckdb.planning.distinct_on import distinct_on_before_calls
from aiquery.engines.duckdb.planning.first_values import first_before_call
from aiquery.engines.duckdb.planning.inlining import inline_definitions
from aiquery.engines.duckdb.planning.pull_up import ask_after_joins
from aiquery.engines.duckdb.planning.subqueries import (
    constant_in_as_exists,
    read_matching_rows,
)
from aiquery.engines.duckdb.planning.try_calls import try_as_error_message
from aiquery.engines.duckdb.planning.where_aliases import (
    has_where_aliases,
    replace_where_aliases,
)
from aiquery.engines.duckdb.syntax import (
    Tree,
    canonical,
    find_calls,
    has_subquery,
    nodes,
    print_expression,
    walk_own,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aiquery.engines.duckdb.catalog import Catalog

_CHANGES: tuple[Callable[[Tree], Tree], ...] = (
    aggregate_modifiers,
    try_as_error_message,
    ask_after_joins,
    constant_in_as_exists,
    read_matching_rows,
    ai_conditions_last,
    skip_decided_calls,
    first_before_call,
    distinct_on_before_calls,
    constant_calls_where_they_are_reached,
)


def plan_query(query: Tree, *, is_executed_later: bool = False) -> Tree:
    """Return the query to run: the same rows, names and types, with the fewest calls.

    is_executed_later  it is prepared: DuckDB must evaluate no call when it binds the statement
    """
    made = copy.deepcopy(query)
    with _names_preserved(made):
        for change in _CHANGES:
            made = change(made)
        if is_executed_later:
            evaluate_constant_calls_later(made)
    return made


def with_definitions(query: Tree, text: str, catalog: Catalog) -> Tree:
    """Return a query without the views and macros that call AI functions, which ``text`` may name (``inlining``)."""
    definitions = catalog.definitions
    if not definitions.are_read_by(text):
        return query
    definitions.load()
    return inline_definitions(query, definitions)


def with_where_aliases(query: Tree, catalog: Catalog) -> Tree:
    """Return a query whose conditions name no column of its own result that has calls (``where_aliases``)."""
    if not has_where_aliases(query) or catalog.hides_calls(query):
        return query
    return replace_where_aliases(query, catalog.columns)


def with_barriers(query: Tree, catalog: Catalog) -> Tree:
    """Return a planned query whose calls are made after everything that is cheap (``barriers``)."""
    made = copy.deepcopy(query)
    with _names_preserved(made):
        call_after_joins(made, catalog)
    return made


@contextmanager
def _names_preserved(query: Tree) -> Iterator[None]:
    """Give columns without an alias whose expression changes in the block the name that they had.

    A column with a subquery always gets it: the subquery may change later.
    """
    items = [item for select in _selects(query) for item in select["select_list"]]
    unnamed = [
        (item, copy.deepcopy(item))
        for item in items
        if item["alias"] == "" and _may_change(item) and not _is_star(item)
    ]
    yield
    for item, before in unnamed:
        is_changed = has_subquery(item) or canonical(item) != canonical(before)
        if item["alias"] == "" and is_changed:
            item["alias"] = print_expression(before)


def _may_change(item: Tree) -> bool:
    return bool(find_calls(item)) or has_subquery(item)


def _is_star(item: Tree) -> bool:
    """Return True if a column stands for several."""
    return any(found.node["type"] == "STAR" for found in walk_own(item))


def _selects(query: Tree) -> list[Tree]:
    return [node for node in nodes(query) if node["type"] == "SELECT_NODE"]
