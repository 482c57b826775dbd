"""Ask in waves where a query needs only some of the answers.

The first wave is as large as the result, the next ones follow the share of the rows that passed. A wave runs a part of
the statement's query on a prefix of its candidates and counts the rows of the result. When there are enough, the
statement itself runs on that prefix; its answers are in memory then.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import duckdb

from aiquery.engines.duckdb.binding import Mode
from aiquery.engines.duckdb.condition_order import (
    find_several_conditions,
    order_conditions,
)
from aiquery.engines.duckdb.first_values import ask_first_values
from aiquery.engines.duckdb.group_waves import ask_groups
from aiquery.engines.duckdb.planning import with_barriers
from aiquery.engines.duckdb.planning.candidates import Source
from aiquery.engines.duckdb.planning.first_values import find_skipping_nulls
from aiquery.engines.duckdb.planning.groups import find_groups
from aiquery.engines.duckdb.planning.limits import (
    Limit,
    find_limits,
    without_limit,
)
from aiquery.engines.duckdb.prefetch_query import CHUNK, is_repeatable
from aiquery.engines.duckdb.syntax import Tree, nodes
from aiquery.engines.duckdb.wave_queries import count_query

if TYPE_CHECKING:
    from aiquery.engines.duckdb.catalog import Catalog
    from aiquery.engines.duckdb.statements import ParsedStatement
    from aiquery.engines.duckdb.wave_queries import WaveQueries
    from aiquery.errors import AIQueryError

FIRST_EXTRA = 16
"""Rows that a wave asks beyond what is wanted, so that the last missing row seldom needs a wave of its own."""

MARGIN = 1.2
MAX_GROWTH = 4
"""A prefix grows at most by this factor: a query asks at most so many times what it needs."""


def ask_in_waves(parsed: ParsedStatement, queries: WaveQueries) -> ParsedStatement:
    """Return a statement that reads only the candidates that it needs; its answers for them are in memory."""
    query = parsed.query
    parts = parsed.parts
    if query is None or parts is None or not parts.can_prefetch or parts.is_empty:
        return parsed
    made = copy.deepcopy(query)
    finders = (find_limits, find_groups, find_several_conditions, find_skipping_nulls)
    if not any(find(made) for find in finders):
        return parsed
    if not can_run_in_parts(query, queries.catalog):
        return parsed
    queries.snapshot.begin()
    changed = order_conditions(made, queries)
    changed |= ask_first_values(made, queries)
    limited = ask_limits(made, queries)
    is_grouped = ask_groups(made, queries, limited)
    if not (changed or limited or is_grouped):
        return parsed
    sql = parts.sql(with_barriers(made, queries.catalog))
    return replace(parsed, query=made, sql=sql)


def ask_limits(query: Tree, queries: WaveQueries) -> set[int]:
    """Ask the answers below each limit of a query and restrict it to them; return the ids of the restricted nodes."""
    done: set[int] = set()
    asked: set[int] = set()
    while (limit := _next_limit(query, done)) is not None:
        done.add(id(limit.path.node))
        if _is_safe(limit, query, queries) and LimitWaves(limit, queries, query).ask():
            asked |= {id(source) for source in limit.sources}
    return asked


def _is_safe(limit: Limit, query: Tree, queries: WaveQueries) -> bool:
    if queries.may_fail_to_bind(limit.path):
        return False
    if not limit.orders and not queries.catalog.keeps_order():
        return False
    return queries.is_safe(limit.path, limit.sources, query)


@dataclass
class LimitWaves:
    """Asks the answers of one limit of a query."""

    limit: Limit
    queries: WaveQueries
    query: Tree
    sources: list[Source] = field(init=False)

    def __post_init__(self) -> None:
        """Remember the sources as they are."""
        orders = self.limit.orders
        self.sources = [Source.of(node, orders) for node in self.limit.sources]

    def ask(self) -> bool:
        """Ask until the limit is reached, or there is no further candidate; False if this query cannot be asked so."""
        count = self.limit.rows + FIRST_EXTRA
        try:
            self._restrict(count)
            can_repeat = self.queries.can_repeat_calls(self._count_query())
            if can_repeat and self.queries.is_reached(self.limit.path, self.query):
                rows = "row" if self.limit.rows == 1 else "rows"
                self.queries.say(f"in waves until {self.limit.rows:,} {rows}")
                self._grow(count)
                return True
        except duckdb.Error as error:
            self.queries.recover(error)
        self._restore()
        return False

    def _grow(self, count: int) -> None:
        while True:
            failed: list[AIQueryError] = []
            passed = self._count_rows(count, failed)
            if passed >= self.limit.rows:
                if failed:
                    self._shrink(count)
                return
            if failed:  # every row of this prefix is needed, so its error is raised
                self._count_rows(count, None)
            if self._are_all_asked(count):
                self._restore()
                return
            count = _next_count(count, passed, self.limit.rows)
            self._restrict(count)

    def _shrink(self, count: int) -> None:
        """Find the shortest prefix with enough rows: a failed row behind it is not needed. Sends nothing."""
        low, high = 1, count
        while low < high:
            middle = (low + high) // 2
            self._restrict(middle)
            if self._count_rows(middle, []) >= self.limit.rows:
                high = middle
            else:
                low = middle + 1
        self._restrict(high)

    def _are_all_asked(self, count: int) -> bool:
        candidates = [
            self.queries.count(count_query(self.limit.path, source.candidates(count)))
            for source in self.sources
        ]
        return max(candidates) < count

    def _count_rows(self, count: int, failed: list[AIQueryError] | None) -> int:
        """Count the rows of the query without its limit. Failed rows are NULL if ``failed`` is a list."""
        query = self._count_query()
        if count > CHUNK:
            self.queries.prefetch(query)
        with self.queries.mode(Mode.RUN if failed is None else Mode.WAVE, failed):
            return self.queries.count(query)

    def _count_query(self) -> Tree:
        return count_query(self.limit.path, without_limit(self.limit.path.node))

    def _restrict(self, count: int) -> None:
        for source in self.sources:
            source.restrict(count)

    def _restore(self) -> None:
        for source in self.sources:
            source.restore()


def may_have_waves(query: Tree, catalog: Catalog) -> bool:
    """Return True if a statement may be asked in waves, as far as its query shows."""
    has_waves = find_limits(query) or find_groups(query)
    return bool(has_waves) and can_run_in_parts(query, catalog)


def can_run_in_parts(query: Tree, catalog: Catalog) -> bool:
    """Return True if a query can be read again, and no part of it is a parameter, which another part would lack."""
    has_parameters = any(node["type"] == "VALUE_PARAMETER" for node in nodes(query))
    return not has_parameters and is_repeatable(query, catalog)


def _next_limit(query: Tree, done: set[int]) -> Limit | None:
    limits = find_limits(query, done)
    return next((one for one in limits if id(one.path.node) not in done), None)


def _next_count(count: int, passed: int, wanted: int) -> int:
    largest = count * MAX_GROWTH
    if not passed:
        return largest
    missing = (wanted - passed) * count / passed
    return min(count + math.ceil(missing * MARGIN) + FIRST_EXTRA, largest)
