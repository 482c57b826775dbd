"""The items of FROM: files, ranges, VALUES, samples, and versions of a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from aiquery.sql.databricks.files import read_function, read_path
from aiquery.sql.databricks.generators import generator_table
from aiquery.sql.databricks.positions import RefusedHere
from aiquery.sql.delta_paths import as_view

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlglot.expressions import Expr

_PARTS = ("alias", "sample", "joins", "pivots", "laterals")
_NO_VERSIONS = "a table of DuckDB has no earlier versions."


def translate_table(node: exp.Table) -> Expr:
    """Return a table, a range or files as DuckDB reads them. Raises ``StatementError`` for an earlier version."""
    _refuse_version(node)
    use_main(node)
    function = node.this
    name = function.name.lower() if isinstance(function, exp.Anonymous) else ""
    made: exp.Subquery | None = None
    if name == "read_files":
        made = read_function(function)
    elif name == "range":
        made = _range(function)
    elif (rows := generator_table(node)) is not None:
        made = rows
    elif node.db:
        made = read_path(node)
    if made is None:
        if name and not node.alias:
            node.set("alias", exp.TableAlias(this=exp.to_identifier(function.name)))
        return as_view(node)
    for part in _PARTS:
        made.set(part, node.args.get(part))
    return made


def use_main(node: exp.Table) -> None:
    """Name the schema ``default`` of Databricks as DuckDB names its own: ``main``."""
    if node.db.lower() == "default":
        node.set("db", exp.to_identifier("main"))
    if node.catalog.lower() in {"spark_catalog", "hive_metastore"}:
        node.set("catalog", None)


def _refuse_version(node: exp.Table) -> None:
    alias = node.args.get("alias")
    is_short = alias is not None and isinstance(alias.this, exp.Parameter)
    if is_short or node.args.get("version") or node.args.get("when"):
        raise RefusedHere(
            f"VERSION AS OF and TIMESTAMP AS OF are not supported on DuckDB: {_NO_VERSIONS}",
            node.this.meta.get("start"),
        )


def _range(function: exp.Anonymous) -> exp.Subquery:
    """Return ``range(start, end, step)`` with its column ``id``; the fourth argument is about Spark's execution."""
    arguments = [one.copy() for one in function.expressions[:3]]
    table = exp.Table(this=exp.Anonymous(this="range", expressions=arguments))
    return exp.select(exp.alias_(exp.column("range"), "id")).from_(table).subquery()


def translate_values(node: exp.Values) -> Expr:
    """Give the columns of VALUES the names that Spark gives them: col1, col2."""
    if isinstance(node.parent, exp.Insert):
        return node
    alias = node.args.get("alias")
    if alias is not None and alias.columns:
        return node
    row = node.expressions[0]
    count = len(row.expressions) if isinstance(row, exp.Tuple) else 1
    columns = [exp.to_identifier(f"col{index + 1}") for index in range(count)]
    name = exp.to_identifier("aiquery_values") if alias is None else alias.this
    node.set("alias", exp.TableAlias(this=name, columns=columns))
    if isinstance(node.parent, exp.From | exp.Join):
        return node
    return exp.select("*").from_(node.copy())


def translate_sample(node: exp.TableSample) -> Expr:
    """Take each row by chance for a percentage, as Spark does, and not whole blocks of rows."""
    if node.args.get("bucket_numerator") is not None:
        raise RefusedHere(
            "TABLESAMPLE (BUCKET ..) is not supported on DuckDB: use TABLESAMPLE (10 PERCENT).",
            None,
        )
    if node.args.get("percent") is not None:
        node.set("method", exp.var("BERNOULLI"))
    return node


TABLES: dict[type[Expr], Callable[..., Expr]] = {
    exp.Table: translate_table,
    exp.Values: translate_values,
    exp.TableSample: translate_sample,
}
