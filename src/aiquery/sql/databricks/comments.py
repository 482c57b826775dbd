"""``CREATE TABLE t (a INT COMMENT 'x') COMMENT 'y'``: DuckDB has statements of its own for comments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

if TYPE_CHECKING:
    from sqlglot.expressions import Expr


def take_comments(tree: exp.Create) -> list[Expr]:
    """Remove the comments of a CREATE; return the statements that make them."""
    schema = tree.this if isinstance(tree.this, exp.Schema) else None
    table = tree.find(exp.Table)
    kind = str(tree.args.get("kind") or "").upper()
    if table is None or kind not in {"TABLE", "VIEW"}:
        return []
    made = [_comment(kind, table, text) for text in _take_own(tree)]
    for column in schema.find_all(exp.ColumnDef) if schema else ():
        for constraint in list(column.args.get("constraints") or ()):
            if isinstance(constraint.kind, exp.CommentColumnConstraint):
                constraint.pop()
                name = column_of(table, column.this)
                made.append(_comment("COLUMN", name, constraint.kind.this))
    return made


def column_of(table: exp.Table, name: Expr) -> exp.Column:
    """Return a column of a table, whose name has the parts that the table's has."""
    return exp.column(
        name.copy(),
        table=table.this.copy(),
        db=table.args.get("db"),
        catalog=table.args.get("catalog"),
    )


def _take_own(tree: exp.Create) -> list[Expr]:
    properties = tree.args.get("properties")
    found = [
        one
        for one in (properties.expressions if properties else ())
        if isinstance(one, exp.SchemaCommentProperty)
    ]
    for one in found:
        one.pop()
    return [one.this for one in found]


def _comment(kind: str, name: Expr, text: Expr) -> Expr:
    return exp.Comment(this=name.copy(), kind=kind, expression=text.copy())
