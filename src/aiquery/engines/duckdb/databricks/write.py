"""Statements that replace rows: the new rows are computed first, and written in one transaction with the deletion."""

from __future__ import annotations

import re
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import duckdb
from sqlglot import exp

from aiquery.engines.duckdb.databricks.store_assignment import BY_NAME, insert_rows
from aiquery.engines.duckdb.snapshot import is_in_transaction
from aiquery.errors import StatementError
from aiquery.requests.sql_types import quote_name
from aiquery.sql.databricks.tables import use_main
from aiquery.sql.databricks.translate import expression_to_duckdb

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlglot.expressions import Expr

    from aiquery.engines.duckdb.databricks.bindings import Bindings
    from aiquery.engines.duckdb.databricks.session import DatabricksSession
    from aiquery.engines.duckdb.databricks.store_assignment import Columns
    from aiquery.sql.databricks.statements.overwrite import Overwrite

_NAMED = re.compile(r":aiquery_\d+")
"""The name that a ``?`` has."""

STAGED = "aiquery_staged"
"""The temporary table of the new rows."""

_TYPED = "aiquery_typed"
"""The same rows with the names and types of the target's columns."""


def overwrite(
    session: DatabricksSession, statement: Overwrite, bindings: Bindings
) -> None:
    """Write the rows of a statement. If it fails, the table is as it was."""
    statement = _resolve(session, statement, bindings)
    table = statement.table.copy()
    use_main(table)
    target = table.sql("duckdb")
    with stage(session, _with_partition(statement), bindings):
        columns = _columns(session.raw, statement, target)
        source = STAGED
        if statement.condition is not None or statement.using:
            _type_rows(session, target, columns)
            columns, source = None, _TYPED
        _check_condition(session, statement, bindings)
        with one_transaction(session.raw):
            if statement.deletes:
                values = [value for _, value in statement.partition]
                params = _params(bindings, statement.condition, *values)
                session.execute(_delete(statement, target), params=params)
            insert_rows(session, table, source, columns)


def _resolve(
    session: DatabricksSession, statement: Overwrite, bindings: Bindings
) -> Overwrite:
    """Return a statement whose condition and partition have the variables of the session."""
    condition = statement.condition
    if condition is not None:
        where = condition
        if isinstance(condition, exp.Where):
            where = condition.this
        probe = exp.select("*").from_(statement.table.copy()).where(where.copy())
        condition = session.mark(probe, bindings).args["where"].this
    partition = tuple(
        (
            name,
            value and session.mark(exp.select(value.copy()), bindings).expressions[0],
        )
        for name, value in statement.partition
    )
    return replace(statement, condition=condition, partition=partition)


def _params(bindings: Bindings, *parts: Expr | None) -> object:
    """Return the user's parameters that some expressions have."""
    present = [one.copy() for one in parts if one is not None]
    return bindings.used_by(exp.Tuple(expressions=present))


@contextmanager
def stage(
    session: DatabricksSession, query: Expr, bindings: Bindings
) -> Iterator[None]:
    """Compute the rows of a query into the table ``STAGED`` while the block runs."""
    try:
        session.query(
            query, bindings, head=f"CREATE OR REPLACE TEMP TABLE {STAGED} AS "
        )
        yield
    finally:
        with suppress(duckdb.TransactionException):  # the user's, which an error ended
            session.raw.execute(f"DROP TABLE IF EXISTS {STAGED}")
            session.raw.execute(f"DROP TABLE IF EXISTS {_TYPED}")


@contextmanager
def one_transaction(raw: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Commit what the block writes, or nothing of it; within the user's own transaction that is the user's task."""
    if is_in_transaction(raw):
        yield
        return
    raw.execute("BEGIN TRANSACTION")
    try:
        yield
    except BaseException:
        raw.execute("ROLLBACK")
        raise
    raw.execute("COMMIT")


def _with_partition(statement: Overwrite) -> Expr:
    """Return the query with the values of the static partition as further columns."""
    values = [
        exp.alias_(value.copy(), name, quoted=True)
        for name, value in statement.partition
        if value is not None
    ]
    if not values:
        return statement.query
    rows = statement.query.copy()
    source = (
        exp.alias_(exp.paren(rows), "q")
        if not isinstance(rows, exp.Query)
        else rows.subquery("q")
    )
    return exp.select(
        exp.Column(this=exp.Star(), table=exp.to_identifier("q")), *values
    ).from_(source)


def _columns(
    raw: duckdb.DuckDBPyConnection, statement: Overwrite, target: str
) -> Columns:
    """Return the columns that the rows fill."""
    if statement.is_by_name:
        return BY_NAME
    names = statement.columns
    last = [name for name, value in statement.partition if value is not None]
    dynamic = [name for name, value in statement.partition if value is None]
    if statement.partition and names is None:
        described = raw.execute(f"DESCRIBE {target}").fetchall()
        partition = {name.lower() for name, _ in statement.partition}
        plain = [
            str(row[0]) for row in described if str(row[0]).lower() not in partition
        ]
        names = (*plain, *dynamic)
    return None if names is None else (*names, *last)


def _delete(statement: Overwrite, target: str) -> str:
    conditions = [
        f"{quote_name(name)} = {expression_to_duckdb(value).sql('duckdb')}"
        for name, value in statement.partition
        if value is not None
    ]
    if statement.condition is not None:
        conditions.append(
            f"({expression_to_duckdb(statement.condition).sql('duckdb')})"
        )
    if statement.using:
        names = ", ".join(map(quote_name, statement.using))
        conditions.append(f"({names}) IN (SELECT {names} FROM {_TYPED})")
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return f"DELETE FROM {target}{where}"


def _type_rows(session: DatabricksSession, target: str, columns: Columns) -> None:
    """Copy the new rows into ``_TYPED``, which has the columns of the target."""
    session.execute(f"CREATE OR REPLACE TEMP TABLE {_TYPED} AS FROM {target} LIMIT 0")
    insert_rows(session, exp.to_table(_TYPED), STAGED, columns)


def _check_condition(
    session: DatabricksSession, statement: Overwrite, bindings: Bindings
) -> None:
    """Raise ``StatementError`` if a new row does not have the condition of REPLACE WHERE."""
    if statement.condition is None:
        return
    condition = expression_to_duckdb(statement.condition).sql("duckdb")
    query = f"SELECT count(*) FROM {_TYPED} WHERE ({condition}) IS NOT TRUE"
    params = _params(bindings, statement.condition)
    count = session.execute(query, params=params)[0][0]
    if count:
        text = _NAMED.sub("?", statement.condition.sql("databricks"))
        raise StatementError(
            f"REPLACE WHERE {text}: {count} new rows do not have this condition; nothing was changed. "
            "(DELTA_REPLACE_WHERE_MISMATCH)"
        )
