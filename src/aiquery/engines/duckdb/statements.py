"""Statements of a text, and what of each is rewritten before DuckDB runs it.

Only the query of a statement is rewritten (``parts``, ``rewrites``), by DuckDB's own parser and printer; the rest of
the text stays the user's. A statement without AI functions is never touched, nor one whose rewritten query would not
parse to the tree that was meant.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sqlglot import ErrorLevel, exp, parse
from sqlglot.errors import ParseError, TokenError

import duckdb
from aiquery.engines.duckdb import syntax
from aiquery.engines.duckdb.delta.write import written
from aiquery.engines.duckdb.planning import rewritten
from aiquery.engines.duckdb.query_parts import parts_of
from aiquery.engines.duckdb.syntax import mentions_ai
from aiquery.errors import ArgumentError, StatementError
from aiquery.sql.databricks import to_duckdb_dialect
from aiquery.sql.delta_paths import paths_read
from aiquery.sql.dialects import DatabricksSQL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiquery.engines.duckdb.delta.merge import Merged
    from aiquery.engines.duckdb.delta.write import Written
    from aiquery.engines.duckdb.query_parts import Parts

_ANALYZE = re.compile(r"\bexplain\s*\(?\s*analyze\b", re.IGNORECASE)
_EXPLAIN = re.compile(
    r"\s*explain\s+(?:(?:extended|formatted|codegen|cost|analyze)\s+)?", re.IGNORECASE
)
_TRY = re.compile(r"\btry\b", re.IGNORECASE)
_STORED = re.compile(
    r"\s*create\s+(or\s+replace\s+)?(temp\w*\s+|unlogged\s+)?(table|view|macro|function)\b",
    re.IGNORECASE,
)
"""A statement that only stores its text, unless it makes a table of a query."""


@dataclass(frozen=True, slots=True)
class Rewritten:
    """One statement: ``sql`` is what DuckDB runs.

    ``query`` is its query as it is run, and ``parts`` what stands around it; None where it calls no AI function, or is
    not understood. ``original`` is the text before it was rewritten. ``reads`` and ``writes`` are Delta tables by path.
    ``explained`` is the statement that an EXPLAIN is about, where it calls AI functions; ``text`` is what the user
    wrote, where that is another dialect.
    """

    sql: str
    query: syntax.Tree | None = None
    parts: Parts | None = None
    original: str | None = None
    planned_only: bool = False
    reads: tuple[str, ...] = ()
    writes: Written | Merged | None = None
    explained: Rewritten | None = None
    text: str = ""

    @property
    def tries(self) -> bool:
        """Say whether TRY stands somewhere in it: a failed row may fail nothing."""
        return _TRY.search(self.sql) is not None


def split(text: str, dialect: str) -> Iterator[Rewritten]:
    """Yield the statements of ``text``, rewritten.

    Raises ``StatementError`` with the position of an error, and ``ArgumentError`` for an unknown dialect.
    """
    if dialect not in {"duckdb", "databricks"}:
        raise ArgumentError(
            f"dialect {dialect!r} is not known; use 'duckdb' or 'databricks'."
        )
    if dialect == "databricks":
        yield from _split_databricks(text)
        return
    try:
        statements = duckdb.extract_statements(text)
    except duckdb.ParserException as error:
        raise StatementError(f"the statement does not parse: {error}") from None
    for statement in statements:
        yield _duckdb_statement(statement)


def _duckdb_statement(statement: duckdb.Statement) -> Rewritten:
    sql = statement.query
    if statement.type.name in {"EXPLAIN", "PREPARE"} and not _ANALYZE.search(sql):
        return Rewritten(sql, planned_only=True, explained=_explained(sql))
    return _rewritten(sql)


def _rewritten(sql: str) -> Rewritten:
    """Return a statement of DuckDB's dialect, rewritten where it calls AI functions and its query is found."""
    if not mentions_ai(sql):
        return Rewritten(sql)
    parts = parts_of(sql)
    if parts is None:
        return Rewritten(sql, planned_only=_STORED.match(sql) is not None)
    if not syntax.calls(parts.query):
        return Rewritten(sql)
    try:
        query = rewritten(parts.query)
        text = parts.sql(query)
    except syntax.NotPrintable:
        return Rewritten(sql)
    same = syntax.canonical(query) == syntax.canonical(parts.query)
    return Rewritten(sql if same else text, query=query, parts=parts, original=sql)


def _explained(sql: str) -> Rewritten | None:
    found = _EXPLAIN.match(sql)
    if found is None or not mentions_ai(sql) or sql[found.end() :].startswith("("):
        return None
    (statement,) = split(sql[found.end() :], "duckdb")
    return statement


def _split_databricks(text: str) -> Iterator[Rewritten]:
    explained = _EXPLAIN.match(text)
    body = text[explained.end() :] if explained else text
    try:
        trees = parse(body, read=DatabricksSQL, error_level=ErrorLevel.IMMEDIATE)
    except (ParseError, TokenError) as error:
        raise StatementError(
            f"the statement does not parse as Databricks SQL: {_position(error)}"
        ) from None
    for tree in trees:
        if tree is None or isinstance(tree, exp.Semicolon):
            continue
        target = written(tree)
        for translated in to_duckdb_dialect(target.query if target else tree):
            made = replace(
                _rewritten(translated.sql("duckdb")),
                reads=paths_read(translated),
                writes=target,
                text=tree.sql(DatabricksSQL),
            )
            if explained:
                about = made if made.query is not None else None
                made = Rewritten(
                    f"EXPLAIN {made.sql}",
                    planned_only=True,
                    reads=made.reads,
                    explained=about,
                )
            yield made


def _position(error: Exception) -> str:
    details = getattr(error, "errors", None)
    if not details:
        return str(error)
    first = details[0]
    before, at, after = (
        first.get(part) or "" for part in ("start_context", "highlight", "end_context")
    )
    shown = f"{before[-40:]}>>{at}<<{after[:40]}".replace("\n", " ")
    return f"line {first.get('line')}, column {first.get('col')}: {first.get('description')} near: {shown}"
