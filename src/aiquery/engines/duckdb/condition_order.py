"""The order of several conditions with calls in one WHERE: by what they cost and how many rows they pass.

A sample of the candidates is asked in the written order. Then the conditions are ordered by their tokens divided by the
share of rows that they do not pass, as for expensive predicates in general (Hellerstein and Stonebraker, "Predicate
migration", 1993).
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import duckdb

from aiquery.engines.duckdb.binding import Mode
from aiquery.engines.duckdb.planning.barriers import is_constant
from aiquery.engines.duckdb.planning.candidates import Source
from aiquery.engines.duckdb.planning.conditions import join_all, split_condition
from aiquery.engines.duckdb.syntax import (
    NodePath,
    Tree,
    constant,
    find_all_ctes,
    find_calls,
    own_calls,
    read_tables,
    reads_name,
    selected_names,
    walk,
)
from aiquery.engines.duckdb.wave_queries import count_query

if TYPE_CHECKING:
    from aiquery.engines.duckdb.wave_queries import WaveQueries
    from aiquery.errors import AIQueryError

SAMPLE = 32
"""Candidates that are asked in the written order before the order is chosen."""

UNKNOWN_SHARE = 0.5
"""The assumed share of rows that a condition does not pass, if no row of the sample reached it."""


def find_several_conditions(query: Tree) -> list[NodePath]:
    """Return the query nodes with several conditions whose calls read the row, inner ones first."""
    return [
        path
        for path in reversed(list(walk(query)))
        if path.node["type"] == "SELECT_NODE"
        and len(_asking(path.node)) > 1
        and _is_alone(path.node, query)
    ]


def _asking(select: Tree) -> list[Tree]:
    _, asking = split_condition(select["where_clause"])
    return asking


def _is_alone(select: Tree, query: Tree) -> bool:
    """Return True if every condition has calls that read the row, and WHERE stands without the other clauses."""
    calls = [own_calls(part) for part in _asking(select)]
    if not all(calls) or any(is_constant(call.node) for part in calls for call in part):
        return False
    if select.get("sample") or select["from_table"]["type"] == "EMPTY":
        return False
    source = select["from_table"]
    read = read_tables(source)
    reads_answers = find_calls(source) or any(
        name in read and find_calls(cte["query_node"])
        for name, cte in find_all_ctes(query)
    )
    names_columns = reads_name(select["where_clause"], selected_names(select))
    return not (reads_answers or names_columns)


def order_conditions(query: Tree, queries: WaveQueries) -> bool:
    """Order the conditions of each query node that has several; return True if an order changed."""
    changed = False
    for path in find_several_conditions(query):
        if not queries.may_fail_to_bind(path) and queries.is_safe(
            path, [path.node], query
        ):
            changed |= _ConditionOrder(path, queries, query).choose()
    return changed


@dataclass
class _ConditionOrder:
    """Finds the order of the conditions of one query node."""

    path: NodePath
    queries: WaveQueries
    query: Tree

    def choose(self) -> bool:
        """Order the conditions; return True if their order changed."""
        node = self.path.node
        cheap, asking = split_condition(node["where_clause"])
        try:
            weights = self._weigh(cheap, asking)
        except duckdb.Error as error:
            self.queries.recover(error)
            return False
        order = sorted(range(len(weights)), key=weights.__getitem__)
        if order == sorted(order):
            return False
        node["where_clause"] = join_all([*cheap, *(asking[i] for i in order)])
        return True

    def _weigh(self, cheap: list[Tree], asking: list[Tree]) -> list[float]:
        """Return the weight of each condition; none if there are few candidates, or a row of the sample failed."""
        if not self.queries.can_repeat_calls(self._sample([*cheap, *asking])):
            return []
        rows = self._count([*cheap], [])
        if rows < SAMPLE or not self._is_reached():
            return []
        weights = []
        for number, condition in enumerate(asking, 1):
            failed: list[AIQueryError] = []
            passed = self._count([*cheap, *asking[:number]], failed)
            if failed:
                return []
            not_passed = (rows - passed) / rows if rows else UNKNOWN_SHARE
            size = self._mean_size([*cheap, condition])
            weights.append(size / not_passed if not_passed else math.inf)
            rows = passed
        return weights

    def _is_reached(self) -> bool:
        source = Source.of(self.path.node, [])
        source.restrict(SAMPLE)
        try:
            return self.queries.is_reached(self.path, self.query)
        finally:
            source.restore()

    def _count(self, parts: list[Tree], failed: list[AIQueryError]) -> int:
        with self.queries.mode(Mode.WAVE, failed):
            return self.queries.count(self._sample(parts))

    def _mean_size(self, parts: list[Tree]) -> float:
        """Return the mean number of characters of the requests of one condition. Sends nothing."""
        return self.queries.count_requests(self._sample(parts)).mean_characters()

    def _sample(self, parts: list[Tree]) -> Tree:
        """Return a query that counts the rows of the sample which some conditions pass."""
        made: Tree = {}
        conditions = join_all(copy.deepcopy(parts))
        sample = {
            **copy.deepcopy(self.path.node),
            "where_clause": conditions,
            "select_list": [constant("1")],
            "modifiers": [],
            "group_expressions": [],
            "group_sets": [],
            "having": None,
            "qualify": None,
            "aggregate_handling": "STANDARD_HANDLING",
        }
        Source(made, sample, []).restrict(SAMPLE)
        return count_query(self.path, made)
