"""``aiquery.update``: fill columns of a table with answers."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Literal, TypeAlias

from aiquery import config as configuration
from aiquery.engines.duckdb.connect import connect
from aiquery.engines.duckdb.connection import Connection
from aiquery.errors import ArgumentError
from aiquery.renamed import reject_renamed
from aiquery.updates.assignments import Assignments, translate_condition
from aiquery.updates.loop import CommitPolicy, run_update
from aiquery.updates.pending_rows import PendingRows
from aiquery.updates.result import UpdateResult

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import SparkSession

    from aiquery.config.settings import Config
    from aiquery.updates.targets.base import BaseTarget

    Database: TypeAlias = str | os.PathLike[str] | Connection | SparkSession | None

DELTA = "delta:"
POSTGRES = ("postgresql://", "postgres://")
COMMIT_ROWS = 10_000
COMMIT_ROWS_ON_SPARK = 100_000


@reject_renamed(
    on="database",
    every="commit_every_rows",
    seconds="commit_every_seconds",
    refresh="refresh_changed (True or False)",
)
def update(  # noqa: PLR0913  one parameter per question
    target: str,
    set: str | Mapping[str, str] | Sequence[str],  # noqa: A002  SQL's word
    *,
    key: str | Sequence[str],
    where: str | None = None,
    source: str | None = None,
    database: Database = None,
    refresh_changed: bool = False,
    commit_every_rows: int | None = None,
    commit_every_seconds: float = 30.0,
    config: configuration.ConfigLike | None = None,
    budget: Mapping[str, float | str] | None = None,
    dialect: Literal["duckdb", "databricks"] = "duckdb",
) -> UpdateResult:
    """Fill columns of a table with answers: only for the rows that need one, committing as it goes.

    A second call goes on where the first one stopped, also after ``kill -9``: answers so far are in the cache.

    Parameters
    ----------
    target
        A table of ``database``; or ``delta:PATH``, a Delta table that DuckDB reads and ``deltalake`` writes.
    set
        ``"sentiment = ai_query(..)"``, several such texts, or a mapping from column to expression. A failed call leaves
        its row unchanged; the next update requests it again.
    key
        The column, or columns, that identify a row. Rows whose key is NULL are not updated.
    where
        Which rows need an answer, e.g. ``sentiment IS NULL AND length(message) > 50``. Default: all.
    source
        A table or file, or a query in parentheses, with new rows: those whose key ``target`` does not have are
        inserted, with the columns of ``key`` and ``set``.
    database
        A DuckDB database file, a connection of ``aiquery.connect``, ``postgresql://..``, or a SparkSession. Default: a
        database in memory. ``where`` and ``source`` are SQL of that server, ``set`` is DuckDB's.
    refresh_changed
        True: rows whose expression, model or values changed since their answer need one too. The column ``aiquery_key``
        of ``target``, which is added, stores what an answer was made from.
    commit_every_rows
        Commit after this many rows. Default: 10,000; on Spark 100,000.
    commit_every_seconds
        Or after this many seconds, whichever comes first (not on Spark).
    config
        A mapping, the path of a TOML file, JSON text, or a ``Config``; not for a connection or session, which has its
        own.
    budget
        Settings of ``[budget]``: when one is reached, answers so far are committed, and the other rows are left.
    dialect
        The SQL of ``set`` and ``where``: ``duckdb`` or ``databricks`` (on Spark always ``databricks``).

    Returns
    -------
    UpdateResult
        Rows updated, failed and left; requests, cost, and the limit of the budget that was reached.

    Raises
    ------
    ArgumentError
        A text does not parse, or arguments do not fit together.
    ConfigError
        Before any request is sent.
    DatabaseError
        Postgres rejected a statement. DuckDB, Delta and Spark raise their own errors. Answers before an error are
        committed.

    Examples
    --------
    >>> import aiquery
    >>> con = aiquery.connect(config={"endpoints": {"m": {"provider": "fake"}}})
    >>> con.sql("CREATE TABLE t AS SELECT 1 AS id, 'hi' AS message, NULL::VARCHAR AS reply")
    >>> result = aiquery.update("t", "reply = ai_query('m', message)", key="id", database=con)
    >>> (result.updated, con.sql("SELECT reply FROM t").fetchall())
    (1, [('echo: hi',)])
    """
    keys = [key] if isinstance(key, str) else list(key)
    pending = PendingRows(
        keys=keys, where=where, source=source, refresh_changed=refresh_changed
    )
    if _is_spark(database):
        if config is not None or budget is not None:
            raise ArgumentError(
                "a Spark session has its own configuration; set it with aiquery.register(spark, config)."
            )
        from aiquery.updates.targets.spark import update_on_spark

        assignments = Assignments.read(set, "databricks")
        rows = commit_every_rows or COMMIT_ROWS_ON_SPARK
        return update_on_spark(database, target, assignments, pending, rows)
    assignments = Assignments.read(set, dialect).to_duckdb()
    if where:
        pending = pending.with_condition(translate_condition(where, dialect))
    policy = CommitPolicy(commit_every_rows or COMMIT_ROWS, commit_every_seconds)
    server = (
        database
        if isinstance(database, str) and database.startswith(POSTGRES)
        else None
    )
    local = None if server is not None else database
    text = f'UPDATE "{target}" SET {assignments}'
    with _open(local, config, budget) as con:
        rows_of_target = _open_target(con, server, target, assignments, pending)
        return _update(con, text, rows_of_target, policy)


def _is_spark(database: object) -> bool:
    return type(database).__module__.startswith("pyspark.")


def _open_target(
    con: Connection,
    server: str | None,
    target: str,
    assignments: Assignments,
    pending: PendingRows,
) -> BaseTarget:
    if target.startswith(DELTA):
        from aiquery.updates.targets.delta import DeltaTarget

        return DeltaTarget(con, target.removeprefix(DELTA), assignments, pending)
    if server is not None:
        from aiquery.updates.targets.postgres import PostgresTarget

        return PostgresTarget(con, server, target, assignments, pending)
    from aiquery.updates.targets.duckdb import DuckDBTarget

    return DuckDBTarget(con, target, assignments, pending)


def _update(
    con: Connection, text: str, target: BaseTarget, policy: CommitPolicy
) -> UpdateResult:
    result = UpdateResult()
    # Cursors made from here on count for this run, so the target's threads do too.
    with con.single_run(text) as stats:
        try:
            run_update(target, target.assignments.columns(), result, policy)
            result.stopped = target.stopped()
            result.left = target.count_left()
        finally:
            target.close()
            progress = stats.progress(time.time())
            result.requests = progress.attempts
            result.cost_usd = progress.cost_usd or 0.0
    return result


def _open(
    database: Database,
    config: configuration.ConfigLike | None,
    budget: Mapping[str, float | str] | None,
) -> Connection:
    if isinstance(database, Connection):
        if config is not None:
            raise ArgumentError(
                "a connection has its own configuration; open it with aiquery.connect(.., config)."
            )
        return Connection(database.raw.cursor(), _with_budget(database.config, budget))
    loaded = _with_budget(configuration.load(config), budget)
    if database is None:
        return connect(":memory:", loaded)
    if isinstance(database, str | os.PathLike):
        return connect(database, loaded)
    raise ArgumentError(
        "database takes a database file, postgresql://.., an aiquery connection or a SparkSession, not "
        f"{type(database).__name__}."
    )


def _with_budget(config: Config, budget: Mapping[str, float | str] | None) -> Config:
    """Return the configuration with the budget; rows beyond it are NULL and left, so no answer is lost with them."""
    bounded = config.with_budget(**(budget or {}))
    if not bounded.budget.is_set:
        return config
    return bounded.with_budget(on_budget="null")
