"""Databricks SQL -> DuckDB SQL: sqlglot's transpiler, and the few things that it leaves as they are."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

from sqlglot import exp

from aiquery.requests.sql_types import parse_ddl, to_duckdb
from aiquery.sql.delta_paths import as_view
from aiquery.sql.dialects import DuckDBSQL

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger("aiquery")

_CASTS = {
    "bigint": "BIGINT", "int": "INT", "smallint": "SMALLINT", "tinyint": "TINYINT", "double": "DOUBLE",
    "float": "FLOAT", "string": "TEXT", "boolean": "BOOLEAN", "date": "DATE", "timestamp": "TIMESTAMP",
}  # fmt: skip
_NO_MEANING = (
    exp.FileFormatProperty,
    exp.PartitionedByProperty,
    exp.LocationProperty,
    exp.ClusteredByProperty,
)


def to_duckdb_dialect(tree: exp.Expr) -> Iterator[exp.Expr]:
    """Yield the statement (two for INSERT OVERWRITE) as a tree of DuckDB's dialect."""
    from sqlglot import parse_one

    tree = tree.transform(_node)
    if isinstance(tree, exp.Create):
        _drop_storage(tree)
    if isinstance(tree, exp.Insert) and tree.args.get("overwrite"):
        tree.args["overwrite"] = False
        yield exp.delete(tree.this.copy())
    yield parse_one(tree.sql("duckdb"), read=DuckDBSQL)


def _node(node: exp.Expr) -> exp.Expr:
    if isinstance(node, exp.Table):
        return as_view(node)
    if isinstance(node, exp.Anonymous):
        return _function(node)
    if isinstance(node, exp.FromJson):
        return _from_json(node)
    if isinstance(node, exp.Update | exp.When):
        _strip_target(node)
    return node


def _function(node: exp.Anonymous) -> exp.Expr:
    name, arguments = str(node.this).lower(), node.expressions
    if name in _CASTS and len(arguments) == 1:
        return exp.cast(arguments[0], _CASTS[name])
    return node


def _from_json(node: exp.FromJson) -> exp.Expr:
    """DuckDB takes a structure of its own where Databricks takes DDL."""
    if not isinstance(node.expression, exp.Literal):
        return node
    structure = json.dumps(to_duckdb(parse_ddl(node.expression.name)))
    return exp.Anonymous(
        this="from_json", expressions=[node.this, exp.Literal.string(structure)]
    )


def _strip_target(node: exp.Expr) -> None:
    """``MERGE .. UPDATE SET target.column =``: DuckDB knows no table there."""
    assignments = (
        node.expressions
        if isinstance(node, exp.Update)
        else getattr(node.args.get("then"), "expressions", [])
    )
    for assignment in assignments:
        if isinstance(assignment, exp.EQ) and isinstance(assignment.this, exp.Column):
            assignment.this.set("table", None)


def _drop_storage(tree: exp.Create) -> None:
    properties = tree.args.get("properties")
    dropped = (
        [
            p
            for p in properties.expressions
            if isinstance(p, _NO_MEANING) or type(p) is exp.Property
        ]
        if properties
        else []
    )
    for item in dropped:
        item.pop()
    if dropped:
        log.info(
            "CREATE: %d storage properties have no meaning on DuckDB and were left out",
            len(dropped),
        )
