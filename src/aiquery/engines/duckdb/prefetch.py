"""Asking ahead: what a statement asks is handed in before it runs, where that is safe (``collect``)."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import duckdb
from aiquery.engines.duckdb.binding import Mode
from aiquery.engines.duckdb.prefetch_query import (
    cannot_fail,
    collected,
    is_small,
    reads_the_same_twice,
)
from aiquery.engines.duckdb.syntax import NotPrintable, print_query
from aiquery.engines.duckdb.variables import run_with

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiquery.engines.duckdb.binding import Session, Statement
    from aiquery.engines.duckdb.catalog import Catalog
    from aiquery.engines.duckdb.settings import Settings
    from aiquery.engines.duckdb.statements import Rewritten

Result = duckdb.DuckDBPyRelation | None


class Prefetcher:
    """Runs one statement."""

    def __init__(
        self,
        raw: duckdb.DuckDBPyConnection,
        session: Session,
        settings: Settings,
        variables: Mapping[str, Any],
    ) -> None:
        """``variables`` are the caller's that the statement may name."""
        self._variables = variables
        self._raw = raw
        self._session = session
        self._settings = settings

    def run(
        self,
        rewritten: Rewritten,
        statement: Statement,
        catalog: Catalog,
        then: Callable[[], Result],
    ) -> Result:
        """Hand in what a statement asks, and return what ``then`` does, which runs it; both read one snapshot."""
        inside = self._in_transaction()
        sql = _collecting(rewritten, catalog, inside=inside)
        if sql is None:
            return then()
        if inside:
            self._collect(sql, statement)
            return then()
        self._raw.execute("BEGIN TRANSACTION")
        try:
            if not self._collect(sql, statement):
                self._raw.execute("ROLLBACK")
                return then()
            result = then()
            self._raw.execute("COMMIT")
        except BaseException:
            with suppress(
                duckdb.TransactionException
            ):  # there is none: it was rolled back with the error
                self._raw.execute("ROLLBACK")
            self._settings.set_back()
            raise
        return result

    def _in_transaction(self) -> bool:
        """Say whether the user began a transaction: outside of one, each statement has a number of its own."""
        try:
            first, second = (
                self._raw.execute("SELECT txid_current()").fetchall() for _ in range(2)
            )
        except duckdb.TransactionException:
            return True  # it was aborted: the statement will say so
        return first == second

    def _collect(self, sql: str, statement: Statement) -> bool:
        """Hand in what a query asks; return False where an expression refuses the NULLs that stand for answers."""
        statement.mode = Mode.COLLECT
        try:
            run_with(self._variables, self._raw.execute, sql)
            self._raw.complete()
            self._collected(statement)
        except duckdb.InterruptException:
            raise
        except duckdb.Error as error:
            if (
                statement.error_in(str(error))
                or statement.interrupted
                or "KeyboardInterrupt" in str(error)
            ):
                raise
            return False
        finally:
            statement.mode = Mode.RUN
        return True

    def _collected(self, statement: Statement) -> None:
        """Note that every row was handed in, so that it is known how many there are."""
        statement.collected = True
        stats = statement.context.stats
        if stats is not None and stats is not self._session.within:
            for row_counter in stats.row_counters.values():
                row_counter.known = True


def _collecting(rewritten: Rewritten, catalog: Catalog, *, inside: bool) -> str | None:
    """Return the query that collects, or None where the function alone is right."""
    query, parts = rewritten.query, rewritten.parts
    if (
        query is None
        or parts is None
        or not parts.collects
        or parts.empty
        or is_small(query)
    ):
        return None
    made = collected(query)
    if made is None or (inside and not cannot_fail(query)):
        return None
    try:
        exists = parts.creates is not None and catalog.has_table(parts.creates)
        return (
            None
            if exists or not reads_the_same_twice(query, catalog)
            else print_query(made)
        )
    except (NotPrintable, duckdb.TransactionException):
        return None
