"""Ask in waves where a query needs one passing row of each group.

The first wave asks one candidate of each group. Each further wave asks four times as many, of the groups that have no
passing row yet.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import duckdb

from aiquery.engines.duckdb.binding import Mode
from aiquery.engines.duckdb.planning.groups import Group, GroupSource, find_groups
from aiquery.engines.duckdb.results import materialize
from aiquery.engines.duckdb.syntax import with_ctes
from aiquery.engines.duckdb.wave_queries import count_query

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiquery.engines.duckdb.planning.groups import Level
    from aiquery.engines.duckdb.syntax import Tree
    from aiquery.engines.duckdb.wave_queries import WaveQueries
    from aiquery.errors import AIQueryError

GROWTH = 4
"""How many times as many candidates of a group the next wave asks."""


def ask_groups(query: Tree, queries: WaveQueries, settled: set[int]) -> bool:
    """Ask the answers of each group of a query and restrict it to them; False if there is none that can be asked so.

    settled  ids of nodes whose candidates are chosen
    """
    tables = (f"__aiquery_keys_{number}" for number in itertools.count(1))
    asked = False
    for group in find_groups(query, settled):
        node = group.path.node
        if not queries.may_fail_to_bind(group.path) and queries.is_safe(
            group.path, [node], query
        ):
            asked |= GroupWaves(group, queries, tables, query).ask()
    return asked


@dataclass
class GroupWaves:
    """Asks the answers of one node of a query with groups; ``tables`` are unused names for the keys that passed."""

    group: Group
    queries: WaveQueries
    tables: Iterator[str]
    query: Tree
    source: GroupSource = field(init=False)
    failed: list[AIQueryError] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Remember the node as it is."""
        self.source = GroupSource.of(self.group)

    def ask(self) -> bool:
        """Ask until each group has a passing row or no further candidate; False if this node cannot be asked so."""
        levels: list[Level] = [(1, None)]
        try:
            self.source.restrict(levels)
            can_repeat = self.queries.can_repeat_calls(self._passing_keys(levels))
            if can_repeat and self.queries.is_reached(self.group.path, self.query):
                self.queries.say("in waves until one row of each group")
                self._grow(levels)
                return True
        except duckdb.Error as error:
            self.queries.recover(error)
        self.source.restore()
        return False

    def _grow(self, levels: list[Level]) -> None:
        while True:
            passed = self._ask_level(levels)
            count, _ = levels[-1]
            further = self.source.further_candidates(count, passed)
            if not self.queries.count(count_query(self.group.path, further)):
                self.source.restrict(levels, self._find_superfluous(levels))
                return
            levels.append((count * GROWTH, passed))

    def _ask_level(self, levels: list[Level]) -> str:
        """Ask the candidates of a level; return the table of the keys that have a passing row."""
        query = self._passing_keys(levels)
        self.queries.prefetch(query)
        return self._materialize(query)

    def _find_superfluous(self, levels: list[Level]) -> str | None:
        """Return a table of the candidates whose errors do not matter; None if no row failed. Sends nothing."""
        if not self.failed:
            return None
        path = self.group.path
        first = self._materialize(with_ctes(path, self.source.first_passing(levels)))
        return self._materialize(with_ctes(path, self.source.superfluous(first)))

    def _materialize(self, query: Tree) -> str:
        """Run a query with failed rows as NULL; return the name of the table with its rows."""
        queries = self.queries
        with queries.mode(Mode.WAVE, self.failed):
            rows = materialize(
                queries.raw,
                queries.print(query),
                queries.settings,
                queries.catalog.variables,
            )
        name = next(self.tables)
        queries.catalog.variables[name] = rows
        return name

    def _passing_keys(self, levels: list[Level]) -> Tree:
        return with_ctes(self.group.path, self.source.passing_keys(levels))
