"""The values of the parameters of one statement, which may be run as several queries."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from sqlglot import exp
from sqlglot.tokenizer_core import TokenType

from aiquery.errors import ArgumentError
from aiquery.sql.databricks.source import tokenize_at

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlglot.expressions import Expr
    from sqlglot.tokenizer_core import Token

    from aiquery.sql.databricks.source import Source

_PREFIX = "aiquery_"


@dataclass(frozen=True, slots=True)
class Bindings:
    """The values of the parameters.

    params      of the user by name; None if there are none
    arguments   of EXECUTE IMMEDIATE: the variable of DuckDB that holds the value, by the parameter's name
    """

    params: Mapping[str, Any] | None = None
    arguments: Mapping[str, str] = field(default_factory=dict)

    def used_by(self, tree: Expr) -> dict[str, Any] | None:
        """Return the user's parameters that a tree has."""
        if self.params is None:
            return None
        names = {str(one.this) for one in tree.find_all(exp.Placeholder) if one.this}
        missing = names - self.params.keys()
        if missing:
            raise ArgumentError(f"the parameter :{min(missing)} has no value.")
        return {name: self.params[name] for name in names} or None


def bind(params: object) -> Bindings:
    """Return the bindings of ``params``: a list for ``?``, a mapping for ``:name``."""
    if params is None:
        return Bindings()
    if isinstance(params, dict):
        return Bindings(params={str(key): value for key, value in params.items()})
    if isinstance(params, list | tuple):
        named = {name_of(index): value for index, value in enumerate(params)}
        return Bindings(params=named)
    raise ArgumentError(
        f"params are a list for ?, or a mapping for :name, not {type(params).__name__}."
    )


def has_positions(source: Source) -> bool:
    """Return True for a statement with ``?``. A macro may copy one, so it needs a name."""
    kinds = {token.token_type for token in source.tokens}
    return TokenType.PLACEHOLDER in kinds


def name_placeholders(source: Source) -> Source:
    """Return a statement with a name for each ``?``, so that its parts can be run alone."""
    tokens: list[Token] = []
    count = 0
    for token in source.tokens:
        if token.token_type == TokenType.PLACEHOLDER:
            tokens.extend(tokenize_at(f":{name_of(count)}", token))
            count += 1
        else:
            tokens.append(token)
    return replace(source, tokens=tuple(tokens))


def name_of(index: int) -> str:
    """Return the name that ``name_placeholders`` gives a ``?``."""
    return f"{_PREFIX}{index}"
