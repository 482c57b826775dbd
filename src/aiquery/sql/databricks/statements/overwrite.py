"""INSERT OVERWRITE, REPLACE WHERE, REPLACE USING and PARTITION: new rows are computed before others are deleted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlglot import exp

from aiquery.errors import StatementError
from aiquery.sql.delta_paths import SCHEMA

if TYPE_CHECKING:
    from sqlglot.expressions import Expr


@dataclass(frozen=True, slots=True)
class Overwrite:
    """Rows that are written to a table, and those that are deleted before.

    columns      the columns that the statement names; None: all
    is_by_name   the columns of the query go to those of the same names
    deletes      the statement deletes rows
    condition    of the rows to delete, which each new row must have too; None: all rows
    using        the columns whose values in the new rows decide which rows are deleted
    partition    the values of columns that the query lacks
    """

    table: exp.Table
    query: Expr
    columns: tuple[str, ...] | None
    is_by_name: bool
    deletes: bool
    condition: Expr | None
    using: tuple[str, ...]
    partition: tuple[tuple[str, Expr | None], ...]


def read_overwrite(tree: exp.Insert) -> Overwrite | None:
    """Read an INSERT that deletes rows, or that has a PARTITION; None for any other one, and one to a Delta path."""
    target = tree.this
    table = target.this if isinstance(target, exp.Schema) else target
    if not isinstance(table, exp.Table) or table.db.lower() == SCHEMA:
        return None
    condition = tree.args.get("where") or None
    using = tree.args.get("using") or []
    partition = table.args.get("partition")
    deletes = bool(tree.args.get("overwrite") or condition or using)
    if not deletes and not partition:
        return None
    columns = None
    if isinstance(target, exp.Schema):
        columns = tuple(one.name for one in target.expressions)
    plain = table.copy()
    plain.set("partition", None)
    query = tree.args.get("expression")
    if query is None:
        raise StatementError("INSERT: the statement has no query.")
    if isinstance(query, exp.Table):  # INSERT OVERWRITE t TABLE s
        query = exp.select("*").from_(query)
    return Overwrite(
        table=plain,
        query=query,
        columns=columns,
        is_by_name=bool(tree.args.get("by_name")),
        deletes=deletes,
        condition=condition,
        using=tuple(one.name for one in using),
        partition=_read_partition(partition),
    )


def _read_partition(
    partition: Expr | None,
) -> tuple[tuple[str, Expr | None], ...]:
    if partition is None:
        return ()
    return tuple(
        (one.this.name, one.expression) if isinstance(one, exp.EQ) else (one.name, None)
        for one in partition.expressions
    )
