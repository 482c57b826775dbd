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
    thens = [when.args["then"] for when in made.args["whens"].expressions]
    stars = list(filter(_is_star, thens))
    if stars:
        values = _values_of_source(types, made, targets)
        for then in stars:
            _expand(then, list(targets), values)
    for then in thens:
        if isinstance(then, exp.Update):
            _cast_assignments(then.expressions, targets, made.this)
        elif isinstance(then, exp.Insert):
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
        _cast(one.expression, targets.get(name))


def _cast(value: Expr, target: str | None) -> None:
    """Cast a value to the type of a column, if there is one; in place."""
    if target is not None and needs_cast(value, target):
        made = cast_to(value, target)
        value.replace(match_names(made))


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
        _cast(value, targets.get(name))


def _is_star(then: Expr) -> bool:
    """Return True for ``UPDATE SET *`` and ``INSERT *``."""
    if isinstance(then, exp.Update):
        return [type(one) for one in then.expressions] == [exp.Star]
    return isinstance(then, exp.Insert) and isinstance(then.this, exp.Star)


def _expand(then: Expr, names: list[str], values: list[Expr]) -> None:
    """Let ``*`` name the columns of the table; in place."""
    columns = [exp.column(name, quoted=True) for name in names]
    copies = [value.copy() for value in values]
    if isinstance(then, exp.Insert):
        then.set("this", exp.Tuple(expressions=columns))
        then.set("expression", exp.Tuple(expressions=copies))
        return
    pairs = zip(columns, copies, strict=True)
    assignments = [exp.EQ(this=column, expression=value) for column, value in pairs]
    then.set("expressions", assignments)


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
