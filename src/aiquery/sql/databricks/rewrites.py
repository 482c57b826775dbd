"""Changes of a statement's tokens, for what sqlglot does not parse: DEEP CLONE, and TABLE t as a query."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlglot.tokenizer_core import TokenType

from aiquery.sql.databricks.source import tokenize_at

if TYPE_CHECKING:
    from aiquery.sql.databricks.source import Source

_BEFORE_QUERY = {"UNION", "ALL", "EXCEPT", "INTERSECT", "MINUS", "DISTINCT", "("}


def with_clone(source: Source) -> Source:
    """Return ``CREATE TABLE t DEEP CLONE s`` as ``CREATE TABLE t SHALLOW CLONE s``: on DuckDB both copy the rows."""
    words = source.words
    if source.word(0) != "CREATE" or "CLONE" not in words:
        return source
    index = words.index("CLONE") - 1
    return _put(source, index, 1, "SHALLOW") if words[index] == "DEEP" else source


def with_table_queries(source: Source) -> Source:
    """Return a statement with ``(SELECT * FROM t)`` for each ``TABLE t`` that is a query."""
    if "TABLE" not in source.words:
        return source
    index = 0
    while index < len(source.tokens):
        token = source.tokens[index]
        before = source.tokens[index - 1].text.upper() if index else ""
        is_query = token.token_type == TokenType.TABLE and (
            index == 0 or before in _BEFORE_QUERY or _is_inserted(source, index)
        )
        is_named = index + 1 < len(source.tokens)
        if is_query and is_named and not _is_argument(source, index):
            end = _find_name_end(source, index + 1)
            name = source.between(index + 1, end).text
            source = _put(source, index, end - index, f"(SELECT * FROM {name})")
        index += 1
    return source


def _is_inserted(source: Source, index: int) -> bool:
    """Return True for the second TABLE of ``INSERT INTO TABLE t TABLE s``."""
    before = source.words[index - 1]
    return source.words[0] == "INSERT" and before not in {"INTO", "OVERWRITE"}


def _find_name_end(source: Source, start: int) -> int:
    """Return the index after a name of one or several parts."""
    end = start + 1
    while source.words[end : end + 1] == (".",):
        end += 2
    return end


def _is_argument(source: Source, index: int) -> bool:
    """Return True for ``f(TABLE(t))`` and ``f(TABLE t)``: the rows of a table as an argument."""
    following = source.words[index + 1 : index + 2]
    before = source.tokens[index - 2] if index > 1 else None
    is_call = (
        source.words[index - 1] == "("
        and before is not None
        and (before.token_type in {TokenType.VAR, TokenType.IDENTIFIER})
    )
    return following == ("(",) or is_call


def _put(source: Source, index: int, count: int, text: str) -> Source:
    """Return a statement with other tokens in the place of some."""
    made = tokenize_at(text, source.tokens[index])
    after = source.tokens[index + count :]
    return replace(source, tokens=(*source.tokens[:index], *made, *after))
