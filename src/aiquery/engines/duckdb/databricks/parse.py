"""Parse a text of Databricks SQL into statements of DuckDB.

A statement that needs the session, because it reads a variable or is run in several steps, has its ``source`` and is
translated when it runs.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlglot import exp
from sqlglot.errors import SqlglotError, UnsupportedError

from aiquery.engines.duckdb.databricks.bindings import has_positions
from aiquery.engines.duckdb.delta.write import find_write
from aiquery.engines.duckdb.statements import (
    ParsedStatement,
    explain,
    find_query,
)
from aiquery.errors import StatementError
from aiquery.sql.databricks.fallbacks import NONE, Fallbacks
from aiquery.sql.databricks.identifier_clause import find_clauses, put_names
from aiquery.sql.databricks.positions import RefusedHere, with_position
from aiquery.sql.databricks.read import SESSION_STATEMENTS, Answered, read_statement
from aiquery.sql.databricks.source import split_statements
from aiquery.sql.databricks.sqlglot_log import without_log
from aiquery.sql.databricks.statements.variables import (
    DeclareVariables,
    find_references,
)
from aiquery.sql.databricks.translate import to_duckdb_dialect
from aiquery.sql.delta_paths import find_paths

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from aiquery.sql.databricks.source import Source

_CONVERTED = exp.Insert | exp.Update | exp.Merge
"""Statements whose values are converted to the types of a table, which only the session knows."""

_PLACEHOLDER = "identifier"
_CLASS = re.compile(r"Required keyword: '(\w+)' missing for <class '[\w.]*?(\w+)'>")
_EXPLAIN_WORDS = ("EXTENDED", "FORMATTED", "CODEGEN", "COST", "ANALYZE")


def parse_databricks_statements(
    text: str, *, may_ask: bool, declared: Iterable[str] = ()
) -> list[ParsedStatement]:
    """Return the statements of a text; ``declared`` are the variables of the session.

    Raises ``StatementError`` with the position of an error.
    """
    names = set(declared)
    statements: list[ParsedStatement] = []
    with without_log(), positions(text):
        for source in split_statements(text):
            statements.extend(_parse(source, names, may_ask=may_ask))
    return statements


def _parse(
    source: Source, declared: set[str], *, may_ask: bool
) -> Iterator[ParsedStatement]:
    body, is_explained = without_explain(source)
    if is_explained:
        for statement in _parse(body, declared, may_ask=may_ask):
            if statement.source is not None:
                yield replace(statement, source=source)
            else:
                yield explain(statement, "EXPLAIN ")
        return
    clauses = find_clauses(source)
    literals = [clause.literal for clause in clauses]
    names = [_PLACEHOLDER if name is None else name for name in literals]
    named = put_names(source, clauses, names)
    read = read_statement(named)
    if isinstance(read, DeclareVariables):
        declared.update(read.names)
    needs_session = (
        None in literals
        or has_positions(source)
        or (isinstance(read, _CONVERTED) and find_write(read) is None)
        or isinstance(read, SESSION_STATEMENTS)
        or (isinstance(read, exp.Expr) and find_references(read, declared))
    )
    if needs_session:
        yield ParsedStatement(sql="", source=source, text=source.text)
    else:
        yield from translate(read, source.text, may_ask=may_ask)


def without_explain(source: Source) -> tuple[Source, bool]:
    """Return the statement of an EXPLAIN, and True; any other statement itself, and False."""
    if not source.begins_with("EXPLAIN"):
        return source, False
    if not source.after(1).tokens:
        raise StatementError("EXPLAIN: there is no statement to explain.")
    has_option = len(source.words) > 1 and source.words[1] in _EXPLAIN_WORDS
    return source.after(2 if has_option else 1), True


def translate(
    read: Any, text: str, *, may_ask: bool, fallbacks: Fallbacks = NONE
) -> Iterator[ParsedStatement]:
    """Yield the statements of DuckDB of one that was read; ``text`` is what the user wrote.

    Each statement has a function that returns it with other ``fallbacks``.
    """
    if isinstance(read, Answered):
        yield ParsedStatement(sql=read.sql, is_planned_only=True, text=text)
        return
    write = find_write(read)
    tree = write.query if write else read
    for index, sql in enumerate(to_duckdb_dialect(tree, fallbacks=fallbacks)):
        yield replace(
            find_query(sql, may_ask=may_ask),
            reads=find_paths(tree),
            writes=write,
            text=text,
            translate_again=partial(_translate_again, read, text, index),
        )


def _translate_again(
    read: Any, text: str, index: int, fallbacks: Fallbacks
) -> ParsedStatement:
    with without_log():
        made = list(translate(read, text, may_ask=True, fallbacks=fallbacks))
    return made[index]


@contextmanager
def positions(text: str) -> Iterator[None]:
    """Raise the errors of sqlglot and of the translation as ``StatementError``, with their place in the text."""
    try:
        yield
    except RefusedHere as error:
        if error.start is None:
            raise StatementError(error.message) from None
        raise StatementError(with_position(error.message, text, error.start)) from None
    except UnsupportedError as error:
        raise StatementError(f"DuckDB cannot run this statement: {error}") from None
    except SqlglotError as error:
        message = "the statement does not parse as Databricks SQL"
        raise StatementError(_describe(error, message, text)) from None


def _describe(error: SqlglotError, message: str, text: str) -> str:
    details = getattr(error, "errors", None)
    if not details:
        return f"{message}: {error}"
    first = details[0]
    what = str(first.get("description")).split(" but got <Token", maxsplit=1)[0]
    what = _CLASS.sub(lambda match: f"a part of {match[2]} is missing", what)
    message = f"{message}: {what}"
    highlight = first.get("highlight") or ""
    lines = text.split("\n")
    line, last = first.get("line"), first.get("col")
    if not line or last is None:
        return message
    start = sum(len(one) + 1 for one in lines[: line - 1]) + last - len(highlight)
    return with_position(message, text, max(start, 0))
