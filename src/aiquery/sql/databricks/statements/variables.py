"""Session variables: DECLARE, SET VAR, DROP TEMPORARY VARIABLE, and where a statement reads one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlglot import exp

from aiquery.errors import StatementError
from aiquery.sql.databricks.source import (
    find_word,
    parse_expression,
    split_list,
)

if TYPE_CHECKING:
    from collections.abc import Container

    from sqlglot.expressions import Expr

    from aiquery.sql.databricks.source import Source

_DEFAULT = "DEFAULT"
_ONLY_COLUMNS = (exp.Pivot, exp.ColumnDef, exp.Properties, exp.Alter, exp.Comment)
"""The parts of a statement where a name is that of a column."""


@dataclass(frozen=True, slots=True)
class DeclareVariables:
    """DECLARE: the names, the type and the default, if they are given."""

    names: tuple[str, ...]
    kind: exp.DataType | None
    default: Expr | None
    replaces: bool


@dataclass(frozen=True, slots=True)
class Assignment:
    """The variables that one expression, or one row of a query, is assigned to; None: their defaults."""

    names: tuple[str, ...]
    value: Expr | None


@dataclass(frozen=True, slots=True)
class SetVariables:
    """SET VAR: all values are computed before the first one is assigned."""

    assignments: tuple[Assignment, ...]


@dataclass(frozen=True, slots=True)
class DropVariable:
    """DROP TEMPORARY VARIABLE."""

    name: str
    if_exists: bool


def read_declare(tree: exp.Declare) -> DeclareVariables:
    """Read a DECLARE."""
    if len(tree.expressions) != 1:
        raise StatementError("DECLARE: give each type its own statement.")
    item = tree.expressions[0]
    names = item.this if isinstance(item.this, list) else [item.this]
    kind = item.args.get("kind")
    default = item.args.get("default") or None
    if not isinstance(kind, exp.DataType):
        kind = None
    if kind is None and default is None:
        raise StatementError("DECLARE: give the variable a type or a DEFAULT.")
    return DeclareVariables(
        names=tuple(own_name(name) for name in names),
        kind=kind,
        default=default,
        replaces=bool(tree.args.get("replace")),
    )


def read_set(source: Source) -> SetVariables:
    """Read a SET VAR, whose first two words are SET VAR. Raises sqlglot's errors."""
    return SetVariables(
        tuple(_read_assignment(one) for one in split_list(source.after(2)))
    )


def _read_assignment(source: Source) -> Assignment:
    equals = find_word(source, "=")
    if equals == len(source.tokens) or equals == 0:
        raise StatementError("SET VAR: write SET VAR name = expression.")
    targets = source.between(0, equals)
    if targets.word(0) == "(":
        targets = targets.between(1, -1)
    names = tuple(own_name(parse_expression(one)) for one in split_list(targets))
    value = source.after(equals + 1)
    if value.words == (_DEFAULT,):
        return Assignment(names, None)
    return Assignment(names, parse_expression(value))


def own_name(node: Expr) -> str:
    """Return the name of a variable without ``session`` or ``system.session``, in small letters."""
    return node.name.lower()


def find_references(tree: Expr, names: Container[str]) -> list[exp.Column]:
    """Return the columns of a statement that may be one of these variables, or a field of one."""
    return [
        column
        for column in tree.find_all(exp.Column)
        if _variable_part(column).name.lower() in names
        and column.find_ancestor(*_ONLY_COLUMNS) is None
    ]


def _variable_part(column: exp.Column) -> Expr:
    """Return the part of ``v``, ``v.field``, ``session.v`` and ``system.session.v.field`` that is the variable."""
    parts = list(column.parts)
    return parts[_qualifiers(column)]


def _qualifiers(column: exp.Column) -> int:
    names = [part.name.lower() for part in column.parts]
    if names[:2] == ["system", "session"] and len(names) > _SYSTEM:
        return _SYSTEM
    return int(names[0] == "session" and len(names) > 1)


_SYSTEM = 2


def is_qualified(column: exp.Column) -> bool:
    """Return True for ``session.v`` and ``system.session.v``."""
    return _qualifiers(column) > 0


def replace_reference(column: exp.Column) -> None:
    """Replace a column that is a variable, or a field of one, in its tree."""
    parts = list(column.parts)
    index = _qualifiers(column)
    variable = exp.column(parts[index].copy())
    mark_variable(variable, stored_name(variable.name))
    made: Expr = variable
    for field in parts[index + 1 :]:
        made = exp.Dot(this=made, expression=field.copy())
    column.replace(made)


def stored_name(name: str) -> str:
    """Return the name of the variable of DuckDB that holds a session variable."""
    return f"aiquery_variable_{name.lower()}"


_MARK = "aiquery_variable"


def mark_variable(column: exp.Column, stored: str) -> exp.Column:
    """Mark a column as the variable ``stored`` of DuckDB, and return it."""
    column.meta[_MARK] = stored
    return column


def variable_of(column: Expr) -> str | None:
    """Return the variable of DuckDB that a column is; None if it is a column."""
    return column.meta.get(_MARK)
