"""``EXECUTE IMMEDIATE text [INTO variables] [USING values]``: a statement whose text is computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlglot import exp

from aiquery.sql.databricks.source import (
    find_word,
    parse_expression,
    split_list,
)
from aiquery.sql.databricks.statements.variables import own_name

if TYPE_CHECKING:
    from sqlglot.expressions import Expr

    from aiquery.sql.databricks.source import Source


@dataclass(frozen=True, slots=True)
class Argument:
    """A value for a parameter: ``?`` by its position, ``:name`` by its name."""

    value: Expr
    name: str


@dataclass(frozen=True, slots=True)
class ExecuteImmediate:
    """The text as an expression, the variables that get the columns of its row, and the values of its parameters."""

    text: Expr
    into: tuple[str, ...]
    arguments: tuple[Argument, ...]


def read_execute_immediate(source: Source) -> ExecuteImmediate:
    """Read the statement, whose first two words are EXECUTE IMMEDIATE. Raises sqlglot's errors."""
    rest = source.after(2)
    using = find_word(rest, "USING")
    arguments = rest.after(using + 1)
    head = rest.between(0, using)
    into = find_word(head, "INTO")
    targets = split_list(head.after(into + 1))
    return ExecuteImmediate(
        text=parse_expression(head.between(0, into)),
        into=tuple(own_name(parse_expression(one)) for one in targets),
        arguments=_read_arguments(arguments),
    )


def _read_arguments(source: Source) -> tuple[Argument, ...]:
    parts = split_list(source)
    if len(parts) == 1 and source.word(0) == "(" and source.word(-1) == ")":
        parts = split_list(source.between(1, -1))
    return tuple(_read_argument(part) for part in parts)


def _read_argument(source: Source) -> Argument:
    alias = find_word(source, "AS")
    value = parse_expression(source.between(0, alias))
    name = source.after(alias + 1).text if alias < len(source.tokens) else ""
    if not name and isinstance(value, exp.Column):
        name = value.name
    return Argument(value, name.strip("`").lower())
