"""The values that UPDATE and MERGE write have the types of the table by CAST of Databricks SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from aiquery.engines.duckdb.databricks.table_types import cast_to, needs_cast
from aiquery.errors import StatementError
from aiquery.sql.databricks.nested_casts import match_names
from aiquery.sql.databricks.tables import use_main

if TYPE_CHECKING:
    from sqlglot.expressions import Expr

    from aiquery.engines.duckdb.databricks.table_types import TableTypes


def convert_update(types: TableTypes, update: exp.Update) -> exp.Update:
    """Return an UPDATE with casts around its values. Raises ``StatementError`` for a field of a struct."""
    made = update.copy()
    _cast_assignments(made.expressions, _columns(types, made.this), made.this)
    return made


def convert_merge(types: TableTypes, merge: exp.Merge) -> exp.Merge:
    """Return a MERGE with casts around its values, and with the columns of ``*``.

    Raises ``StatementError`` for a field of a struct, and for ``*`` if the source lacks a column of the table.
    """
    targets = _columns(types, merge.this)
    made = merge.copy()
    if not targets:
        return made
    for when in made.args["whens"].expressions:
        then = when.args["then"]
        if isinstance(then, exp.Update):
            _expand_update(types, made, then, targets)
            _cast_assignments(then.expressions, targets, made.this)
        elif isinstance(then, exp.Insert):
            _expand_insert(types, made, then, targets)
            _cast_values(then, targets)
    return made


def _columns(types: TableTypes, table: Expr) -> dict[str, str]:
    """Return the type of each column of a table, by its name in small letters."""
    table = table.copy()
    if isinstance(table, exp.Table):
        use_main(table)
    described = types.describe(exp.select("*").from_(table))
    return {name.lower(): kind for name, kind in described}


def _cast_assignments(
    assignments: list[Expr], targets: dict[str, str], table: Expr
) -> None:
    """Cast the values of ``SET column = value``; in place."""
    for one in assignments:
        if not isinstance(one, exp.EQ) or not isinstance(one.this, exp.Column):
            continue
        _refuse_field(one.this, targets, table)
        name = one.this.name.lower()
        target = targets.get(name)
        if target is not None and needs_cast(one.expression, target):
            made = cast_to(one.expression, target)
            one.expression.replace(match_names(made))


def _refuse_field(column: exp.Column, targets: dict[str, str], table: Expr) -> None:
    """Raise ``StatementError`` for ``SET column.field =``, which sqlglot reads as ``table.column``."""
    first = column.parts[0].name.lower()
    is_table = first in {table.alias_or_name.lower(), table.name.lower()}
    is_field = len(column.parts) > 1 and not is_table
    if is_field and first in targets:
        raise StatementError(
            f"SET {column.sql('databricks')}: DuckDB does not assign a field of a struct; assign the whole struct: "
            f"SET {column.parts[0].name} = named_struct(..)."
        )


def _cast_values(insert: exp.Insert, targets: dict[str, str]) -> None:
    """Cast the values of ``INSERT (columns) VALUES (values)``; in place."""
    names, values = insert.this, insert.expression
    if not isinstance(values, exp.Tuple):
        return
    columns = [*targets]
    if isinstance(names, exp.Tuple):
        columns = [one.name.lower() for one in names.expressions]
    for name, value in zip(columns, list(values.expressions), strict=False):
        target = targets.get(name)
        if target is not None and needs_cast(value, target):
            made = cast_to(value, target)
            value.replace(match_names(made))


def _expand_update(
    types: TableTypes, merge: exp.Merge, update: exp.Update, targets: dict[str, str]
) -> None:
    """Let ``UPDATE SET *`` name the columns of the table; in place."""
    if [type(one) for one in update.expressions] != [exp.Star]:
        return
    values = _values_of_source(types, merge, targets)
    assignments = [
        exp.EQ(this=exp.column(name, quoted=True), expression=value)
        for name, value in zip(targets, values, strict=True)
    ]
    update.set("expressions", assignments)


def _expand_insert(
    types: TableTypes, merge: exp.Merge, insert: exp.Insert, targets: dict[str, str]
) -> None:
    """Let ``INSERT *`` name the columns of the table; in place."""
    if not isinstance(insert.this, exp.Star):
        return
    values = _values_of_source(types, merge, targets)
    columns = [exp.column(name, quoted=True) for name in targets]
    insert.set("this", exp.Tuple(expressions=columns))
    insert.set("expression", exp.Tuple(expressions=values))


def _values_of_source(
    types: TableTypes, merge: exp.Merge, targets: dict[str, str]
) -> list[Expr]:
    """Return the column of the source for each one of the table."""
    source = merge.args["using"]
    query = exp.select("*")
    query = query.from_(source.copy())
    with_ = merge.args.get("with_")
    if with_ is not None:
        query.set("with_", with_.copy())
    names = [name.lower() for name, _ in types.describe(query)]
    missing = [name for name in targets if name not in names]
    if names and missing:
        raise StatementError(
            f"MERGE: the source lacks the column {missing[0]}, which * writes; name the columns: "
            "UPDATE SET column = value, INSERT (columns) VALUES (values). (DELTA_MERGE_UNRESOLVED_EXPRESSION)"
        )
    return [exp.column(name, source.alias_or_name, quoted=True) for name in targets]
