"""Parse a text into statements, and rewrite the query of each before DuckDB runs it.

Only the query of a statement is rewritten (``query_parts``, ``planning``), by DuckDB's own parser and printer; the rest
of the text stays the user's. A statement without AI functions is not touched, nor one whose rewritten query would not
parse to the intended tree.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import duckdb
from sqlglot import ErrorLevel, exp, parse
from sqlglot.errors import SqlglotError

from aiquery.engines.duckdb import syntax
from aiquery.engines.duckdb.delta.write import find_write
from aiquery.engines.duckdb.planning import plan_query
from aiquery.engines.duckdb.query_parts import find_parts
from aiquery.engines.duckdb.syntax import mentions_ai
from aiquery.errors import ArgumentError, StatementError
from aiquery.sql.databricks import to_duckdb_dialect
from aiquery.sql.delta_paths import find_paths
from aiquery.sql.dialects import DatabricksSQL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiquery.engines.duckdb.delta.merge import DeltaMerge
    from aiquery.engines.duckdb.delta.write import DeltaWrite
    from aiquery.engines.duckdb.query_parts import Parts

_ANALYZE = re.compile(r"\bexplain\s*(?:\(\s*)?analyze\b", re.IGNORECASE)
_EXPLAIN = re.compile(
    r"\s*explain\s+(?:(?:extended|formatted|codegen|cost|analyze)\s+)?", re.IGNORECASE
)
_TRY = re.compile(r"\btry\b", re.IGNORECASE)
_STORED = re.compile(
    r"\s*create\s+(or\s+replace\s+)?(temp\w*\s+|unlogged\s+)?(table|view|macro|function)\b",
    re.IGNORECASE,
)
"""A statement that only stores its text, unless it makes a table of a query."""

CONTEXT_CHARACTERS = 40


@dataclass(kw_only=True, frozen=True, slots=True)
class ParsedStatement:
    """One statement.

    sql               the text that DuckDB runs
    query, parts      its query as it is run, and the text around it; None if it calls no AI function, or if the query
                      was not found
    original          the text before it was rewritten
    is_planned_only   it sends no request: EXPLAIN, PREPARE, CREATE VIEW
    reads, writes     Delta tables by path
    explained         the statement of an EXPLAIN that calls AI functions
    text              what the user wrote, if that is another dialect
    """

    sql: str
    query: syntax.Tree | None = None
    parts: Parts | None = None
    original: str | None = None
    is_planned_only: bool = False
    reads: tuple[str, ...] = ()
    writes: DeltaWrite | DeltaMerge | None = None
    explained: ParsedStatement | None = None
    text: str = ""

    @property
    def dialect(self) -> Literal["duckdb", "databricks"]:
        """The dialect of what the user wrote."""
        return "databricks" if self.text else "duckdb"

    @property
    def mentions_try(self) -> bool:
        """True if TRY is somewhere in it: then a failed row may fail nothing."""
        return _TRY.search(self.sql) is not None


def parse_statements(text: str, dialect: str) -> Iterator[ParsedStatement]:
    """Yield the statements of ``text``, rewritten.

    Raises ``StatementError`` with the position of an error, and ``ArgumentError`` for an unknown dialect.
    """
    if dialect not in {"duckdb", "databricks"}:
        raise ArgumentError(
            f"dialect {dialect!r} is not known; use 'duckdb' or 'databricks'."
        )
    try:
        if dialect == "databricks":
            yield from _parse_databricks(text)
        else:
            yield from _parse_all_duckdb(text)
    except RecursionError:
        raise StatementError(
            "the statement is nested too deep: expressions, parentheses, CASE or subqueries; split it into several."
        ) from None


def _parse_all_duckdb(text: str) -> Iterator[ParsedStatement]:
    try:
        statements = duckdb.extract_statements(text)
    except duckdb.ParserException as error:
        raise StatementError(f"the statement does not parse: {error}") from None
    for statement in statements:
        yield _parse_duckdb(statement)


def _parse_duckdb(statement: duckdb.Statement) -> ParsedStatement:
    sql = statement.query
    is_explain = statement.type.name in {"EXPLAIN", "PREPARE"}
    if is_explain and not _ANALYZE.search(sql):
        return ParsedStatement(
            sql=sql, is_planned_only=True, explained=_parse_explained(sql)
        )
    return _rewrite(sql)


def _rewrite(sql: str) -> ParsedStatement:
    """Return a statement of DuckDB's dialect, rewritten if it calls AI functions and its query is found."""
    if not mentions_ai(sql):
        return ParsedStatement(sql=sql)
    parts = find_parts(sql)
    if parts is None:
        return ParsedStatement(sql=sql, is_planned_only=_STORED.match(sql) is not None)
    if not syntax.find_calls(parts.query):
        return ParsedStatement(sql=sql)
    try:
        query = plan_query(parts.query)
        text = parts.sql(query)
    except syntax.NotPrintable:
        return ParsedStatement(sql=sql)
    is_unchanged = syntax.canonical(query) == syntax.canonical(parts.query)
    return ParsedStatement(
        sql=sql if is_unchanged else text, query=query, parts=parts, original=sql
    )


def _parse_explained(sql: str) -> ParsedStatement | None:
    explain = _EXPLAIN.match(sql)
    if explain is None or not mentions_ai(sql):
        return None
    body = sql[explain.end() :]
    if body.startswith("("):
        return None
    (statement,) = parse_statements(body, "duckdb")
    return statement


def _parse_databricks(text: str) -> Iterator[ParsedStatement]:
    explain = _EXPLAIN.match(text)
    body = text[explain.end() :] if explain else text
    try:
        trees = parse(body, read=DatabricksSQL, error_level=ErrorLevel.IMMEDIATE)
        statements = [
            statement
            for tree in trees
            if tree is not None and not isinstance(tree, exp.Semicolon)
            for statement in _translate(tree)
        ]
    except SqlglotError as error:
        position = _describe_position(error)
        raise StatementError(
            f"the statement does not parse as Databricks SQL: {position}"
        ) from None
    for statement in statements:
        yield _explain(statement) if explain else statement


def _translate(tree: exp.Expr) -> Iterator[ParsedStatement]:
    write = find_write(tree)
    for translated in to_duckdb_dialect(write.query if write else tree):
        yield replace(
            _rewrite(translated.sql("duckdb")),
            reads=find_paths(translated),
            writes=write,
            text=tree.sql(DatabricksSQL),
        )


def _explain(statement: ParsedStatement) -> ParsedStatement:
    return ParsedStatement(
        sql=f"EXPLAIN {statement.sql}",
        is_planned_only=True,
        reads=statement.reads,
        explained=None if statement.query is None else statement,
    )


def _describe_position(error: Exception) -> str:
    details = getattr(error, "errors", None)
    if not details:
        return str(error)
    first = details[0]
    before = (first.get("start_context") or "")[-CONTEXT_CHARACTERS:]
    at = first.get("highlight") or ""
    after = (first.get("end_context") or "")[:CONTEXT_CHARACTERS]
    shown = f"{before}>>{at}<<{after}".replace("\n", " ")
    where = f"line {first.get('line')}, column {first.get('col')}"
    return f"{where}: {first.get('description')} near: {shown}"
