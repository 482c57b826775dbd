"""Prefetch: submit the requests of a statement before it runs, where that is safe (``prefetch_query``)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import duckdb

from aiquery.engines.duckdb.binding import Mode
from aiquery.engines.duckdb.planning import with_barriers
from aiquery.engines.duckdb.prefetch_query import (
    cannot_fail,
    is_small,
    make_prefetch_query,
    reads_the_same_twice,
)
from aiquery.engines.duckdb.syntax import NotPrintable, print_query
from aiquery.engines.duckdb.variables import run_with

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiquery.engines.duckdb.binding import Session, Statement
    from aiquery.engines.duckdb.catalog import Catalog
    from aiquery.engines.duckdb.snapshot import Snapshot
    from aiquery.engines.duckdb.statements import ParsedStatement


@dataclass(frozen=True)
class Prefetcher:
    """Runs the prefetch pass of one statement.

    ``variables`` are Python variables of the caller that the statement may name.
    """

    raw: duckdb.DuckDBPyConnection
    session: Session
    snapshot: Snapshot
    variables: Mapping[str, Any]
    params: object = None

    def submit(
        self, parsed: ParsedStatement, statement: Statement, catalog: Catalog
    ) -> None:
        """Submit the requests of a statement that will run in the same snapshot."""
        sql = self._sql(parsed, catalog)
        if sql is None:
            return
        self.snapshot.begin()
        if not self._prefetch(sql, statement):
            self.snapshot.restart()

    def _sql(self, parsed: ParsedStatement, catalog: Catalog) -> str | None:
        """Return the query of the prefetch pass; None if it is not safe or not useful."""
        query = parsed.query
        parts = parsed.parts
        if query is None or parts is None or is_small(query):
            return None
        if not parts.can_prefetch or parts.is_empty:
            return None
        made = make_prefetch_query(query)
        is_safe = cannot_fail(query) or not self.snapshot.is_of_the_user
        if made is None or not is_safe:
            return None
        try:
            exists = parts.creates is not None and catalog.has_table(parts.creates)
            if exists or not reads_the_same_twice(query, catalog):
                return None
            return print_query(with_barriers(made, catalog))
        except (NotPrintable, duckdb.TransactionException):
            return None

    def _prefetch(self, sql: str, statement: Statement) -> bool:
        """Submit the requests of a query; return False if an expression fails on the NULLs that stand for answers."""
        statement.mode = Mode.PREFETCH
        try:
            execute = self.raw.execute
            if self.params is not None:
                execute = partial(execute, parameters=self.params)
            run_with(self.variables, execute, sql)
            self.raw.complete()
            self._mark_prefetched(statement)
        except duckdb.Error as error:
            if statement.is_ended_by(error):
                raise
            return False
        finally:
            statement.mode = Mode.RUN
        return True

    def _mark_prefetched(self, statement: Statement) -> None:
        """Record that every row was submitted, so the total is known."""
        statement.is_prefetched = True
        stats = statement.context.stats
        if stats is not None and stats is not self.session.parent_run:
            for counter in stats.row_counters.values():
                counter.known = True
