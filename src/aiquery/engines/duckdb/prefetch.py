"""Prefetch: submit the requests of a statement before it runs, where that is safe (``prefetch_query``)."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import duckdb

from aiquery.engines.duckdb.binding import Mode
from aiquery.engines.duckdb.prefetch_query import (
    cannot_fail,
    is_small,
    make_prefetch_query,
    reads_the_same_twice,
)
from aiquery.engines.duckdb.syntax import NotPrintable, print_query
from aiquery.engines.duckdb.variables import run_with

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiquery.engines.duckdb.binding import Session, Statement
    from aiquery.engines.duckdb.catalog import Catalog
    from aiquery.engines.duckdb.settings import Settings
    from aiquery.engines.duckdb.statements import ParsedStatement

Result = duckdb.DuckDBPyRelation | None


@dataclass(frozen=True)
class Prefetcher:
    """Runs one statement after its prefetch pass.

    ``variables`` are Python variables of the caller that the statement may name.
    """

    raw: duckdb.DuckDBPyConnection
    session: Session
    settings: Settings
    variables: Mapping[str, Any]
    params: object = None

    def run(
        self,
        parsed: ParsedStatement,
        statement: Statement,
        catalog: Catalog,
        run: Callable[[], Result],
    ) -> Result:
        """Submit the requests of a statement, and return the result of ``run``; both read one snapshot."""
        in_transaction = self._is_in_transaction()
        sql = _prefetch_sql(parsed, catalog, in_transaction=in_transaction)
        if sql is None:
            return run()
        if in_transaction:
            self._prefetch(sql, statement)
            return run()
        self.raw.execute("BEGIN TRANSACTION")
        try:
            if not self._prefetch(sql, statement):
                self.raw.execute("ROLLBACK")
                return run()
            result = run()
            self.raw.execute("COMMIT")
        except BaseException:
            with suppress(
                duckdb.TransactionException
            ):  # DuckDB rolled it back with the error
                self.raw.execute("ROLLBACK")
            self.settings.restore()
            raise
        return result

    def _is_in_transaction(self) -> bool:
        """Return True if the user began a transaction: outside of one, each statement has a number of its own."""
        try:
            first = self.raw.execute("SELECT txid_current()").fetchall()
            second = self.raw.execute("SELECT txid_current()").fetchall()
        except duckdb.TransactionException:
            return True  # it was aborted: the statement itself raises that
        return first == second

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
        except duckdb.InterruptException:
            raise
        except duckdb.Error as error:
            is_ours = statement.find_error(str(error)) is not None
            if is_ours or statement.interrupted or "KeyboardInterrupt" in str(error):
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


def _prefetch_sql(
    parsed: ParsedStatement, catalog: Catalog, *, in_transaction: bool
) -> str | None:
    """Return the query of the prefetch pass; None if it is not safe or not useful."""
    query = parsed.query
    parts = parsed.parts
    if query is None or parts is None:
        return None
    if not parts.can_prefetch or parts.is_empty or is_small(query):
        return None
    prefetch_query = make_prefetch_query(query)
    if prefetch_query is None or (in_transaction and not cannot_fail(query)):
        return None
    try:
        exists = parts.creates is not None and catalog.has_table(parts.creates)
        if exists or not reads_the_same_twice(query, catalog):
            return None
        return print_query(prefetch_query)
    except (NotPrintable, duckdb.TransactionException):
        return None
