"""Ask about one row of each group where an aggregate takes the first answer that is not NULL, if that is enough."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import duckdb

from aiquery.engines.duckdb.binding import Mode
from aiquery.engines.duckdb.planning.first_values import (
    choose_rows_first,
    find_skipping_nulls,
)
from aiquery.engines.duckdb.syntax import (
    NodePath,
    Tree,
    replace_node,
)
from aiquery.engines.duckdb.wave_queries import count_query

if TYPE_CHECKING:
    from aiquery.engines.duckdb.wave_queries import WaveQueries
    from aiquery.errors import AIQueryError


def ask_first_values(query: Tree, queries: WaveQueries) -> bool:
    """Choose the rows of ``any_value``, ``arg_min`` .. before the calls, where no chosen row has a NULL answer."""
    changed = False
    for path in find_skipping_nulls(query):
        if not queries.may_fail_to_bind(path):
            changed |= _ask(path, queries, query)
    return changed


def _ask(path: NodePath, queries: WaveQueries, query: Tree) -> bool:
    written = copy.deepcopy(path.node)
    doubtful = count_query(path, choose_rows_first(path.node))
    try:
        is_enough = (
            queries.can_repeat_calls(doubtful)
            and queries.is_reached(path, query)
            and _is_enough(doubtful, queries)
        )
    except duckdb.Error as error:
        queries.recover(error)
        is_enough = False
    if not is_enough:
        replace_node(path.node, written)
    return is_enough


def _is_enough(doubtful: Tree, queries: WaveQueries) -> bool:
    """Return True if no group could have another value: a chosen row that failed fails the statement itself."""
    queries.prefetch(doubtful)
    failed: list[AIQueryError] = []
    with queries.mode(Mode.WAVE, failed):
        return not queries.count(doubtful) or bool(failed)
