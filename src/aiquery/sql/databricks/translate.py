"""Databricks SQL -> DuckDB SQL: sqlglot's transpiler, and the few constructs that it does not translate."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

from sqlglot import exp

from aiquery.requests.sql_types import parse_ddl, to_duckdb
from aiquery.sql.databricks.functions import NAMES, PREFIX, REWRITES, MACROS
from aiquery.sql.delta_paths import as_view
from aiquery.sql.dialects import DuckDBSQL

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger("aiquery")

_CASTS = {
    "bigint": "BIGINT", "int": "INT", "smallint": "SMALLINT", "tinyint": "TINYINT", "double": "DOUBLE",
    "float": "FLOAT", "string": "TEXT", "boolean": "BOOLEAN", "date": "DATE", "timestamp": "TIMESTAMP",
}  # fmt: skip
_STORAGE_PROPERTIES = (
    exp.FileFormatProperty,
    exp.PartitionedByProperty,
    exp.LocationProperty,
    exp.ClusteredByProperty,
)


def to_duckdb_dialect(tree: exp.Expr) -> Iterator[exp.Expr]:
    """Yield the statement (two for INSERT OVERWRITE) as a tree of DuckDB's dialect."""
    from sqlglot import parse_one

    tree = tree.transform(_translate)
    if isinstance(tree, exp.Create):
        _drop_storage(tree)
    if isinstance(tree, exp.Insert) and tree.args.get("overwrite"):
        tree.args["overwrite"] = False
        yield exp.delete(tree.this.copy())
    yield parse_one(tree.sql("duckdb"), read=DuckDBSQL)


def _translate(node: exp.Expr) -> exp.Expr:
    if isinstance(node, exp.Table):
        return as_view(node)
    if isinstance(node, exp.Anonymous):
        return _translate_function(node)
    if isinstance(node, exp.FromJson):
        return _translate_from_json(node)
    if isinstance(node, exp.Update | exp.When):
        _strip_target(node)
    return node


def _translate_function(node: exp.Anonymous) -> exp.Expr:
    name = str(node.this).lower()
    if name in REWRITES:
        return REWRITES[name](node)
    macro = NAMES.get(name, name)
    if macro in MACROS:
        return exp.Anonymous(this=f"{PREFIX}{macro}", expressions=node.expressions)
    return _translate_cast(node)


def _translate_cast(node: exp.Anonymous) -> exp.Expr:
    name = str(node.this).lower()
    if name in _CASTS and len(node.expressions) == 1:
        return exp.cast(node.expressions[0], _CASTS[name])
    return node


def _translate_from_json(node: exp.FromJson) -> exp.Expr:
    """Replace the DDL of a type, which Databricks takes, by DuckDB's JSON structure."""
    if not isinstance(node.expression, exp.Literal):
        return node
    structure = json.dumps(to_duckdb(parse_ddl(node.expression.name)))
    arguments = [node.this, exp.Literal.string(structure)]
    return exp.Anonymous(this="from_json", expressions=arguments)


def _strip_target(node: exp.Expr) -> None:
    """Remove the table from ``UPDATE SET target.column =``: DuckDB's syntax has none there."""
    if not isinstance(node, exp.Update):
        node = node.args.get("then") or node
    for assignment in node.expressions:
        if not isinstance(assignment, exp.EQ):
            continue
        if isinstance(assignment.this, exp.Column):
            assignment.this.set("table", None)


def _drop_storage(tree: exp.Create) -> None:
    properties = tree.args.get("properties")
    if not properties:
        return
    dropped = [item for item in properties.expressions if _is_storage(item)]
    for item in dropped:
        item.pop()
    if dropped:
        log.info(
            "CREATE: %d storage properties have no meaning on DuckDB and were left out",
            len(dropped),
        )


def _is_storage(item: exp.Expr) -> bool:
    return isinstance(item, _STORAGE_PROPERTIES) or type(item) is exp.Property
