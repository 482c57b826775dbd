"""``IDENTIFIER(text)`` in the place of a name: of a table, a column, a function, a schema."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sqlglot.errors import TokenError
from sqlglot.tokenizer_core import TokenType

from aiquery.errors import StatementError
from aiquery.sql.databricks.source import tokenize_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlglot.tokenizer_core import Token

    from aiquery.sql.databricks.source import Source

_WORD = "IDENTIFIER"


@dataclass(frozen=True, slots=True)
class Clause:
    """One clause: the indices of its first and last tokens, and its text as an expression."""

    start: int
    end: int
    expression: Source

    @property
    def literal(self) -> str | None:
        """Its text, if that is a literal."""
        tokens = self.expression.tokens
        is_literal = len(tokens) == 1 and tokens[0].token_type == TokenType.STRING
        return tokens[0].text if is_literal else None


def find_clauses(source: Source) -> list[Clause]:
    """Return the clauses of a statement in their order."""
    found = []
    for index, token in enumerate(source.tokens[:-1]):
        opens = source.tokens[index + 1].token_type == TokenType.L_PAREN
        is_word = token.token_type == TokenType.VAR and token.text.upper() == _WORD
        if opens and is_word:
            end = _find_end(source.tokens, index + 1)
            found.append(Clause(index, end, source.between(index + 2, end)))
    return found


def put_names(
    source: Source, clauses: Sequence[Clause], names: Sequence[str]
) -> Source:
    """Return a statement with a name in the place of each clause. Raises ``StatementError`` for a bad name."""
    tokens: list[Token] = []
    after = 0
    for clause, name in zip(clauses, names, strict=True):
        tokens.extend(source.tokens[after : clause.start])
        tokens.extend(_name_tokens(name, source.tokens[clause.start]))
        after = clause.end + 1
    tokens.extend(source.tokens[after:])
    return replace(source, tokens=tuple(tokens))


def _find_end(tokens: Sequence[Token], opening: int) -> int:
    depth = 0
    for index in range(opening, len(tokens)):
        kind = tokens[index].token_type
        depth += (kind == TokenType.L_PAREN) - (kind == TokenType.R_PAREN)
        if depth == 0:
            return index
    raise StatementError("IDENTIFIER( .. has no closing parenthesis.")


def _name_tokens(name: str, at: Token) -> list[Token]:
    """Return a name of one or several parts as tokens, which have the place of the clause."""
    try:
        parts = tokenize_at(name, at)
    except TokenError:
        parts = []
    dots = [part for part in parts if part.token_type == TokenType.DOT]
    is_name = len(parts) == 2 * len(dots) + 1 and all(
        (part.token_type == TokenType.DOT) == (index % 2 == 1)
        for index, part in enumerate(parts)
    )
    if not is_name or any(part.token_type == TokenType.STRING for part in parts):
        raise StatementError(
            f"IDENTIFIER: {name!r} is not a name; put parts with other letters into backticks: `a-b`.c"
        )
    return parts
