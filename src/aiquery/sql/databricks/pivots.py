"""PIVOT becomes two groupings: Spark's values, types and names, for any aggregate.

The first groups by the pivot columns too, and computes each aggregate. The second puts the value of each group in a
column of its own; a group without rows gives NULL, as on Spark.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from aiquery.sql.databricks.aggregates import COLLECTED
from aiquery.sql.databricks.column_names import name_column
from aiquery.sql.databricks.lambdas import function_name
from aiquery.sql.databricks.positions import RefusedHere

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sqlglot.expressions import Expr

_OUTSIDE = ("joins", "laterals")
"""Parts of an item of FROM that are applied after its PIVOT."""


def expand_pivots(tree: Expr) -> None:
    """Replace each item of FROM that has a PIVOT; in place. The tree is not yet translated."""
    while (found := _find_pivot(tree)) is not None:  # one may be within another
        node, pivot = found
        source = node.copy()
        pivots = source.args["pivots"]
        before = pivots[: pivot.index or 0]
        source.set("pivots", before)
        for part in _OUTSIDE:
            source.set(part, None)
        made = _group_twice(source, pivot).subquery()
        made.set("alias", pivot.args.get("alias"))
        made.set("pivots", [one.copy() for one in pivots[len(before) + 1 :]])
        for part in _OUTSIDE:
            made.set(part, node.args.get(part))
        node.replace(made)


def _find_pivot(tree: Expr) -> tuple[Expr, exp.Pivot] | None:
    """Return an item of FROM and a PIVOT of it; None if there is none."""
    for pivot in tree.find_all(exp.Pivot):
        node = pivot.parent
        if node is not None and not pivot.args.get("unpivot"):
            return node, pivot
    return None


def _group_twice(source: Expr, pivot: exp.Pivot) -> exp.Select:
    field = pivot.args["fields"][0]
    columns = _items(field.this)
    keys = [f"aiquery_key_{index}" for index in range(len(columns))]
    count = len(pivot.expressions)
    values = [f"aiquery_value_{index}" for index in range(count)]
    used = [*columns, *(one.unalias() for one in pivot.expressions)]
    first = exp.select(
        _star_without(_names_of(used, source)),
        *(exp.alias_(one.copy(), key) for one, key in zip(columns, keys, strict=True)),
        *(
            exp.alias_(one.unalias().copy(), value)
            for one, value in zip(pivot.expressions, values, strict=True)
        ),
    ).from_(source)
    first.set("group", exp.Group(all=True))
    aggregates = list(zip(values, pivot.expressions, _suffixes(pivot), strict=True))
    cells = [
        exp.alias_(
            _cell(value, aggregate.unalias(), zip(keys, parts, strict=True)),
            _join(name, suffix),
            quoted=True,
        )
        for name, parts in _values_of(field)
        for value, aggregate, suffix in aggregates
    ]
    second = exp.select(_star_without([*keys, *values]), *cells)
    second.set("group", exp.Group(all=True))
    return second.from_(first.subquery("aiquery_groups"))


def _items(node: Expr) -> list[Expr]:
    if isinstance(node, exp.Tuple):
        return node.expressions
    return [node]


def _star_without(names: list[str]) -> exp.Star:
    return exp.Star(except_=[exp.to_identifier(name, quoted=True) for name in names])


def _names_of(used: list[Expr], source: Expr) -> list[str]:
    """Return the columns that the PIVOT names: the others are those that it groups by."""
    table = source.alias_or_name.lower()
    names: dict[str, str] = {}
    for column in (one for node in used for one in node.find_all(exp.Column)):
        parts = [part.name for part in column.parts]
        is_qualified = len(parts) > 1 and parts[0].lower() == table
        name = parts[1] if is_qualified else parts[0]
        names[name.lower()] = name
    return list(names.values())


def _cell(value: str, aggregate: Expr, keys: Iterable[tuple[str, Expr]]) -> Expr:
    """Return the value of the group that has some keys; without rows an array is empty, as on Spark."""
    tests = [
        exp.NullSafeEQ(this=exp.column(key), expression=part.copy())
        for key, part in keys
    ]
    only = exp.AnyValue(this=exp.column(value))
    made = exp.Filter(this=only, expression=exp.Where(this=exp.and_(*tests)))
    if function_name(aggregate) not in COLLECTED:
        return made
    return exp.Coalesce(this=made, expressions=[exp.array()])


def _values_of(field: Expr) -> Iterator[tuple[str, list[Expr]]]:
    """Yield the name of each value of IN, and its parts."""
    for item in field.expressions:
        if isinstance(item, exp.PivotAlias):
            name = item.args["alias"].name
            yield name, _items(item.this)
        else:
            yield _name(item), _items(item)


def _name(value: Expr) -> str:
    """Return the name that a value gives its column."""
    if isinstance(value, exp.Tuple):
        return "{" + ", ".join(map(_name, value.expressions)) + "}"
    if isinstance(value, exp.Cast):
        return _name(value.this)
    if isinstance(value, exp.Literal):
        return str(value.name)
    if isinstance(value, exp.Neg | exp.Boolean | exp.Null):
        return str(value.sql()).lower()
    raise RefusedHere(
        "PIVOT: give each value of IN that is no literal a name: value AS name.",
        value.meta.get("start"),
    )


def _suffixes(pivot: exp.Pivot) -> list[str]:
    """Return what each aggregate adds to the names; one alone adds nothing."""
    if len(pivot.expressions) == 1:
        return [""]
    return [one.alias or name_column(one) for one in pivot.expressions]


def _join(name: str, suffix: str) -> str:
    return f"{name}_{suffix}" if suffix else name
