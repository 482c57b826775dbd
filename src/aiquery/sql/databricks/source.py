"""The statements of a text before they are parsed: their tokens, which know their place in the text."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlglot import ErrorLevel, exp
from sqlglot.errors import SqlglotError
from sqlglot.tokenizer_core import Token, TokenType

from aiquery.errors import AIQueryError, StatementError
from aiquery.sql.databricks.dialect import DatabricksSQL

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True, slots=True)
class Source:
    """One statement of a text.

    tokens  at least one
    script  the whole text, which the positions of the tokens refer to
    """

    tokens: tuple[Token, ...]
    script: str

    @property
    def text(self) -> str:
        """What the user wrote."""
        if not self.tokens:
            return ""
        return self.script[self.tokens[0].start : self.tokens[-1].end + 1]

    @property
    def words(self) -> tuple[str, ...]:
        """The texts of its tokens, in capital letters."""
        return tuple(token.text.upper() for token in self.tokens)

    def word(self, index: int) -> str:
        """Return the text of a token in capital letters; "" where there is none."""
        has_it = -len(self.tokens) <= index < len(self.tokens)
        return self.tokens[index].text.upper() if has_it else ""

    def begins_with(self, *words: str) -> bool:
        """Return True if these words are its first."""
        first = self.tokens[: len(words)]
        return tuple(token.text.upper() for token in first) == words

    def after(self, count: int) -> Source:
        """Return the statement without its first tokens."""
        return replace(self, tokens=self.tokens[count:])

    def between(self, start: int, end: int | None = None) -> Source:
        """Return some of its tokens."""
        return replace(self, tokens=self.tokens[start:end])


def split_statements(script: str) -> list[Source]:
    """Return the statements of a text. Raises sqlglot's ``TokenError``."""
    return [
        Source(tuple(tokens), script)
        for tokens in _split(DatabricksSQL().tokenize(script), TokenType.SEMICOLON)
        if tokens
    ]


def tokenize_at(text: str, at: Token) -> list[Token]:
    """Return the tokens of a text in the place of another token. Raises sqlglot's ``TokenError``."""
    return [
        Token(one.token_type, one.text, at.line, at.col, at.start, at.end, [])
        for one in DatabricksSQL().tokenize(text)
    ]


def split_list(source: Source) -> list[Source]:
    """Return the parts that commas outside of brackets separate."""
    parts: list[list[Token]] = [[]]
    depth = 0
    for token in source.tokens:
        depth += _depth_of(token)
        if depth == 0 and token.token_type == TokenType.COMMA:
            parts.append([])
        else:
            parts[-1].append(token)
    return [replace(source, tokens=tuple(part)) for part in parts if part]


def find_word(source: Source, *words: str) -> int:
    """Return the index of the first of some words outside of brackets; the number of tokens if there is none."""
    depth = 0
    for index, token in enumerate(source.tokens):
        depth += _depth_of(token)
        is_word = token.token_type not in {TokenType.STRING, TokenType.IDENTIFIER}
        if depth == 0 and is_word and token.text.upper() in words:
            return index
    return len(source.tokens)


def parse(source: Source) -> exp.Expr:
    """Return the tree of a statement. Raises sqlglot's errors, and ``StatementError``."""
    with _sqlglot_errors():
        trees = _parser().parse(list(source.tokens), source.script)
    return _only(trees, source)


def parse_expression(source: Source) -> exp.Expr:
    """Return the tree of an expression. Raises sqlglot's errors, and ``StatementError``."""
    with _sqlglot_errors():
        trees = _parser().parse_into(exp.Condition, list(source.tokens), source.script)
    return _only(trees, source)


def _parser() -> Any:
    return DatabricksSQL().parser(error_level=ErrorLevel.IMMEDIATE)


@contextmanager
def _sqlglot_errors() -> Iterator[None]:
    """Raise ``StatementError`` for what sqlglot's parser raises about some texts that are no statements."""
    try:
        yield
    except (AssertionError, AttributeError, IndexError, TypeError) as error:
        raise StatementError(
            f"the statement does not parse as Databricks SQL ({error})."
        ) from None
    except ValueError as error:
        if isinstance(error, SqlglotError | AIQueryError):
            raise
        raise StatementError(
            f"the statement does not parse as Databricks SQL ({error})."
        ) from None


def _only(trees: Sequence[exp.Expr | None], source: Source) -> exp.Expr:
    if len(trees) == 1 and isinstance(trees[0], exp.Expr):
        return trees[0]
    raise StatementError(
        f"the statement does not parse as Databricks SQL: {source.text or 'it ends too early'}"
    )


def _depth_of(token: Token) -> int:
    opens = {TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.L_BRACE}
    closes = {TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.R_BRACE}
    return (token.token_type in opens) - (token.token_type in closes)


def _split(tokens: Sequence[Token], at: TokenType) -> Iterator[list[Token]]:
    part: list[Token] = []
    for token in tokens:
        if token.token_type == at:
            yield part
            part = []
        else:
            part.append(token)
    yield part
