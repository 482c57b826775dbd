"""Aggregates and windows: they skip NULL and fail on overflow as Spark's do; ranks ignore their argument."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from aiquery.errors import StatementError
from aiquery.sql.databricks.coercions import as_double
from aiquery.sql.databricks.decimals import translate_mean, translate_sum
from aiquery.sql.databricks.lambdas import call, function_name
from aiquery.sql.databricks.result_types import AGGREGATES, around_aggregate

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlglot.expressions import Expr

MACROS = {
    "skewness": "(value) AS CASE WHEN count(value) = 2 AND min(value) < max(value) THEN 0.0 "
    "WHEN count(value) > 2 THEN skewness(value) * (count(value) - 2) / "
    "sqrt(count(value) * (count(value) - 1.0)) END",
    "try_sum": "(value BIGINT) AS TRY_CAST(sum(value) AS BIGINT), (value) AS sum(value)",
    "_number": "(value) AS CASE WHEN NOT isnan(value) THEN value END",
    "_present": "(items) AS coalesce(databricks_array_compact(items), [])",
}
_AROUND = exp.Filter | exp.Window
"""What is around an aggregate, and translated with it."""

_RENAMED = {
    "every": "bool_and",
    "bool_and": "bool_and",
    "some": "bool_or",
    "bool_or": "bool_or",
    "std": "stddev_samp",
    "kurtosis": "kurtosis_pop",
}
COLLECTED = {
    "collect_list": "databricks__present",
    "array_agg": "databricks__present",
    "collect_set": "databricks__distinct_present",
}


def _is_inner(node: Expr) -> bool:
    """Return True for what a FILTER or a window is around."""
    return isinstance(node.parent, _AROUND) and node.arg_key == "this"


def _sum_or_mean(node: exp.Sum | exp.Avg) -> Expr:
    node.set("this", as_double(node.this))
    if _is_inner(node):
        return node  # ``_around`` translates it
    if isinstance(node, exp.Avg):
        return translate_mean(node, node)
    return translate_sum(node.this, node)


def _rename(node: exp.Anonymous) -> Expr:
    return call(_RENAMED[str(node.this).lower()], *node.expressions)


def _mean(node: exp.Anonymous) -> Expr:
    mean = exp.Avg(this=node.expressions[0].copy())
    mean.parent, mean.arg_key = node.parent, node.arg_key
    return _sum_or_mean(mean)


def _try_sum(node: exp.Anonymous) -> Expr:
    (value,) = node.expressions
    made = call("databricks_try_sum", value.copy())
    if _is_inner(node):
        return made  # ``_around`` translates it
    return translate_sum(value, made)


def _rank(node: exp.Anonymous) -> Expr:
    return call(str(node.this).lower())


def _percentile(node: exp.Anonymous) -> Expr:
    value, share, *frequency = node.expressions
    if frequency:
        raise StatementError(
            "percentile with a frequency is not supported on DuckDB; repeat the rows instead."
        )
    number = exp.cast(value, "DOUBLE")
    return call("quantile_cont", number, share)


def _percentile_approx(node: exp.Anonymous) -> Expr:
    value, share, *_ = node.expressions
    return call("quantile_disc", value, share)


def _collect(node: exp.Anonymous) -> Expr:
    if isinstance(node.parent, _AROUND):
        return node  # ``_around`` translates it
    return call(COLLECTED[str(node.this).lower()], call("list", *node.expressions))


def _around(node: Expr) -> Expr:
    """Translate ``collect_list(..) FILTER (..) OVER (..)``: what removes NULL is around it. So is the type of a sum."""
    inner = node.this
    while isinstance(inner, exp.Filter):
        inner = inner.this
    if _is_inner(node):
        return node
    if type(inner) in AGGREGATES:
        return around_aggregate(type(inner), node)
    if _is_rank(inner):
        return exp.cast(node.copy(), "INT")
    name = function_name(inner)
    if name in COLLECTED:
        inner.replace(call("list", *inner.expressions))
        return call(COLLECTED[name], node.copy())
    return _around_number(inner, node)


def _around_number(inner: Expr, node: Expr) -> Expr:
    """Return a sum or an average with Spark's type; another aggregate as it is."""
    if isinstance(inner, exp.Sum):
        return translate_sum(inner.this, node)
    if isinstance(inner, exp.Avg):
        return translate_mean(inner, node)
    if function_name(inner) == "databricks_try_sum":
        return translate_sum(inner.expressions[0], node)
    return node


def _is_rank(node: Expr) -> bool:
    """Return True for a function whose result is an INT on Spark, and a BIGINT on DuckDB."""
    if isinstance(node, exp.RowNumber | exp.Rank | exp.DenseRank | exp.Ntile):
        return True
    return isinstance(node, exp.Anonymous) and str(node.this).lower() in {
        "rank",
        "dense_rank",
    }


def _percentile_of_order(node: exp.WithinGroup) -> Expr:
    """Let ``percentile_disc(..) WITHIN GROUP (ORDER BY number)`` be a DOUBLE."""
    kinds = (exp.PercentileDisc, exp.PercentileCont)
    if isinstance(node.this, kinds):
        for one in node.expression.expressions:
            one.set("this", exp.cast(one.this.copy(), "DOUBLE"))
    return node


REWRITES: dict[str, Callable[[exp.Anonymous], Expr]] = {
    **dict.fromkeys(_RENAMED, _rename),
    **dict.fromkeys(("rank", "dense_rank", "percent_rank"), _rank),
    **dict.fromkeys(COLLECTED, _collect),
    **dict.fromkeys(("mean", "try_avg"), _mean),
    "try_sum": _try_sum,
    "percentile": _percentile,
    "percentile_approx": _percentile_approx,
    "approx_percentile": _percentile_approx,
}
OPERATORS: dict[type[Expr], Callable[..., Expr]] = {
    exp.Filter: _around,
    exp.Window: _around,
    exp.Sum: _sum_or_mean,
    exp.Avg: _sum_or_mean,
    exp.WithinGroup: _percentile_of_order,
}
