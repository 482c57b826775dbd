"""The queries of a wave: parts of a statement's query, run in its transaction before the statement itself."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import duckdb

from aiquery.engines.duckdb.binding import Mode
from aiquery.engines.duckdb.planning import with_barriers
from aiquery.engines.duckdb.prefetch_query import is_unsettled, make_prefetch_query
from aiquery.engines.duckdb.syntax import (
    QUERIES,
    NodePath,
    Tree,
    find_all_ctes,
    find_ctes,
    has_limit,
    is_aggregate_function,
    may_be_correlated,
    nodes,
    parse_query,
    print_query,
    with_ctes,
)
from aiquery.engines.duckdb.variables import run_with
from aiquery.estimate import RequestCounter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aiquery.engines.duckdb.binding import Session, Statement
    from aiquery.engines.duckdb.catalog import Catalog
    from aiquery.engines.duckdb.settings import Settings
    from aiquery.engines.duckdb.snapshot import Snapshot
    from aiquery.errors import AIQueryError


@dataclass(kw_only=True)
class WaveQueries:
    """Runs queries of one statement's waves."""

    raw: duckdb.DuckDBPyConnection
    session: Session
    statement: Statement
    catalog: Catalog
    snapshot: Snapshot
    settings: Settings

    def may_fail_to_bind(self, path: NodePath) -> bool:
        """Return True if a part of a query could end the user's transaction: it may not stand without the rest."""
        return self.snapshot.is_of_the_user and may_be_correlated(path)

    def is_safe(self, path: NodePath, sources: Sequence[Tree], query: Tree) -> bool:
        """Return True if the candidates of some sources are the same in every wave, and no macro hides an aggregate."""
        bodies = [cte["query_node"] for _, cte in find_all_ctes(query)]
        read = [
            part
            for source in sources
            for part in (source["from_table"], source["where_clause"] or {})
        ]
        inner = [
            body
            for body in bodies
            if not any(one is source for source in sources for one in nodes(body))
        ]
        if any(is_unsettled(node) for node in nodes([*read, *inner])):
            return False
        is_limited = any(has_limit(node) for node in nodes([*read, *inner]))
        if is_limited and not self.catalog.keeps_order():
            return False
        return not self._calls_a_macro_of_aggregates(path.node)

    def _calls_a_macro_of_aggregates(self, query: Tree) -> bool:
        names = {
            str(node["function_name"]).lower()
            for node in nodes(query)
            if node.get("class") == "FUNCTION"
        }
        macros = [tree for name in names for tree in self.catalog.macro_queries(name)]
        return any(
            tree is None
            or is_aggregate_function(node)
            or node.get("class") == "WINDOW"
            or node.get("function_name") == "unnest"
            for tree in macros
            for node in nodes(tree)
        )

    def can_repeat_calls(self, query: Tree) -> bool:
        """Return True if a query stands alone, and its answers stay in memory: not those of a random sample."""
        with self.mode(Mode.COUNT, None):
            self.execute(f"EXPLAIN {self.print(query)}")
        return all(
            bound.call.template.cacheable
            for bound in self.session.calls.values()
            if bound.statement is self.statement
        )

    def say(self, text: str) -> None:
        """Show in the progress of the statement how it is asked."""
        self.session.track(self.statement.context, self.statement).waves = text

    def is_reached(self, path: NodePath, query: Tree) -> bool:
        """Return True if a statement's query evaluates a call, once its node is restricted to a few candidates.

        DuckDB leaves out what a condition around it makes superfluous. Sends nothing: every answer is NULL. In a
        transaction of the user, whom an error would cost earlier writes, only what is certain counts.
        """
        if not path.within:
            return True
        if self.snapshot.is_of_the_user:
            inner = [*path.within[1:], path.node]
            return all(map(_always_reads, path.within, inner))
        try:
            return self.count_requests(query).has_requests()
        except duckdb.Error as error:
            self.recover(error)
            return True

    def count_requests(self, query: Tree) -> RequestCounter:
        """Count the requests of a query. Sends nothing: every answer is NULL."""
        counter = RequestCounter()
        self.statement.counter = counter
        with self.mode(Mode.COUNT, None):
            self.execute(self.print(query)).fetchall()
        self.statement.counter = None
        return counter

    def prefetch(self, query: Tree) -> None:
        """Submit all requests of a query at once, where that is safe."""
        prefetch_query = make_prefetch_query(query)
        if prefetch_query is None or self.snapshot.is_of_the_user:
            return
        with self.mode(Mode.PREFETCH, []):
            try:
                self.execute(self.print(prefetch_query)).fetchall()
            except duckdb.Error as error:
                self.recover(error)

    def count(self, query: Tree) -> int:
        """Return the number that a query reads."""
        number: int = self.execute(self.print(query)).fetchall()[0][0]
        return number

    def print(self, query: Tree) -> str:
        """Return the text of a query with its barriers."""
        return print_query(with_barriers(query, self.catalog))

    def execute(self, sql: str) -> Any:
        """Run a query that may name the caller's variables."""
        return run_with(self.catalog.variables, self.raw.execute, sql)

    @contextmanager
    def mode(self, mode: Mode, failed: list[AIQueryError] | None) -> Iterator[None]:
        """Bind and evaluate the calls of the block in a mode; ``failed`` takes the errors of rows, None raises them."""
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

    def recover(self, error: duckdb.Error) -> None:
        """Begin again after an error that only means that a query cannot be asked in waves; raise any other."""
        if self.statement.is_ended_by(error) or self.snapshot.is_of_the_user:
            raise error
        self.snapshot.restart()


def _always_reads(node: Tree, inner: Tree) -> bool:
    """Return True if a part of a query reads the part inside of it, whatever its conditions are."""
    if node["type"] not in QUERIES:
        return bool(node["type"] == "SUBQUERY")
    is_cte = any(cte["query_node"] is inner for _, cte in find_ctes(node))
    filters = (node.get("where_clause"), node.get("having"), node.get("qualify"))
    return not is_cte and not any(filters) and not has_limit(node)


def count_query(path: NodePath, query: Tree) -> Tree:
    """Return ``SELECT count(*) FROM (query)`` with the CTEs that are defined around the node of ``path``."""
    made = parse_query("SELECT count(*) FROM (SELECT 1) AS q")
    made["from_table"]["subquery"]["node"] = query
    return with_ctes(path, made)
