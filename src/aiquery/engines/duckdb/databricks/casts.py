"""Run a statement of Databricks SQL again with Spark's implicit casts, if DuckDB does not bind it without them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiquery.engines.duckdb.statements import ParsedStatement

    Run = Callable[[ParsedStatement, object], duckdb.DuckDBPyRelation | None]


def run_with_casts(
    run: Run,
    create_macros: Callable[[str], None],
    parsed: ParsedStatement,
    params: object,
) -> duckdb.DuckDBPyRelation | None:
    """Run a statement. Raises the first error if it does not bind with casts either.

    DuckDB binds a statement before it asks anything, so nothing is asked twice.
    """
    try:
        return run(parsed, params)
    except duckdb.BinderException as error:
        if parsed.with_casts is None:
            raise
        made = parsed.with_casts()
        if made.sql == parsed.sql:
            raise
        try:
            create_macros(made.sql)
            return run(made, params)
        except (duckdb.BinderException, duckdb.TransactionException):
            raise error from None
