"""CREATE TABLE: where and how rows are stored is left out and said; files are read; identities are sequences."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from sqlglot import exp

from aiquery.errors import StatementError
from aiquery.sql.databricks.files import (
    FORMATS,
    Files,
    as_subquery,
    expand,
    without_scheme,
)
from aiquery.sql.databricks.notices import say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlglot.expressions import Expr

_STORAGE: dict[type[Expr], str] = {
    exp.FileFormatProperty: "USING",
    exp.PartitionedByProperty: "PARTITIONED BY",
    exp.LocationProperty: "LOCATION",
    exp.ClusteredByProperty: "CLUSTERED BY",
    exp.ClusterProperty: "CLUSTER BY",
    exp.OptionsProperty: "OPTIONS",
    exp.ExternalProperty: "EXTERNAL",
    exp.Property: "TBLPROPERTIES",
}


def take_storage(tree: exp.Create) -> None:
    """Remove what is about storage from a CREATE, and say so. Raises ``StatementError`` where rows would be missed."""
    properties = tree.args.get("properties")
    found = [
        one
        for one in (properties.expressions if properties else ())
        if type(one) in _STORAGE
    ]
    if not found:
        return
    for one in found:
        if isinstance(one, exp.LocationProperty):
            _refuse_full(one.name)
        one.pop()
    words = [_STORAGE[type(one)] for one in found if not _is_delta(one)]
    if words:
        say(
            f"CREATE TABLE: {', '.join(dict.fromkeys(words))} left out; DuckDB stores the table itself."
        )


def _is_delta(item: Expr) -> bool:
    return isinstance(item, exp.FileFormatProperty) and item.name.lower() == "delta"


def _refuse_full(location: str) -> None:
    """Raise ``StatementError`` for a place that has rows: the new table would have none of them."""
    folder = Path(without_scheme(location))
    if folder.exists() and (folder.is_file() or any(folder.iterdir())):
        raise StatementError(
            f"CREATE TABLE: there are files at {location!r}, which DuckDB's table would not have; read them as "
            f"delta.`{location}` or with read_files."
        )


def read_external(tree: exp.Create) -> exp.Create | None:
    """Return a table or view ``USING csv`` over files as a view of them; None for any other CREATE."""
    properties = tree.args.get("properties")
    if properties is None or tree.expression is not None:
        return None
    kind = properties.find(exp.FileFormatProperty)
    options = {
        one.this.name.lower(): one.args["value"].name or one.args["value"].sql().lower()
        for found in properties.find_all(exp.OptionsProperty)
        for one in found.expressions
    }
    location = properties.find(exp.LocationProperty)
    path = options.pop("path", "") or (location.name if location else "")
    format_name = kind.name.lower() if kind else ""
    if format_name not in FORMATS or not path:
        return None
    table = tree.this
    if isinstance(table, exp.Schema):
        columns = [one.copy() for one in table.expressions]
        options["schema"] = ", ".join(one.sql("databricks") for one in columns)
        table = table.this
    files = Files(
        format=format_name,
        paths=(expand(path, options),),
        options=options,
        is_inferred=options.get("inferschema", "false").lower() == "true",
    )
    temporary = properties.find(exp.TemporaryProperty)
    return exp.Create(
        this=table.copy(),
        kind="VIEW",
        replace=tree.args.get("replace"),
        exists=tree.args.get("exists"),
        expression=exp.select("*").from_(as_subquery(files)),
        properties=exp.Properties(expressions=[temporary.copy()])
        if temporary
        else None,
    )


def check_lengths(tree: exp.Create) -> None:
    """Let a longer text than VARCHAR(n) fail. Raises ``StatementError`` for CHAR(n), which Spark fills with blanks."""
    if not isinstance(tree.this, exp.Schema):
        return
    for column in tree.this.find_all(exp.ColumnDef):
        kind = column.kind
        if (
            kind is None
            or not kind.expressions
            or kind.this not in exp.DataType.TEXT_TYPES
        ):
            continue
        if kind.this in {exp.DataType.Type.CHAR, exp.DataType.Type.NCHAR}:
            raise StatementError(
                f"CREATE TABLE: {kind.sql('databricks')} is not supported on DuckDB; use STRING, or VARCHAR(n)."
            )
        length = exp.func("length", exp.column(column.this.copy()))
        limit = exp.LTE(this=length, expression=kind.expressions[0].this.copy())
        constraint = exp.ColumnConstraint(kind=exp.CheckColumnConstraint(this=limit))
        column.append("constraints", constraint)


def translate_clone(tree: exp.Create) -> exp.Create:
    """Return ``CREATE TABLE t SHALLOW CLONE s`` as a copy of the rows."""
    clone = tree.args.get("clone")
    if clone is not None:
        tree.set("clone", None)
        tree.set("expression", exp.select("*").from_(clone.this.copy()))
    return tree


def take_identities(tree: exp.Create) -> Iterator[Expr]:
    """Give a column that is GENERATED AS IDENTITY a sequence; yield the statements that create the sequences."""
    if not isinstance(tree.this, exp.Schema):
        return
    for constraint in tree.this.find_all(exp.ColumnConstraint):
        kind = constraint.kind
        if isinstance(kind, exp.GeneratedAsIdentityColumnConstraint):
            sequence = _sequence_beside(tree.this.this)
            start = kind.args.get("start") or 1
            step = kind.args.get("increment") or 1
            text = f"SEQUENCE {sequence} START {start} INCREMENT {step}"
            yield exp.Command(this="CREATE", expression=text)
            following = exp.func("nextval", exp.Literal.string(sequence))
            constraint.set("kind", exp.DefaultColumnConstraint(this=following))


def _sequence_beside(table: exp.Table) -> str:
    """Return the name of a new sequence in the schema of a table."""
    sequence = exp.to_table(f"aiquery_identity_{uuid.uuid4().hex[:12]}")
    sequence.set("db", table.args.get("db"))
    sequence.set("catalog", table.args.get("catalog"))
    name: str = sequence.sql("duckdb")
    return name
