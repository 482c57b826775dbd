"""CREATE FUNCTION: arguments and result have the declared types, which DuckDB's macros do not check."""

from __future__ import annotations

from sqlglot import exp


def cast_function(tree: exp.Create) -> exp.Create:
    """Return a CREATE of a function of values whose parameters and result are cast; one of tables as it is."""
    body = tree.expression
    value = body.this if isinstance(body, exp.Return) else body
    if value is None or isinstance(value, exp.Query):
        return tree
    function = tree.this
    parameters = [one for one in function.expressions if isinstance(one, exp.ColumnDef)]
    kinds = {one.name.lower(): one.kind for one in parameters if one.kind}
    own = function.this.name.lower()

    def cast_parameter(node: exp.Expr) -> exp.Expr:
        if not isinstance(node, exp.Column) or node.table.lower() not in {"", own}:
            return node
        kind = kinds.get(node.name.lower())
        name = exp.column(node.this.copy())
        return node if kind is None else exp.cast(name, kind.copy())

    made: exp.Expr = value.copy().transform(cast_parameter)
    returns = tree.find(exp.ReturnsProperty)
    if returns is not None and isinstance(returns.this, exp.DataType):
        made = exp.cast(made, returns.this.copy())
    value.replace(made)
    for parameter in parameters:
        parameter.set("kind", None)  # the macro would take no other type
    return tree
