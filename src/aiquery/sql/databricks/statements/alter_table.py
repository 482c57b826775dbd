"""ALTER TABLE: DuckDB changes one thing in one statement, and knows no properties of storage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from aiquery.errors import StatementError
from aiquery.sql.databricks.comments import column_of
from aiquery.sql.databricks.notices import say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlglot.expressions import Expr


def translate_alter(tree: exp.Alter) -> Iterator[Expr]:
    """Yield the statements of DuckDB that an ALTER is."""
    for action in tree.args.get("actions") or ():
        yield from _translate(tree, action)


def _translate(tree: exp.Alter, action: Expr) -> Iterator[Expr]:
    match action:
        case exp.Schema():
            for column in action.expressions:
                yield from _add(tree, column)
        case exp.ColumnDef():
            yield from _add(tree, action)
        case exp.Drop() if str(action.args.get("kind")).upper() == "COLUMNS":
            for name in action.find_all(exp.Identifier):
                yield _command(tree, f"DROP COLUMN {name.sql('duckdb')}")
        case exp.AlterColumn():
            yield from _change(tree, action)
        case exp.AlterSet() if action.args.get("location"):
            raise StatementError(
                "ALTER TABLE SET LOCATION is not supported on DuckDB: it stores the table itself."
            )
        case exp.AlterSet() | exp.ClusterProperty():
            say("ALTER TABLE: properties of storage were left out.")
        case exp.Query():
            raise StatementError(
                "ALTER VIEW .. AS is not supported on DuckDB: use CREATE OR REPLACE VIEW, or .. TEMP VIEW."
            )
        case _:
            yield _with(tree, action.copy())


def _command(tree: exp.Alter, action: str) -> exp.Command:
    text = f"TABLE {tree.this.sql('duckdb')} {action}"
    return exp.Command(this="ALTER", expression=text)


def _with(tree: exp.Alter, action: Expr) -> exp.Alter:
    made = tree.copy()
    made.set("actions", [action])
    return made


def _add(tree: exp.Alter, column: Expr) -> Iterator[Expr]:
    column = column.copy()
    if column.args.get("position") is not None:
        raise StatementError(
            "ALTER TABLE ADD COLUMN: FIRST and AFTER are not supported on DuckDB; a new column is the last one."
        )
    comments = [
        one
        for one in column.args.get("constraints") or ()
        if isinstance(one.kind, exp.CommentColumnConstraint)
    ]
    for one in comments:
        one.pop()
    yield _with(tree, column)
    for one in comments:
        yield _comment(tree, column.this, one.kind.this)


def _change(tree: exp.Alter, action: exp.AlterColumn) -> Iterator[Expr]:
    name = action.this
    renamed = action.args.get("rename_to")
    if renamed is not None and renamed.name != name.name:
        rename = exp.RenameColumn(
            this=exp.column(name.copy()), to=exp.column(renamed.copy())
        )
        yield _with(tree, rename)
        name = renamed
    if action.args.get("dtype") is not None:
        typed = exp.AlterColumn(this=name.copy(), dtype=action.args["dtype"].copy())
        yield _with(tree, typed)
    if action.args.get("comment"):
        yield _comment(tree, name, action.args["comment"])
    if action.args.get("allow_null") is not None:
        change = "DROP" if action.args["allow_null"] else "SET"
        column = name.sql("duckdb")
        yield _command(tree, f"ALTER COLUMN {column} {change} NOT NULL")
    if action.args.get("default") is not None or action.args.get("drop"):
        yield _with(tree, action.copy())


def _comment(tree: exp.Alter, name: Expr, text: Expr) -> exp.Comment:
    return exp.Comment(
        this=column_of(tree.this, name), kind="COLUMN", expression=text.copy()
    )
