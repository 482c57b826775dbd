"""Databricks SQL -> DuckDB SQL: sqlglot's transpiler, and the few constructs that it does not translate."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

from sqlglot import ErrorLevel, exp

from aiquery.errors import StatementError
from aiquery.requests.sql_types import parse_ddl, to_duckdb
from aiquery.sql.databricks.comments import take_comments
from aiquery.sql.databricks.functions import MACROS, NAMES, PREFIX, REWRITES
from aiquery.sql.databricks.generators import REWRITES as GENERATORS
from aiquery.sql.databricks.generators import SEVERAL_COLUMNS
from aiquery.sql.databricks.lambdas import call
from aiquery.sql.databricks.once import evaluate_all_once
from aiquery.sql.databricks.operators import OPERATORS
from aiquery.sql.databricks.refused import REFUSED
from aiquery.sql.databricks.session import translate_set
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
    exp.ClusterProperty,
)


def to_duckdb_dialect(tree: exp.Expr) -> Iterator[exp.Expr]:
    """Yield the statement as trees of DuckDB's dialect: several for INSERT OVERWRITE, and for comments."""
    from sqlglot import parse_one

    if isinstance(tree, exp.Set) and (made := translate_set(tree)) is not None:
        yield from made
        return
    tree = tree.copy()
    for hint in list(tree.find_all(exp.Hint)):
        hint.pop()  # it is about how Spark runs a query, not about its result
    written = [
        (select, [item.copy() for item in select.expressions])
        for select in tree.find_all(exp.Select)
    ]
    tree = _translate_all(tree)
    _keep_names(written)
    comments: list[exp.Expr] = []
    if isinstance(tree, exp.Create):
        comments = take_comments(tree)
        _drop_storage(tree)
    if isinstance(tree, exp.Insert) and tree.args.get("overwrite"):
        tree.args["overwrite"] = False
        yield exp.delete(tree.this.copy())
    text = tree.sql("duckdb", unsupported_level=ErrorLevel.RAISE)
    yield parse_one(text, read=DuckDBSQL)
    yield from comments


def _name(item: exp.Expr) -> str:
    """Return the name that Spark gives a column without an alias; "" if it has one or makes several columns."""
    if isinstance(
        item,
        exp.Alias | exp.Aliases | exp.Column | exp.Star | exp.Subquery | exp.Literal,
    ):
        return ""
    function = str(item.this).lower() if isinstance(item, exp.Anonymous) else ""
    if function in SEVERAL_COLUMNS:
        return ""
    if function == "explode_outer" or isinstance(item, exp.Explode):
        return "col"
    return str(
        item.sql(
            "databricks",
            normalize_functions="lower",
            unsupported_level=ErrorLevel.IGNORE,
        )
    )


def _keep_names(selects: list[tuple[exp.Select, list[exp.Expr]]]) -> None:
    """Give a column without an alias, whose expression has changed, the name that Spark gives it."""
    for select, written in selects:
        for item, before in zip(list(select.expressions), written, strict=False):
            name = "" if item == before else _name(before)
            if name and not isinstance(item, exp.Alias):
                item.replace(exp.alias_(item.copy(), name, quoted=True))


def _translate_all(tree: exp.Expr) -> exp.Expr:
    """Translate the nodes of a tree, inner ones first: a function's arguments are translated before it."""
    for node in reversed(list(tree.walk(bfs=False))):
        made = _translate(node)
        if made is not node:
            if node is tree:
                tree = made
            else:
                node.replace(made)
    return evaluate_all_once(tree)


def _translate(node: exp.Expr) -> exp.Expr:
    if isinstance(node, exp.Table):
        return as_view(node)
    if isinstance(node, exp.Anonymous):
        return _translate_function(node)
    if isinstance(node, exp.FromJson):
        return _translate_from_json(node)
    if type(node) in OPERATORS:
        return OPERATORS[type(node)](node)
    if isinstance(node, exp.Update | exp.When):
        _strip_target(node)
    return node


def _translate_function(node: exp.Anonymous) -> exp.Expr:
    name = str(node.this).lower()
    if name in REFUSED:
        raise StatementError(f"{name} is not supported on DuckDB: {REFUSED[name]}")
    if isinstance(node.parent, exp.Lateral) and name in GENERATORS:
        return node  # ``lateral_view`` translates it
    if name in REWRITES:
        return REWRITES[name](node)
    macro = NAMES.get(name, name)
    if macro in MACROS and not name.startswith("_"):
        return call(f"{PREFIX}{macro}", *node.expressions)
    return _translate_cast(node)


def _translate_cast(node: exp.Anonymous) -> exp.Expr:
    name = str(node.this).lower()
    if name in _CASTS and len(node.expressions) == 1:
        return OPERATORS[exp.Cast](exp.cast(node.expressions[0], _CASTS[name]))
    return node


def _translate_from_json(node: exp.FromJson) -> exp.Expr:
    """Replace the DDL of a type, which Databricks takes, by DuckDB's JSON structure."""
    if node.args.get("options") is not None:
        raise StatementError(
            "from_json: options are not supported on DuckDB; convert the fields after reading them."
        )
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
