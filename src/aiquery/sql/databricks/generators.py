"""Functions that make several columns or rows in SELECT: posexplode, inline, stack, json_tuple."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from aiquery.sql.databricks.lambdas import call, fields_of, make_lambda

if TYPE_CHECKING:
    from collections.abc import Callable

MACROS = {
    "_positions_of": "(items) AS list_transform(items, lambda x, i: {'pos': (i - 1)::INT, 'col': x})",
    "_or_one_null": "(items) AS CASE WHEN len(items) > 0 THEN items ELSE [NULL] END",
    "_json_field": "(text, name) AS CASE WHEN json_valid(text) THEN json_extract_string(text, '$.\"' || name || "
    "'\"') END",
}


def _unnest(items: exp.Expr) -> exp.Expr:
    """Return ``unnest(items, max_depth := 2)``: the fields of each struct are columns."""
    depth = exp.PropertyEQ(
        this=exp.to_identifier("max_depth"), expression=exp.Literal.number(2)
    )
    return call("unnest", items, depth)


def _struct(names: list[str], values: list[exp.Expr]) -> exp.Expr:
    fields = [
        exp.PropertyEQ(this=exp.to_identifier(name), expression=value)
        for name, value in zip(names, values, strict=True)
    ]
    return exp.Struct(expressions=fields)


def _posexplode(node: exp.Anonymous) -> exp.Expr:
    return _unnest(call("databricks__positions_of", _value(node)))


def _posexplode_outer(node: exp.Anonymous) -> exp.Expr:
    return _unnest(
        call("databricks__or_one_null", call("databricks__positions_of", _value(node)))
    )


def _explode_outer(node: exp.Anonymous) -> exp.Expr:
    return call("unnest", call("databricks__or_one_null", _value(node)))


def _inline(node: exp.Anonymous) -> exp.Expr:
    return _unnest(_value(node))


def _inline_outer(node: exp.Anonymous) -> exp.Expr:
    return _unnest(call("databricks__or_one_null", _value(node)))


def _stack(node: exp.Anonymous) -> exp.Expr:
    count, *values = node.expressions
    rows = int(count.name)
    width = -(-len(values) // rows)
    values += [exp.null() for _ in range(rows * width - len(values))]
    names = [f"col{number}" for number in range(width)]
    made = [
        _struct(names, values[start : start + width])
        for start in range(0, rows * width, width)
    ]
    return _unnest(exp.Array(expressions=made))


def _json_tuple(node: exp.Anonymous) -> exp.Expr:
    return _unnest(_tuples(node))


def _tuples(node: exp.Anonymous) -> exp.Expr:
    """Return the list of the one struct that ``json_tuple`` makes."""
    text, *names = node.expressions
    row = exp.to_identifier("__text")
    values: list[exp.Expr] = [
        call("databricks__json_field", exp.column(row.copy()), name) for name in names
    ]
    body = _struct([f"c{number}" for number in range(len(names))], values)
    return call("list_transform", call("list_value", text), make_lambda(row, body))


def lateral_view(node: exp.Lateral) -> exp.Expr:
    """Translate ``LATERAL VIEW [OUTER] generator(..) t AS columns``. OUTER gives a row of NULLs where there is none."""
    generator = node.this
    if not node.args.get("view"):
        return _lateral_join(node)
    name = (
        str(generator.this).lower()
        if isinstance(generator, exp.Anonymous)
        else "explode"
    )
    if not isinstance(generator, exp.Explode | exp.Anonymous) or name not in _VIEWED:
        return node
    if isinstance(generator, exp.Explode):
        value = generator.this
    else:
        value = _tuples(generator) if name == "json_tuple" else _value(generator)
    alias = node.args.get("alias")
    is_map = name.startswith("explode") and alias is not None and len(alias.columns) > 1
    items = call("map_entries", value) if is_map else value
    if name.startswith("posexplode"):
        items = call("databricks__positions_of", items)
    if node.args.get("outer") or name.endswith("_outer"):
        items = call("databricks__or_one_null", items)
    is_row = is_map or not name.startswith("explode")
    node.set("this", exp.Inline(this=items) if is_row else exp.Explode(this=items))
    node.set("outer", None)
    return node


def _lateral_join(node: exp.Lateral) -> exp.Expr:
    """Translate ``FROM t, LATERAL explode(..) AS e(x)``: a LATERAL VIEW is written otherwise, and means the same."""
    join = node.parent
    if not isinstance(join, exp.Join):
        return node
    select = join.parent
    name = (
        str(node.this.this).lower()
        if isinstance(node.this, exp.Anonymous)
        else "explode"
    )
    is_generator = isinstance(node.this, exp.Explode) or name in _VIEWED
    is_outer = bool(join.args.get("side"))
    if not isinstance(select, exp.Select) or not is_generator or is_outer:
        return node
    alias = node.args.get("alias")
    view = node.copy()
    view.set("view", value=True)
    if alias is None or not alias.columns:
        defaults = ["pos", "col"] if name.startswith("posexplode") else ["col"]
        table = exp.to_identifier("aiquery_lateral") if alias is None else alias.this
        columns = [exp.to_identifier(one) for one in defaults]
        view.set("alias", exp.TableAlias(this=table, columns=columns))
    select.append("laterals", lateral_view(view))
    join.pop()
    return node


def rename_columns(node: exp.Expr) -> exp.Expr:
    """Translate ``posexplode(..) AS (p, x)``: the fields of each row get the names."""
    made = node.this
    names = [one.name for one in node.expressions]
    if isinstance(made, exp.Explode):
        made = _unnest(call("map_entries", made.this))
    if not isinstance(made, exp.Anonymous) or str(made.this).lower() != "unnest":
        return node
    items, *depth = made.expressions
    row = exp.to_identifier("__row")
    if not depth:  # one struct
        return call("unnest", _struct(names, fields_of(items, len(names))))
    body = _struct(names, fields_of(exp.column(row), len(names)))
    return _unnest(call("list_transform", items, make_lambda(row, body)))


def _value(node: exp.Anonymous) -> exp.Expr:
    """Return the only argument, which may be named."""
    (argument,) = node.expressions
    is_named = isinstance(argument, exp.Kwarg | exp.PropertyEQ)
    value: exp.Expr = argument.expression if is_named else argument
    return value


REWRITES: dict[str, Callable[[exp.Anonymous], exp.Expr]] = {
    "posexplode": _posexplode,
    "posexplode_outer": _posexplode_outer,
    "explode_outer": _explode_outer,
    "inline": _inline,
    "inline_outer": _inline_outer,
    "stack": _stack,
    "json_tuple": _json_tuple,
}
_VIEWED = frozenset(
    {
        "explode",
        "explode_outer",
        "posexplode",
        "posexplode_outer",
        "inline",
        "inline_outer",
        "json_tuple",
    }
)
SEVERAL_COLUMNS = frozenset(REWRITES) - {"explode_outer"}
"""Functions whose columns have names of their own."""
