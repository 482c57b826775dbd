"""Parse a text into statements, and rewrite the query of each before DuckDB runs it.

Only the query of a statement is rewritten (``query_parts``, ``planning``), by DuckDB's own parser and printer; the rest
of the text stays the user's. A statement without AI functions is not touched, nor one whose rewritten query would not
parse to the intended tree.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import duckdb

from aiquery.engines.duckdb import syntax
from aiquery.engines.duckdb.planning import (
    plan_query,
    with_barriers,
    with_definitions,
    with_where_aliases,
)
from aiquery.engines.duckdb.query_parts import find_parts
from aiquery.engines.duckdb.syntax import mentions_ai
from aiquery.errors import StatementError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aiquery.engines.duckdb.catalog import Catalog
    from aiquery.engines.duckdb.delta.merge import DeltaMerge
    from aiquery.engines.duckdb.delta.write import DeltaWrite
    from aiquery.engines.duckdb.query_parts import Parts
    from aiquery.sql.databricks.fallbacks import Fallbacks
    from aiquery.sql.databricks.source import Source

_ANALYZE = re.compile(r"\bexplain\s*(?:\(\s*)?analyze\b", re.IGNORECASE)
_EXPLAIN = re.compile(
    r"\s*explain\s+(?:(?:extended|formatted|codegen|cost|analyze)\s+)?", re.IGNORECASE
)
_PREPARE = re.compile(
    r"""\s*prepare\s+(?:"[^"]*"|[^\s"(]+)\s*(?:\([^)]*\)\s*)?as\s""", re.IGNORECASE
)
_TRY = re.compile(r"\btry\b", re.IGNORECASE)
_STORED = re.compile(
    r"\s*create\s+(or\s+replace\s+)?(temp\w*\s+|unlogged\s+)?(table|view|macro|function)\b",
    re.IGNORECASE,
)
"""A statement that only stores its text, unless it makes a table of a query."""


@dataclass(kw_only=True, frozen=True, slots=True)
class ParsedStatement:
    """One statement.

    sql               the text that DuckDB runs
    parts             its query and the text around it; None if it calls no AI function, or if the query was not found
    query             the query as it is run, without barriers; None before ``plan``
    original          the text before ``plan`` rewrote it
    is_planned_only   it sends no request: EXPLAIN, PREPARE, CREATE VIEW
    reads, writes     Delta tables by path
    explained, head   the statement of an EXPLAIN that calls AI functions, and the text before it
    text              what the user wrote, if that is another dialect
    translate_again   returns it with fallbacks, for when DuckDB does not bind it; None for DuckDB's SQL
    source            the same before it is translated, which is done when it runs; then ``sql`` is empty
    """

    sql: str
    query: syntax.Tree | None = None
    parts: Parts | None = None
    original: str | None = None
    is_planned_only: bool = False
    reads: tuple[str, ...] = ()
    writes: DeltaWrite | DeltaMerge | None = None
    explained: ParsedStatement | None = None
    head: str = ""
    text: str = ""
    translate_again: Callable[[Fallbacks], ParsedStatement] | None = None
    source: Source | None = None

    @property
    def dialect(self) -> Literal["duckdb", "databricks"]:
        """The dialect of what the user wrote."""
        return "databricks" if self.text else "duckdb"

    @property
    def mentions_try(self) -> bool:
        """True if TRY is somewhere in it: then a failed row may fail nothing."""
        return _TRY.search(self.sql) is not None


@contextmanager
def too_deep() -> Iterator[None]:
    """Raise ``StatementError`` for a statement that is nested deeper than Python's stack."""
    try:
        yield
    except RecursionError:
        raise StatementError(
            "the statement is nested too deep: expressions, parentheses, CASE or subqueries; split it into several."
        ) from None


def parse_statements(text: str, *, may_ask: bool) -> Iterator[ParsedStatement]:
    """Yield the statements of ``text``; their queries are looked for if the text may call AI functions.

    Raises ``StatementError`` with the position of an error.
    """
    try:
        statements = duckdb.extract_statements(text)
    except duckdb.ParserException as error:
        raise StatementError(f"the statement does not parse: {error}") from None
    for statement in statements:
        yield _parse_duckdb(statement, may_ask=may_ask)


def _parse_duckdb(statement: duckdb.Statement, *, may_ask: bool) -> ParsedStatement:
    sql = statement.query
    is_explain = statement.type.name in {"EXPLAIN", "PREPARE"}
    prepare = _PREPARE.match(sql) if may_ask else None
    if prepare is not None:
        return _parse_prepared(sql, prepare.end())
    if is_explain and not _ANALYZE.search(sql):
        return _parse_explained(sql, may_ask=may_ask)
    return find_query(sql, may_ask=may_ask)


def find_query(sql: str, *, may_ask: bool) -> ParsedStatement:
    """Return a statement of DuckDB's dialect, with its query if that may call AI functions."""
    if not may_ask:
        return ParsedStatement(sql=sql)
    parts = find_parts(sql)
    if parts is None:
        is_stored = mentions_ai(sql) and _STORED.match(sql) is not None
        return ParsedStatement(sql=sql, is_planned_only=is_stored)
    return ParsedStatement(sql=sql, parts=parts)


def _parse_prepared(sql: str, start: int) -> ParsedStatement:
    """Return a PREPARE; its calls are made when it is executed."""
    parts = find_parts(sql[start:])
    if parts is not None:
        parts = replace(parts, head=sql[:start] + parts.head)
    return ParsedStatement(sql=sql, parts=parts, is_planned_only=True)


def plan(parsed: ParsedStatement, catalog: Catalog) -> ParsedStatement:
    """Return a statement with its query as it is run, on a connection with the names of ``catalog``.

    Raises ``ArgumentError`` for a call that cannot be run.
    """
    if parsed.explained is not None:
        explained = plan(parsed.explained, catalog)
        return replace(parsed, sql=f"{parsed.head}{explained.sql}", explained=explained)
    parts = parsed.parts
    if parts is None:
        return parsed
    written = with_definitions(parts.query, parsed.sql, catalog)
    if not syntax.find_calls(written):
        return replace(parsed, parts=None)
    try:
        named = with_where_aliases(written, catalog)
        query = plan_query(named, is_executed_later=parsed.is_planned_only)
        executed = with_barriers(query, catalog)
        text = parts.sql(executed)
    except syntax.NotPrintable:
        return replace(parsed, parts=None)
    is_unchanged = syntax.canonical(executed) == syntax.canonical(parts.query)
    return replace(
        parsed,
        sql=parsed.sql if is_unchanged else text,
        query=query,
        original=parsed.sql,
    )


def _parse_explained(sql: str, *, may_ask: bool) -> ParsedStatement:
    head = _EXPLAIN.match(sql)
    body = "" if head is None else sql[head.end() :]
    if not may_ask or not body or body.startswith("("):
        return ParsedStatement(sql=sql, is_planned_only=True)
    (statement,) = parse_statements(body, may_ask=may_ask)
    return explain(statement, sql[: -len(body)])


def explain(statement: ParsedStatement, head: str) -> ParsedStatement:
    """Return the EXPLAIN of a statement, which sends no request; ``head`` is the text before it."""
    return ParsedStatement(
        sql=f"{head}{statement.sql}",
        head=head,
        is_planned_only=True,
        reads=statement.reads,
        explained=None if statement.parts is None else statement,
    )
