"""CREATE FUNCTION: arguments and result have the declared types, which DuckDB's macros do not check."""

from __future__ import annotations

from sqlglot import exp

from aiquery.sql.databricks.casts import translate_cast
from aiquery.sql.databricks.lambdas import call

_CONVERTED = {
    exp.DataType.Type.TEXT: "databricks__parameter_text",
    exp.DataType.Type.INT: "databricks__parameter_whole",
    exp.DataType.Type.BIGINT: "databricks__parameter_whole",
    exp.DataType.Type.SMALLINT: "databricks__parameter_whole",
    exp.DataType.Type.TINYINT: "databricks__parameter_whole",
}
"""The macro that converts a value before a CAST: an argument has no type yet when DuckDB creates a function."""


def cast_function(tree: exp.Create) -> exp.Create:
    """Return a CREATE of a function whose parameters and result are cast to their types.

    The parameters of a function of tables are not: a column of its query may have the same name.
    """
    body = tree.expression
    value = body.this if isinstance(body, exp.Return) else body
    if value is None:
        return tree
    returns = tree.find(exp.ReturnsProperty)
    parameters = [
        one for one in tree.this.expressions if isinstance(one, exp.ColumnDef)
    ]
    if isinstance(value, exp.Query):
        made: exp.Expr = _cast_table(value.copy(), returns)
    else:
        made = _cast_value(tree, value.copy(), parameters, returns)
    value.replace(made)
    for parameter in parameters:
        parameter.set("kind", None)  # the macro would take no other type
    return tree


def _cast_value(
    tree: exp.Create,
    value: exp.Expr,
    parameters: list[exp.ColumnDef],
    returns: exp.ReturnsProperty | None,
) -> exp.Expr:
    kinds = {one.name.lower(): one.kind for one in parameters if one.kind}
    own = tree.this.this.name.lower()

    def cast_parameter(node: exp.Expr) -> exp.Expr:
        if not isinstance(node, exp.Column) or node.table.lower() not in {"", own}:
            return node
        kind = kinds.get(node.name.lower())
        return node if kind is None else _cast(exp.column(node.this.copy()), kind)

    made: exp.Expr = value.transform(cast_parameter)
    if returns is not None and isinstance(returns.this, exp.DataType):
        made = _cast(made, returns.this)
    return made


def _cast_table(query: exp.Query, returns: exp.ReturnsProperty | None) -> exp.Expr:
    """Return a query whose columns have the names and types of RETURNS TABLE."""
    schema = returns.this if returns is not None else None
    if not isinstance(schema, exp.Schema):
        return query
    columns = schema.expressions
    names = [f"c{index}" for index in range(len(columns))]
    rows = exp.Subquery(this=query)
    rows.set(
        "alias",
        exp.TableAlias(
            this=exp.to_identifier("aiquery_rows"),
            columns=[exp.to_identifier(name) for name in names],
        ),
    )
    items = [
        exp.alias_(
            translate_cast(exp.cast(exp.column(name), column.kind.copy())),
            column.name,
            quoted=True,
        )
        for name, column in zip(names, columns, strict=True)
    ]
    return exp.select(*items).from_(rows)


def _cast(value: exp.Expr, kind: exp.DataType) -> exp.Expr:
    if kind.this in _CONVERTED and not kind.expressions:
        return exp.cast(call(_CONVERTED[kind.this], value), kind.copy())
    if kind.expressions:
        return translate_cast(exp.cast(value, kind.copy()))
    return exp.cast(value, kind.copy())
