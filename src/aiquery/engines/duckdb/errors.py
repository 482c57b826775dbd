"""Errors of a statement: ours are raised where DuckDB passes on only their text."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import duckdb

from aiquery.engines.duckdb.syntax import describe_not_constant, nodes
from aiquery.errors import AIQueryError, ArgumentError, StatementError, copy_error
from aiquery.tracking.run import RENAMED_FIGURES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiquery.engines.duckdb.binding import Statement
    from aiquery.engines.duckdb.catalog import Catalog
    from aiquery.engines.duckdb.statements import ParsedStatement
    from aiquery.engines.duckdb.syntax import Tree
    from aiquery.inference.client import Client

_NOT_CONSTANT = 'argument in function "from_json_strict" must be a constant'


@contextmanager
def translate_errors(
    client: Client, statement: Statement, query: Tree | None
) -> Iterator[None]:
    """Cancel the statement's requests if it fails, and raise our own error or KeyboardInterrupt."""
    try:
        yield
    except KeyboardInterrupt:
        client.cancel(statement.context)
        raise
    except (duckdb.Error, RuntimeError) as error:
        # DuckDB raises RuntimeError if it saw the signal itself.
        client.cancel(statement.context)
        ours = _translate(error, statement, query)
        if ours is None:
            raise
        raise ours from None


def _translate(
    error: Exception, statement: Statement, query: Tree | None
) -> BaseException | None:
    """Return the error to raise instead of DuckDB's, or None to raise DuckDB's own."""
    text = str(error)
    if "UDF: KeyboardInterrupt" in text or "Query interrupted" in text:
        return KeyboardInterrupt()
    if statement.interrupted:
        return duckdb.InterruptException("INTERRUPT Error: Interrupted!")
    ours = statement.find_error(text)
    if ours is not None:
        return copy_error(ours)
    return _reword(error, text, statement, query)


def _reword(
    error: Exception, text: str, statement: Statement, query: Tree | None
) -> AIQueryError | None:
    """Return an error that names the fix, for an error of DuckDB that a user cannot understand."""
    if _NOT_CONSTANT in text:
        described = describe_not_constant(query)
        return ArgumentError(described or f"an argument must be a constant. {error}")
    if isinstance(error, duckdb.BinderException) and "aiquery_runs" in statement.text:
        return _find_renamed_column(text)
    if isinstance(error, duckdb.ParserException):
        return StatementError(f"the statement does not parse: {error}")
    return None


def _find_renamed_column(text: str) -> StatementError | None:
    for old, new in RENAMED_FIGURES.items():
        if f'"{old}"' in text:
            return StatementError(
                f"the column {old!r} of aiquery_runs() is now called {new!r}."
            )
    return None


def stops_on_error(parsed: ParsedStatement, catalog: Catalog) -> bool:
    """Return True if one failed row fails the whole statement: no call is in TRY."""
    if parsed.query is None or parsed.is_planned_only or parsed.mentions_try:
        return False
    trees = catalog.expand(parsed.query)
    if trees is None:
        return False
    return not any(
        node["type"] == "OPERATOR_TRY" for tree in trees for node in nodes(tree)
    )
