"""Operators and special syntax: LIKE, paths into JSON with a cast, dates with intervals, EXTRACT."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from aiquery.sql.databricks import (
    aggregates,
    coercions,
    comparators,
    first_values,
    intervals,
    listagg,
    patterns,
    result_types,
    struct_order,
    value_texts,
)
from aiquery.sql.databricks.casts import translate_cast, translate_type
from aiquery.sql.databricks.dates import part_of
from aiquery.sql.databricks.decimals import translate_operator
from aiquery.sql.databricks.generators import (
    lateral_view,
    rename_columns,
    translate_explode,
)
from aiquery.sql.databricks.lambdas import call, choose
from aiquery.sql.databricks.nulls import is_not_null
from aiquery.sql.databricks.positions import RefusedHere
from aiquery.sql.databricks.value_texts import is_variant

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlglot.expressions import Expr


def _like(node: Expr) -> Expr:
    """Spark's LIKE has an escape character without ESCAPE: the backslash."""
    pattern = node.expression
    is_plain = isinstance(pattern, exp.Literal) and "\\" not in pattern.name
    if is_plain or isinstance(node.parent, exp.Escape):
        return node
    return exp.Escape(this=node.copy(), expression=exp.Literal.string("\\"))


def _path(node: exp.JSONExtract) -> Expr:
    """Return ``document:path``. A text that is not JSON has no parts, as on Databricks."""
    text = node.expression.sql("duckdb").strip("'").replace("''", "'")
    document = node.this
    path = exp.Literal.string(text)
    if "*" in text:
        parts = exp.cast(document.copy(), "TEXT")
        return call("databricks__json_parts", parts, path)
    if is_variant(document):
        return call("databricks__path", document.copy(), path)
    return choose("databricks__part", document, path)


def _extract(node: Expr) -> Expr:
    """Seconds have a fraction, Sunday is the first day of a week."""
    return part_of(node.name.upper(), node.expression)


def _item(node: exp.Bracket) -> Expr:
    """Let an index out of range fail: DuckDB's gives NULL. A map's missing key gives NULL on both."""
    (index,) = node.expressions
    is_range = isinstance(index, exp.Slice)
    is_safe = node.args.get("safe")
    if is_safe or is_range or index.is_string:
        return node
    macro = (
        "databricks__element" if node.args.get("offset") == 1 else "databricks__item"
    )
    return call(macro, node.this, index)


def _struct(node: exp.Struct) -> Expr:
    """Return ``struct(*)`` with a field for each column."""
    stars = [one for one in node.expressions if one.is_star]
    for star in stars:
        columns = exp.Columns(this=star.copy())
        star.replace(exp.Anonymous(this="*COLUMNS", expressions=[columns.this]))
    if not stars:
        return node
    return exp.Anonymous(
        this="struct_pack", expressions=[_as_field(one) for one in node.expressions]
    )


def _as_field(item: Expr) -> Expr:
    """Return an item of a struct as ``name := value``, which DuckDB's function takes."""
    if isinstance(item, exp.Anonymous) and item.this == "*COLUMNS":
        return item
    value = item.unalias() if not isinstance(item, exp.PropertyEQ) else item.expression
    name = item.this if isinstance(item, exp.PropertyEQ) else None
    name = exp.to_identifier(item.alias_or_name, quoted=True) if name is None else name
    return exp.PropertyEQ(this=name, expression=value.copy())


def _int_div(node: exp.IntDiv) -> Expr:
    return call("databricks_div", node.this.copy(), node.expression.copy())


def _ceil(node: exp.Ceil | exp.Floor) -> Expr:
    """Let ``ceil`` and ``floor`` of a DOUBLE be a BIGINT."""
    if node.args.get("decimals") is not None:
        return node
    name = "ceil" if isinstance(node, exp.Ceil) else "floor"
    return choose(f"databricks__{name}", node.this)


def _round(node: exp.Round) -> Expr:
    digits = node.args.get("decimals") or exp.Literal.number(0)
    if not isinstance(digits, exp.Literal | exp.Neg):
        return node
    value = node.this
    return choose("databricks__round", value, digits)


def _random(node: exp.Rand | exp.Randn) -> Expr:
    if node.this is not None:
        raise RefusedHere(
            "random numbers of a seed are others on DuckDB; leave the seed out.",
            node.meta.get("start"),
        )
    return node


def _chr(node: exp.Chr) -> Expr:
    return call("databricks__letter", *(one.copy() for one in node.expressions))


def _median(node: exp.Median) -> Expr:
    """Let a median of decimals be a DOUBLE."""
    node.set("this", exp.cast(node.this.copy(), "DOUBLE"))
    return node


def _group(node: exp.Group) -> Expr:
    """Translate ``GROUP BY a, b WITH ROLLUP``, and WITH CUBE."""
    if node.args.get("grouping_sets"):
        # Spark's GROUP BY a, b GROUPING SETS (..) names the columns twice.
        node.set("expressions", [])
    for name, kind in (("rollup", exp.Rollup), ("cube", exp.Cube)):
        found = node.args.get(name) or []
        if [one for one in found if not one.expressions]:
            columns = [one.copy() for one in node.expressions]
            node.set(name, [kind(expressions=columns)])
            node.set("expressions", [])
    return node


def _array_insert(node: exp.ArrayInsert) -> Expr:
    parts = (node.this, node.args["position"], node.expression)
    return call("databricks__insert", *(one.copy() for one in parts))


def _within_group(node: exp.WithinGroup) -> Expr:
    """Let a percentile of decimals be a DOUBLE."""
    if isinstance(node.this, exp.PercentileCont):
        for ordered in node.find_all(exp.Ordered):
            ordered.set("this", exp.cast(ordered.this.copy(), "DOUBLE"))
    return node


def _count(node: exp.Count) -> Expr:
    """Count the rows where none of several expressions is NULL."""
    if not node.expressions or isinstance(node.this, exp.Distinct):
        return node
    there = [is_not_null(one) for one in (node.this, *node.expressions)]
    is_there = exp.and_(*there)
    counted = exp.CountIf(this=is_there)
    counted.parent = node.parent
    return result_types.translate_aggregate(counted)


def _current_time(node: exp.CurrentTime | exp.Localtime) -> Expr:
    if node.this is not None:
        raise RefusedHere(
            "current_time(n): on DuckDB a time has six digits after the second; use date_format.",
            node.meta.get("start"),
        )
    return exp.cast(node.copy(), "TIME")


def _computed(node: exp.ComputedColumnConstraint) -> Expr:
    if node.this is not None:
        node.set("this", exp.paren(node.this.copy()))
    return node


def _of_parts(macro: str, *names: str) -> Callable[[Expr], Expr]:
    """Return a change of an expression into a macro of its parts, as far as they are given."""

    def make(node: Expr) -> Expr:
        parts = [node.args.get(name) for name in names]
        return call(macro, *(part for part in parts if part is not None))

    return make


OPERATORS: dict[type[Expr], Callable[..., Expr]] = {
    **dict.fromkeys(coercions.COMPARISONS, coercions.translate_comparison),
    exp.DataType: translate_type,
    exp.IntDiv: _int_div,
    exp.Ceil: _ceil,
    exp.Floor: _ceil,
    exp.Round: _round,
    exp.Chr: _chr,
    exp.Rand: _random,
    exp.Randn: _random,
    exp.Median: _median,
    exp.Group: _group,
    exp.ArrayInsert: _array_insert,
    exp.WithinGroup: _within_group,
    exp.Count: _count,
    exp.CurrentTime: _current_time,
    exp.Localtime: _current_time,
    exp.Bracket: _item,
    exp.Struct: _struct,
    exp.ComputedColumnConstraint: _computed,
    exp.JSONExtract: _path,
    exp.Like: _like,
    exp.ILike: _like,
    exp.Cast: translate_cast,
    exp.TryCast: translate_cast,
    **intervals.OPERATORS,
    exp.Extract: _extract,
    exp.Mod: translate_operator,
    exp.Upper: _of_parts("databricks_upper", "this"),
    exp.Aliases: rename_columns,
    exp.Lateral: lateral_view,
    exp.Explode: translate_explode,
    **result_types.OPERATORS,
    **first_values.OPERATORS,
    **aggregates.OPERATORS,
    **comparators.OPERATORS,
    **listagg.OPERATORS,
    **struct_order.OPERATORS,
    **value_texts.OPERATORS,
    **patterns.OPERATORS,
    exp.Overlay: _of_parts("databricks_overlay", "this", "expression", "from_", "for_"),
    exp.Substring: _of_parts("databricks_substr", "this", "start", "length"),
}
