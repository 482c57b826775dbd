"""What a statement would ask: its estimate, and what EXPLAIN says about it. Sends and writes nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import duckdb

from aiquery.engines.duckdb.binding import Mode
from aiquery.engines.duckdb.describe_plan import describe_plan
from aiquery.engines.duckdb.errors import translate_errors
from aiquery.engines.duckdb.estimate_query import make_estimate_query, split_by_waves
from aiquery.engines.duckdb.statements import plan
from aiquery.engines.duckdb.variables import run_with
from aiquery.estimate import RequestCounter
from aiquery.inference.query_context import QueryContext

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiquery.engines.duckdb.binding import Session
    from aiquery.engines.duckdb.catalog import Catalog
    from aiquery.engines.duckdb.statements import ParsedStatement
    from aiquery.estimate import Estimate


@dataclass(frozen=True)
class Estimator:
    """Estimates the statements of one connection."""

    raw: duckdb.DuckDBPyConnection
    session: Session
    make_catalog: Callable[[dict[str, Any]], Catalog]
    find_variables: Callable[[str], dict[str, Any]]

    def explain(self, parsed: ParsedStatement) -> dict[str, str]:
        """Return what EXPLAIN says beside DuckDB's plan."""
        catalog = self.make_catalog({})
        planned = plan(parsed, catalog)
        notes = {"ai_estimate": str(self._estimate(planned, catalog))}
        if planned.query is None:
            return notes
        return {"ai_plan": describe_plan(planned.query, catalog), **notes}

    def estimate(self, parsed: ParsedStatement) -> Estimate:
        """Return the requests of a statement; of one that is asked in waves, the least and the worst case."""
        catalog = self.make_catalog({})
        return self._estimate(plan(parsed, catalog), catalog)

    def _estimate(self, planned: ParsedStatement, catalog: Catalog) -> Estimate:
        least, most = split_by_waves(planned, catalog)
        if most is None:
            return self._count(planned, catalog)
        try:
            estimate = self._count(least, catalog)
            worst_case = self._count(most, catalog)
        except duckdb.BinderException:  # such a statement is not asked in waves
            return self._count(planned, catalog)
        known = worst_case if worst_case.exact else None
        return replace(estimate, exact=False, worst_case=known)

    def _count(self, parsed: ParsedStatement, catalog: Catalog) -> Estimate:
        counter = RequestCounter()
        sql, exact = make_estimate_query(parsed, catalog)
        if sql is not None:
            executing = self.session.executing(QueryContext())
            with (
                executing as statement,
                translate_errors(self.session.client, statement, parsed.query),
            ):
                statement.mode = Mode.COUNT
                statement.counter = counter
                run_with(self.find_variables(sql), self.raw.execute, sql)
                self.raw.complete()
        return counter.estimate(self.session.client, exact=exact)
