"""``aiquery.update``: what is asked of the user, and which table it goes to."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiquery import config as configuration
from aiquery.engines.duckdb.connection import Connection, connect
from aiquery.errors import ArgumentError
from aiquery.updates.assignments import Assignments, condition_on_duckdb
from aiquery.updates.loop import run
from aiquery.updates.pending_rows import PendingRows
from aiquery.updates.result import UpdateResult

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiquery.config.settings import Config
    from aiquery.updates.targets.base import BaseTarget

DELTA = "delta:"
POSTGRES = ("postgresql://", "postgres://")


def update(  # noqa: PLR0913  one parameter per question
    target: str,
    set: str | Mapping[str, str] | Sequence[str],  # noqa: A002  SQL's word
    *,
    key: str | Sequence[str],
    where: str | None = None,
    source: str | None = None,
    on: Any = None,
    refresh: str | None = None,
    every: int | None = None,
    seconds: float = 30.0,
    config: Any = None,
    budget: Mapping[str, float | str] | None = None,
    dialect: str = "duckdb",
) -> UpdateResult:
    """Fill columns of a table with answers: only of the rows that need it, slice by slice, going on where it stopped.

    target    a table of ``on``; or ``delta:PATH``, a Delta table that DuckDB reads and ``deltalake`` writes
    set       ``"sentiment = ai_query(..)"``, several of them, or a mapping from column to expression. A call that fails
              leaves its row as it was; it needs an answer next time again
    key       the column, or columns, that name a row; rows whose key is NULL are left alone
    where     which rows need it, e.g. ``sentiment IS NULL AND length(message) > 50``; all unless given
    source    a table or file, or a query in parentheses, that the rows come from instead of ``target``: those whose key
              ``target`` does not have are asked about and inserted, with the columns of ``key`` and ``set``
    on        a DuckDB database file, a connection of ``aiquery.connect``, ``postgresql://..``, or a SparkSession; a
              database in memory unless given. ``where`` and ``source`` are SQL of that server, ``set`` is DuckDB's
    refresh   ``changed``: rows whose expression, model or values changed since they were answered need it, too;
              what an answer was made from is kept in the column ``aiquery_key`` of ``target``, which is added
    every     commit after so many rows; 10,000 unless given (Spark: 100,000)
    seconds   or after so many seconds, whichever comes first (not on Spark)
    config    what ``aiquery.connect`` takes; of a connection or session its own
    dialect   of ``set`` and ``where``: duckdb, or databricks (Spark always)
    budget    settings of ``[budget]``: once one is reached, what was answered is committed, and the rest is left

    Raises ``ArgumentError`` for what does not parse and ``ConfigError`` before any call; DuckDB's, Delta's and Spark's
    own errors for the rest. What was answered before an error is committed, and is never paid again.
    """
    keys = [key] if isinstance(key, str) else list(key)
    if refresh not in {None, "changed"}:
        raise ArgumentError(f"refresh {refresh!r} is not known; use 'changed'.")
    if type(on).__module__.startswith("pyspark."):
        if config is not None or budget is not None:
            raise ArgumentError(
                "a Spark session has its own configuration; set it with aiquery.register(spark, config)."
            )
        from aiquery.updates.targets.spark import update_on_spark

        assignments = Assignments.read(set, "databricks")
        return update_on_spark(
            on,
            target,
            assignments,
            PendingRows(keys, where, source, refresh),
            every or 100_000,
        )
    assignments = Assignments.read(set, dialect).on_duckdb()
    where = where and condition_on_duckdb(where, dialect)
    server, on = (
        (on, None) if isinstance(on, str) and on.startswith(POSTGRES) else (None, on)
    )
    with _connection(on, config, budget) as con:
        rows = _rows(
            con, server, target, assignments, PendingRows(keys, where, source, refresh)
        )
        return _update(
            con, f'UPDATE "{target}" SET {assignments}', rows, every or 10_000, seconds
        )


def _rows(
    con: Connection,
    server: str | None,
    target: str,
    assignments: Assignments,
    need: PendingRows,
) -> BaseTarget:
    if target.startswith(DELTA):
        from aiquery.updates.targets.delta import DeltaTarget

        return DeltaTarget(con, target.removeprefix(DELTA), assignments, need)
    if server is not None:
        from aiquery.updates.targets.postgres import PostgresTarget

        return PostgresTarget(con, server, target, assignments, need)
    from aiquery.updates.targets.duckdb import DuckDBTarget

    return DuckDBTarget(con, target, assignments, need)


def _update(
    con: Connection, text: str, rows: BaseTarget, every: int, seconds: float
) -> UpdateResult:
    report = UpdateResult()
    with con.single_run(text) as stats:
        try:
            run(rows, rows.assignments.columns(), report, every, seconds)
            report.stopped, report.left = rows.stopped(), rows.left()
        finally:
            rows.close()
            done = stats.progress(time.time())
            report.requests, report.cost_usd = done.attempts, done.cost_usd or 0.0
    return report


def _connection(
    on: Any, config: Any, budget: Mapping[str, float | str] | None
) -> Connection:
    if isinstance(on, Connection):
        if config is not None:
            raise ArgumentError(
                "a connection has its own configuration; open it with aiquery.connect(.., config)."
            )
        return Connection(on.raw.cursor(), _bounded(on.config, budget))
    if on is None or isinstance(on, str | Path):
        return connect(
            ":memory:" if on is None else on,
            _bounded(configuration.load(config), budget),
        )
    raise ArgumentError(
        f"on takes a database file, postgresql://.., an aiquery connection or a SparkSession, not {type(on).__name__}."
    )


def _bounded(config: Config, budget: Mapping[str, float | str] | None) -> Config:
    """Rows beyond the budget are NULL, and so are left: nothing that was answered is lost with them."""
    bounded = config.with_budget(**(budget or {}))
    return bounded.with_budget(on_budget="null") if bounded.budget.is_set else config
