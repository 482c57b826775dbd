"""PIVOT: a count of no rows is NULL, and the sum of whole numbers is a BIGINT, as on Spark."""

from __future__ import annotations

from itertools import product

from sqlglot import exp

from aiquery.sql.databricks.lambdas import call
from aiquery.sql.databricks.nulls import is_not_null
from aiquery.sql.databricks.positions import RefusedHere


def translate_pivots(node: exp.Table | exp.Subquery | exp.Values) -> exp.Expr:
    """Return an item of FROM with PIVOT whose columns have Spark's values and types."""
    pivots = [
        one for one in node.args.get("pivots") or () if not one.args.get("unpivot")
    ]
    narrowed = [name for pivot in pivots for name in _translate(pivot)]
    if not narrowed:
        return node
    alias = pivots[-1].args.get("alias")
    pivots[-1].set("alias", None)
    changed = [
        exp.alias_(
            call("databricks__total_typed", _column(name), exp.null()),
            name,
            quoted=True,
        )
        for name in narrowed
    ]
    star = exp.Star(replace=changed)
    outer = exp.select(star).from_(node.copy()).subquery()
    outer.set("alias", alias)
    return outer


def _column(name: str) -> exp.Column:
    return exp.column(exp.to_identifier(name, quoted=True))


def _translate(pivot: exp.Pivot) -> list[str]:
    """Change the aggregates of a PIVOT; return the names of the columns that are counts or sums."""
    aggregates = list(pivot.expressions)
    values = [_values_of(field) for field in pivot.args.get("fields") or ()]
    names: list[str] = []
    for aggregate in aggregates:
        function = aggregate.unalias()
        if not isinstance(function, exp.Count | exp.Sum):
            if len(aggregates) == 1:
                aggregate.replace(function.copy())
            continue
        name = aggregate.alias or _name(function)
        made = function.copy()
        if isinstance(function, exp.Count):
            made = _counting_sum(function)
        is_named = len(aggregates) > 1  # one alone gives its columns no name
        aggregate.replace(exp.alias_(made, name, quoted=True) if is_named else made)
        suffix = f"_{name}" if len(aggregates) > 1 else ""
        names.extend("_".join(parts) + suffix for parts in product(*values))
    return names


def _name(function: exp.Expr) -> str:
    return str(function.sql("databricks", normalize_functions="lower"))


def _counting_sum(count: exp.Count) -> exp.Sum:
    """Return a count as a sum, which is NULL without rows."""
    value = count.this or exp.Literal.number(1)
    if isinstance(value, exp.Star | exp.Literal):
        return exp.Sum(this=exp.Literal.number(1))
    if isinstance(value, exp.Distinct):
        raise RefusedHere(
            "PIVOT (count(DISTINCT ..)) is not supported on DuckDB: group by the column, and pivot the counts.",
            count.meta.get("start"),
        )
    return exp.Sum(this=exp.cast(is_not_null(value), "INT"))


def _values_of(field: exp.Expr) -> list[str]:
    """Return the names that the values of a column give to columns."""
    names = []
    for value in field.expressions:
        if isinstance(value, exp.PivotAlias):
            names.append(value.args["alias"].name)
        elif isinstance(value, exp.Tuple):
            raise RefusedHere(
                "PIVOT: give each tuple a name on DuckDB: ('a', 1) AS a1.",
                value.meta.get("start"),
            )
        else:
            names.append(value.name)
    return names
