"""Changes of a statement's tokens, for what sqlglot does not parse, or reads as something else."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlglot.tokenizer_core import TokenType

from aiquery.sql.databricks.source import find_word, tokenize_at

if TYPE_CHECKING:
    from aiquery.sql.databricks.source import Source

_TYPED_LITERALS = frozenset({"DATE", "TIMESTAMP", "TIMESTAMP_NTZ", "TIMESTAMP_LTZ"})
_BEFORE_ANY = frozenset(
    {"LIKE", "ILIKE", "RLIKE", "=", "<>", "!=", "<", ">", "<=", ">=", "."}
)
_SET_WORDS = frozenset({"UNION", "ALL", "EXCEPT", "INTERSECT", "MINUS", "DISTINCT"})
_OPERANDS = frozenset(
    {
        TokenType.NUMBER,
        TokenType.STRING,
        TokenType.VAR,
        TokenType.IDENTIFIER,
        TokenType.R_PAREN,
        TokenType.R_BRACKET,
    }
)
"""The last tokens of an operand: a minus after one is no sign."""

_BEFORE_QUERY = {"UNION", "ALL", "EXCEPT", "INTERSECT", "MINUS", "DISTINCT", "("}


def with_clone(source: Source) -> Source:
    """Return ``CREATE TABLE t DEEP CLONE s`` as ``CREATE TABLE t SHALLOW CLONE s``: on DuckDB both copy the rows."""
    words = source.words
    if source.word(0) != "CREATE" or "CLONE" not in words:
        return source
    index = words.index("CLONE") - 1
    return _put(source, index, 1, "SHALLOW") if words[index] == "DEEP" else source


def with_any_function(source: Source) -> Source:
    """Return ``any(condition)``, which sqlglot takes for a comparison, as ``bool_or(condition)``."""
    for index, word in enumerate(source.words):
        is_call = word == "ANY" and source.word(index + 1) == "("
        before = source.word(index - 1) if index else ""
        if is_call and before not in _BEFORE_ANY:
            source = _put(source, index, 1, "bool_or")
    return source


def with_literals(source: Source) -> Source:
    """Return ``DATE'2024-01-31'::string`` and ``-5::string`` with the literals in parentheses.

    sqlglot casts the text, and then to DATE; and it puts the sign before the cast, where Spark has it in the number.
    """
    index = 0
    while index + 2 < len(source.tokens):
        is_cast = source.tokens[index + 2].text == "::"
        if is_cast and (_is_typed(source, index) or _is_negative(source, index)):
            source = _enclose(source, index, index + 2)
            index += 2
        index += 1
    return source


def _is_typed(source: Source, index: int) -> bool:
    """Return True for the first token of ``DATE'2024-01-31'``."""
    is_text = source.tokens[index + 1].token_type == TokenType.STRING
    return is_text and source.word(index) in _TYPED_LITERALS


def _is_negative(source: Source, index: int) -> bool:
    """Return True for the sign of ``-5``, but not for the minus of ``3 - 5``."""
    before = source.tokens[index - 1].token_type if index else None
    is_number = source.tokens[index + 1].token_type == TokenType.NUMBER
    is_minus = source.tokens[index].text == "-"
    return is_number and is_minus and before not in _OPERANDS


def with_set_operands(source: Source) -> Source:
    """Return ``|> UNION ALL SELECT ..`` with the query in parentheses, which sqlglot needs."""
    words = source.words
    for index, word in enumerate(words):
        is_query = word == "SELECT" and index > 1 and words[index - 1] in _SET_WORDS
        if is_query and "|>" in words[max(index - 3, 0) : index]:
            end = index + find_word(source.after(index), "|>")
            return with_set_operands(_enclose(source, index, end))
    return source


def with_body(source: Source) -> Source:
    """Return ``CREATE FUNCTION .. RETURN expression``, and DECLARE, with the expression in parentheses."""
    before = _word_before_expression(source.words)
    if before is None or before not in source.words:
        return source
    start = source.words.index(before) + 1
    if source.word(start) in {"SELECT", "WITH", "TABLE", "VALUES", "(", ""}:
        return source
    return _enclose(source, start, len(source.tokens))


def _word_before_expression(words: tuple[str, ...]) -> str | None:
    """Return the word before the expression that a statement ends with; None for another statement."""
    if words[:1] == ("DECLARE",):
        return "DEFAULT"
    is_function = words[:1] == ("CREATE",) and "FUNCTION" in words[:5]
    return "RETURN" if is_function else None


def _enclose(source: Source, start: int, end: int) -> Source:
    """Return a statement with parentheses around some tokens."""
    opening = tokenize_at("(", source.tokens[start])
    closing = tokenize_at(")", source.tokens[end - 1])
    tokens = source.tokens
    made = (*tokens[:start], *opening, *tokens[start:end], *closing, *tokens[end:])
    return replace(source, tokens=made)


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
