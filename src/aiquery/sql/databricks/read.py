"""Read one statement: a tree to translate, a statement that DuckDB answers at once, or one that needs the session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlglot import exp

from aiquery.errors import StatementError
from aiquery.sql.databricks.rewrites import (
    with_any_function,
    with_body,
    with_clone,
    with_literals,
    with_set_operands,
    with_table_queries,
)
from aiquery.sql.databricks.session import read_setting, read_time_zone
from aiquery.sql.databricks.source import parse, parse_expression
from aiquery.sql.databricks.statements.copy_into import CopyInto, read_copy_into
from aiquery.sql.databricks.statements.describe import describe_query, read_describe
from aiquery.sql.databricks.statements.execute_immediate import (
    ExecuteImmediate,
    read_execute_immediate,
)
from aiquery.sql.databricks.statements.overwrite import Overwrite, read_overwrite
from aiquery.sql.databricks.statements.show import read_show
from aiquery.sql.databricks.statements.unsupported import Nothing, read_nothing, refuse
from aiquery.sql.databricks.statements.variables import (
    DeclareVariables,
    DropVariable,
    SetVariables,
    own_name,
    read_declare,
    read_set,
)
from aiquery.sql.databricks.translate import query_to_duckdb

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiquery.sql.databricks.source import Source

SessionStatement = (
    DeclareVariables
    | SetVariables
    | DropVariable
    | ExecuteImmediate
    | Overwrite
    | CopyInto
    | Nothing
)
SESSION_STATEMENTS = (
    DeclareVariables,
    SetVariables,
    DropVariable,
    ExecuteImmediate,
    Overwrite,
    CopyInto,
    Nothing,
)


@dataclass(frozen=True, slots=True)
class Answered:
    """A statement of DuckDB that answers one of Databricks, and sends no request."""

    sql: str


_ABOUT_STORAGE = ("TBLPROPERTIES", " OWNER TO ", " TAGS ", " PREDICTIVE OPTIMIZATION")

Read = exp.Expr | Answered | SessionStatement


def read_statement(source: Source) -> Read:
    """Read a statement. Raises sqlglot's errors, and ``StatementError`` for one that is refused."""
    refuse(source)
    nothing = read_nothing(source)
    if nothing is not None:
        return nothing
    for words, reader in _READERS:
        if source.begins_with(*words.split()):
            return reader(source)
    for change in (
        with_clone,
        with_table_queries,
        with_any_function,
        with_literals,
        with_set_operands,
        with_body,
    ):
        source = change(source)
    return _read_tree(parse(source))


def _read_tree(tree: exp.Expr) -> Read:
    if isinstance(tree, exp.Declare):
        return read_declare(tree)
    if isinstance(tree, exp.Copy):
        return read_copy_into(tree)
    if isinstance(tree, exp.Insert):
        return read_overwrite(tree) or tree
    if isinstance(tree, exp.Cache):
        return _as_temporary_table(tree)
    if isinstance(tree, exp.Command):
        text = f"{tree.this} {tree.expression}".upper()
        if any(word in text for word in _ABOUT_STORAGE):
            return Nothing("ALTER TABLE: properties of storage were left out.")
        raise StatementError(f"{text.split(maxsplit=1)[0]} is not supported on DuckDB.")
    return tree


def _as_temporary_table(tree: exp.Cache) -> exp.Create:
    """Return ``CACHE TABLE name AS query`` as the temporary table that it is."""
    is_temporary = exp.TemporaryProperty()
    temporary = exp.Properties(expressions=[is_temporary])
    return exp.Create(
        this=tree.this,
        kind="TABLE",
        expression=tree.expression,
        properties=temporary,
    )


def _describe(source: Source) -> Answered:
    made = read_describe(source)
    if isinstance(made, str):
        return Answered(made)
    return Answered(describe_query(query_to_duckdb(made.this)))


def _read_drop(source: Source) -> DropVariable:
    rest = source.after(3)
    if_exists = rest.begins_with("IF", "EXISTS")
    name = parse_expression(rest.after(2) if if_exists else rest)
    return DropVariable(own_name(name), if_exists)


def _show(source: Source) -> Answered:
    return Answered(read_show(source))


_READERS: tuple[tuple[str, Callable[[Source], Read]], ...] = (
    ("SHOW", _show),
    ("DESCRIBE", _describe),
    ("DESC", _describe),
    ("EXECUTE IMMEDIATE", read_execute_immediate),
    ("DROP TEMPORARY VARIABLE", _read_drop),
    ("SET TIME ZONE", read_time_zone),
    ("SET VAR", read_set),
    ("SET VARIABLE", read_set),
    ("SET SPARK .", read_setting),
)
"""The statements that sqlglot does not parse, by their first words."""
