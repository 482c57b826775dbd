"""Ask in waves where a query needs only some of the answers.

The first wave is as large as the result, the next ones follow the share of the rows that passed. A wave runs a part of
the statement's query on a prefix of its candidates and counts the rows of the result. When there are enough, the
statement itself runs on that prefix; its answers are in memory then.
"""

from __future__ import annotations

import copy
import math
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import duckdb

from aiquery.engines.duckdb.binding import Mode
from aiquery.engines.duckdb.planning import with_barriers
from aiquery.engines.duckdb.planning.candidates import Source
from aiquery.engines.duckdb.planning.limits import Limit, find_limits
from aiquery.engines.duckdb.prefetch_query import (
    CHUNK,
    is_repeatable,
    is_unsettled,
    make_prefetch_query,
)
from aiquery.engines.duckdb.syntax import (
    QUERIES,
    NodePath,
    Tree,
    find_ctes,
    is_aggregate_function,
    is_limit,
    nodes,
    parse_query,
    print_query,
)
from aiquery.engines.duckdb.variables import run_with

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiquery.engines.duckdb.binding import Session, Statement
    from aiquery.engines.duckdb.catalog import Catalog
    from aiquery.engines.duckdb.snapshot import Snapshot
    from aiquery.engines.duckdb.statements import ParsedStatement
    from aiquery.errors import AIQueryError

FIRST_EXTRA = 16
"""Rows that a wave asks beyond what is wanted, so that the last missing row seldom needs a wave of its own."""

MARGIN = 1.2
MAX_GROWTH = 4
"""A prefix grows at most by this factor: a query asks at most so many times what it needs."""


@dataclass(kw_only=True)
class Waves:
    """Asks one statement's answers in waves, in the transaction in which the statement runs.

    ``asked`` are the limits that were asked in waves, with the number of candidates that was enough.
    """

    raw: duckdb.DuckDBPyConnection
    session: Session
    statement: Statement
    catalog: Catalog
    snapshot: Snapshot
    asked: list[tuple[Limit, int]] = field(default_factory=list)

    def restrict(self, query: Tree) -> Tree:
        """Return a query with the same rows, which reads only the candidates that it needs."""
        made = copy.deepcopy(query)
        if not find_limits(made) or not _can_be_asked_in_parts(made):
            return query
        if not is_repeatable(query, self.catalog):
            return query
        self.snapshot.begin()
        done: set[int] = set()
        while (limit := _next_limit(made, done)) is not None:
            done.add(id(limit.path.node))
            if self._is_safe(limit, made):
                self._ask(limit)
        return made if self.asked else query

    def _is_safe(self, limit: Limit, query: Tree) -> bool:
        """Return True if the candidates are the same in every wave, and the rows are those of the limit."""
        if self.snapshot.is_of_the_user and limit.may_be_correlated:
            return False
        if not limit.orders and not self.catalog.keeps_order():
            return False
        bodies = [
            cte["query_node"] for node in nodes(query) for _, cte in find_ctes(node)
        ]
        read = [
            part
            for source in limit.sources
            for part in (source["from_table"], source["where_clause"] or {})
        ]
        inner = [
            body
            for body in bodies
            if not any(one is source for source in limit.sources for one in nodes(body))
        ]
        if any(is_unsettled(node) for node in nodes([*read, *inner])):
            return False
        return not self._calls_a_macro_of_aggregates(limit.path.node)

    def _calls_a_macro_of_aggregates(self, query: Tree) -> bool:
        names = {
            str(node["function_name"]).lower()
            for node in nodes(query)
            if node.get("class") == "FUNCTION"
        }
        macros = [tree for name in names for tree in self.catalog.macro_queries(name)]
        return any(
            tree is None or is_aggregate_function(node) or node.get("class") == "WINDOW"
            for tree in macros
            for node in nodes(tree)
        )

    def _ask(self, limit: Limit) -> None:
        sources = [
            Source(node, copy.deepcopy(node), limit.orders) for node in limit.sources
        ]
        count = limit.rows + FIRST_EXTRA
        try:
            _restrict_all(sources, count)
            if not self._can_repeat_calls(limit):
                _restore_all(sources)
                return
            count = self._grow(limit, sources, count)
        except duckdb.Error as error:
            self._raise_ours(error)
            _restore_all(sources)
            self.snapshot.restart()
            return
        self.asked.append((limit, count))

    def _grow(self, limit: Limit, sources: list[Source], count: int) -> int:
        """Ask until there are enough rows, or no further candidate; return how many candidates were enough."""
        while True:
            failed: list[AIQueryError] = []
            passed = self._count_rows(limit, count, failed)
            if passed >= limit.rows:
                return self._shrink(limit, sources, count) if failed else count
            if failed:
                self._count_rows(
                    limit, count, None
                )  # every row of this prefix is needed
            candidates = max(
                self._count_candidates(limit, source, count) for source in sources
            )
            if candidates < count:
                _restore_all(sources)
                return candidates
            count = _next_count(count, passed, limit.rows)
            _restrict_all(sources, count)

    def _shrink(self, limit: Limit, sources: list[Source], count: int) -> int:
        """Find the shortest prefix with enough rows: a failed row behind it is not needed. Sends nothing."""
        low, high = 1, count
        while low < high:
            middle = (low + high) // 2
            _restrict_all(sources, middle)
            if self._count_rows(limit, middle, []) >= limit.rows:
                high = middle
            else:
                low = middle + 1
        _restrict_all(sources, high)
        return high

    # --- queries of a wave

    def _count_rows(
        self, limit: Limit, count: int, failed: list[AIQueryError] | None
    ) -> int:
        """Count the rows of a limited query, without its limit. Failed rows are NULL if ``failed`` is a list."""
        query = _count_query(limit.path, _without_limit(limit.path.node))
        if count > CHUNK and not self.snapshot.is_of_the_user:
            self._prefetch(query)
        with self._mode(Mode.RUN if failed is None else Mode.PROBE, failed):
            return self._read_count(query)

    def _prefetch(self, query: Tree) -> None:
        prefetch_query = make_prefetch_query(query)
        if prefetch_query is None:
            return
        with self._mode(Mode.PREFETCH, []):
            try:
                self._read_count(prefetch_query)
            except duckdb.Error as error:
                self._raise_ours(error)
                self.snapshot.restart()

    def _count_candidates(self, limit: Limit, source: Source, count: int) -> int:
        return self._read_count(_count_query(limit.path, source.candidates(count)))

    def _can_repeat_calls(self, limit: Limit) -> bool:
        """Return True if the query stands alone, and its answers stay in memory: not those of a random sample."""
        query = _count_query(limit.path, _without_limit(limit.path.node))
        with self._mode(Mode.COUNT, None):
            self._execute(f"EXPLAIN {self._print(query)}")
        return all(
            bound.call.template.cacheable
            for bound in self.session.calls.values()
            if bound.statement is self.statement
        )

    def _read_count(self, query: Tree) -> int:
        count: int = self._execute(self._print(query)).fetchall()[0][0]
        return count

    def _print(self, query: Tree) -> str:
        return print_query(with_barriers(query, self.catalog))

    def _execute(self, sql: str) -> Any:
        return run_with(self.catalog.variables, self.raw.execute, sql)

    @contextmanager
    def _mode(self, mode: Mode, failed: list[AIQueryError] | None) -> Iterator[None]:
        statement = self.statement
        stops = statement.context.stop_on_error
        statement.mode = mode
        statement.failed = failed
        statement.context.stop_on_error = stops and failed is None
        try:
            yield
        finally:
            statement.mode = Mode.RUN
            statement.failed = None
            statement.context.stop_on_error = stops

    def _raise_ours(self, error: duckdb.Error) -> None:
        """Raise an error that ends the statement; any other only means that this query cannot be asked in waves."""
        text = str(error)
        is_ours = self.statement.find_error(text) is not None
        is_stopped = (
            isinstance(error, duckdb.InterruptException) or "KeyboardInterrupt" in text
        )
        if (
            is_ours
            or is_stopped
            or self.statement.interrupted
            or self.snapshot.is_of_the_user
        ):
            raise error


def ask_in_waves(parsed: ParsedStatement, waves: Waves) -> ParsedStatement:
    """Return a statement that reads only the candidates that it needs; its answers for them are in memory."""
    query = parsed.query
    parts = parsed.parts
    if query is None or parts is None or not parts.can_prefetch or parts.is_empty:
        return parsed
    made = waves.restrict(query)
    if made is query:
        return parsed
    sql = parts.sql(with_barriers(made, waves.catalog))
    return replace(parsed, query=made, sql=sql)


def _can_be_asked_in_parts(query: Tree) -> bool:
    """Return True if no part of a query is a parameter: a wave runs parts of the query."""
    return not any(node["type"] == "VALUE_PARAMETER" for node in nodes(query))


def _next_limit(query: Tree, done: set[int]) -> Limit | None:
    limits = find_limits(query, done)
    return next((one for one in limits if id(one.path.node) not in done), None)


def _next_count(count: int, passed: int, wanted: int) -> int:
    largest = count * MAX_GROWTH
    if not passed:
        return largest
    missing = (wanted - passed) * count / passed
    return min(count + math.ceil(missing * MARGIN) + FIRST_EXTRA, largest)


def _restrict_all(sources: list[Source], count: int) -> None:
    for source in sources:
        source.restrict(count)


def _restore_all(sources: list[Source]) -> None:
    for source in sources:
        source.restore()


def _without_limit(query: Tree) -> Tree:
    """Return a query without LIMIT, and without ORDER BY unless DISTINCT ON needs it."""
    made = copy.deepcopy(query)
    distinct_on = any(one.get("distinct_on_targets") for one in made["modifiers"])
    made["modifiers"] = [
        modifier
        for modifier in made["modifiers"]
        if not is_limit(modifier)
        and (distinct_on or modifier["type"] != "ORDER_MODIFIER")
    ]
    return made


def _count_query(path: NodePath, query: Tree) -> Tree:
    """Return ``SELECT count(*) FROM (query)`` with the CTEs that are defined around the node of ``path``."""
    made = parse_query("SELECT count(*) FROM (SELECT 1) AS q")
    made["from_table"]["subquery"]["node"] = query
    inside = {id(node) for node in path.within}
    entries = [
        entry
        for node in path.within
        if node["type"] in QUERIES
        for entry in (node.get("cte_map") or {}).get("map", ())
        if id(entry["value"]["query_node"]) not in inside | {id(path.node)}
    ]
    made["cte_map"] = {**made["cte_map"], "map": copy.deepcopy(entries)}
    return made
