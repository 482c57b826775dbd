"""Databricks SQL -> DuckDB SQL: sqlglot's transpiler, and the few constructs that it does not translate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import ErrorLevel, exp, parse_one

from aiquery import registry
from aiquery.sql.databricks.column_names import name_column
from aiquery.sql.databricks.comments import take_comments
from aiquery.sql.databricks.fallbacks import NONE, Fallbacks
from aiquery.sql.databricks.from_json import translate_from_json
from aiquery.sql.databricks.functions import MACROS, NAMES, PREFIX, REWRITES
from aiquery.sql.databricks.generators import REWRITES as GENERATORS
from aiquery.sql.databricks.implicit_casts import add_implicit_casts
from aiquery.sql.databricks.item_fields import spread_fields
from aiquery.sql.databricks.lambdas import call
from aiquery.sql.databricks.lateral_aliases import field_of_alias
from aiquery.sql.databricks.once import evaluate_all_once, mark_unknown
from aiquery.sql.databricks.operators import OPERATORS
from aiquery.sql.databricks.patterns import PATTERN_SECOND, translate_pattern
from aiquery.sql.databricks.pivots import expand_pivots
from aiquery.sql.databricks.positions import RefusedHere
from aiquery.sql.databricks.refused import REFUSED
from aiquery.sql.databricks.session import translate_set
from aiquery.sql.databricks.statements.alter_table import translate_alter
from aiquery.sql.databricks.statements.create_function import cast_function
from aiquery.sql.databricks.statements.create_table import (
    check_lengths,
    read_external,
    take_identities,
    take_storage,
    translate_clone,
)
from aiquery.sql.databricks.statements.use import (
    is_schema,
    translate_schema,
    translate_use,
)
from aiquery.sql.databricks.statements.variables import variable_of
from aiquery.sql.databricks.tables import TABLES
from aiquery.sql.dialects import DuckDBSQL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlglot.expressions import Expr

_CASTS = {
    "bigint": "BIGINT", "int": "INT", "smallint": "SMALLINT", "tinyint": "TINYINT", "double": "DOUBLE",
    "float": "FLOAT", "string": "TEXT", "boolean": "BOOLEAN", "date": "DATE",
    "timestamp": "TIMESTAMPTZ", "binary": "BLOB", "decimal": "DECIMAL",
}  # fmt: skip


def to_duckdb_dialect(tree: Expr, *, fallbacks: Fallbacks = NONE) -> Iterator[str]:
    """Yield the statements of DuckDB that a statement is: several for comments, and for some ALTER TABLE.

    ``fallbacks`` are changes that DuckDB may do without.

    Raises ``StatementError`` for what is refused, and sqlglot's ``UnsupportedError`` for what it cannot write.
    """
    for one in _to_trees(tree, fallbacks):
        yield one.sql("duckdb", unsupported_level=ErrorLevel.RAISE)


def query_to_duckdb(tree: Expr) -> str:
    """Return a query as DuckDB's, which is one statement."""
    (text,) = to_duckdb_dialect(tree)
    return text


def expression_to_duckdb(expression: Expr) -> Expr:
    """Return an expression as a tree of DuckDB's dialect."""
    tree = parse_one(query_to_duckdb(exp.select(expression.copy())), read=DuckDBSQL)
    (item,) = tree.expressions
    made: Expr = item.unalias()
    return made


def _to_trees(tree: Expr, fallbacks: Fallbacks) -> Iterator[Expr]:
    if isinstance(tree, exp.Set) and (made := translate_set(tree)) is not None:
        yield from made
        return
    tree = tree.copy()
    for hint in list(tree.find_all(exp.Hint)):
        hint.pop()  # it is about how Spark runs a query, not about its result
    expand_pivots(tree)
    named = [
        (select, [name_column(item) for item in select.expressions])
        for select in tree.find_all(exp.Select)
    ]
    if fallbacks.item_fields:
        spread_fields(tree, fallbacks.item_fields)
    if fallbacks.casts:
        add_implicit_casts(tree)
    tree = _translate_all(tree)
    _keep_names(named)
    yield from _divide(tree)


def _divide(tree: Expr) -> Iterator[Expr]:
    """Yield the statements that one statement is on DuckDB."""
    match tree:
        case exp.Create() | exp.Drop() if is_schema(tree):
            yield translate_schema(tree)
        case exp.Create():
            yield from _create(tree)
        case exp.Drop() if str(tree.args.get("kind")).upper() == "FUNCTION":
            exists = "IF EXISTS " if tree.args.get("exists") else ""
            names = [one.sql("duckdb") for one in tree.args.get("tables") or ()]
            yield exp.Command(this="DROP", expression=f"MACRO {exists}{names[0]}")
        case exp.Alter():
            yield from translate_alter(tree)
        case exp.Use():
            yield translate_use(tree)
        case _:
            yield tree


def _create(tree: exp.Create) -> Iterator[Expr]:
    external = read_external(tree)
    if external is not None:
        yield external
        return
    if isinstance(tree.this, exp.UserDefinedFunction):
        yield cast_function(tree)
        return
    comments = take_comments(tree)
    take_storage(tree)
    check_lengths(tree)
    yield from take_identities(tree)
    yield translate_clone(tree)
    yield from comments


def _keep_names(selects: list[tuple[exp.Select, list[str]]]) -> None:
    """Give a column without an alias the name that Spark gives it."""
    for select, names in selects:
        for item, name in zip(list(select.expressions), names, strict=False):
            if name and not isinstance(item, exp.Alias):
                item.replace(exp.alias_(item.copy(), name, quoted=True))


def _translate_all(tree: Expr) -> Expr:
    """Translate the nodes of a tree, inner ones first: a function's arguments are translated before it."""
    for node in reversed(list(tree.walk(bfs=False))):
        made = _translate(node)
        if made is not node:
            if node is tree:
                tree = made
            else:
                node.replace(made)
    return evaluate_all_once(tree)


def _translate(node: Expr) -> Expr:
    if isinstance(node, exp.Column):
        return _translate_column(node)
    if type(node) in TABLES:
        return TABLES[type(node)](node)
    if isinstance(node, exp.Anonymous):
        return _translate_function(node)
    if isinstance(node, exp.FromJson):
        return translate_from_json(node)
    if type(node) in OPERATORS:
        return OPERATORS[type(node)](node)
    if isinstance(node, exp.Update | exp.When):
        _strip_target(node)
    return node


def _translate_column(node: exp.Column) -> Expr:
    stored = variable_of(node)
    if stored is None:
        return field_of_alias(node) or node
    return call("getvariable", exp.Literal.string(stored))


def _translate_function(node: exp.Anonymous) -> Expr:
    name = str(node.this).lower()
    if name in REFUSED:
        message = f"{name} is not supported on DuckDB: {REFUSED[name]}"
        raise RefusedHere(message, node.meta.get("start"))
    if name in PATTERN_SECOND and len(node.expressions) > 1:
        translate_pattern(name, node.expressions[1])
    if isinstance(node.parent, exp.Lateral | exp.Table) and name in GENERATORS:
        return node  # ``lateral_view`` and ``generator_table`` translate it
    if name in REWRITES:
        return REWRITES[name](node)
    macro = NAMES.get(name, name)
    if macro in MACROS and not name.startswith("_"):
        return call(f"{PREFIX}{macro}", *node.expressions)
    if name in _CASTS and len(node.expressions) == 1:
        return OPERATORS[exp.Cast](exp.cast(node.expressions[0], _CASTS[name]))
    if name not in registry.functions():
        mark_unknown(node)
    return node


def _strip_target(node: Expr) -> None:
    """Remove the table from ``UPDATE SET target.column =``: DuckDB's syntax has none there."""
    if not isinstance(node, exp.Update):
        node = node.args.get("then") or node
    for assignment in node.expressions:
        if not isinstance(assignment, exp.EQ):
            continue
        if isinstance(assignment.this, exp.Column):
            assignment.this.set("table", None)
        value = assignment.expression
        if value.name.upper() == "DEFAULT" and isinstance(value, exp.Column):
            value.replace(exp.var("DEFAULT"))
