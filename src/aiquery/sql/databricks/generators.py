"""Functions that make several columns or rows in SELECT: posexplode, inline, stack, json_tuple."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from aiquery.sql.databricks.lambdas import (
    call,
    fields_of,
    function_name,
    make_lambda,
    struct_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlglot.expressions import Expr

MACROS = {
    "_positions_of": "(items) AS list_transform(items, lambda x, i: {'pos': (i - 1)::INT, 'col': x})",
    "_map_positions_of": "(items) AS list_transform(map_entries(items), lambda x, i: "
    "{'pos': (i - 1)::INT, 'key': x.key, 'value': x.value})",
    "_or_one_null": "(items) AS CASE WHEN len(items) > 0 THEN items ELSE [NULL] END",
    "_json_field": "(text, name) AS CASE WHEN json_valid(text) THEN json_extract_string(text, '$.\"' || name || "
    "'\"') END",
}


def _unnest(items: Expr) -> Expr:
    """Return ``unnest(items, max_depth := 2)``: the fields of each struct are columns."""
    depth = exp.PropertyEQ(
        this=exp.to_identifier("max_depth"), expression=exp.Literal.number(2)
    )
    return call("unnest", items, depth)


def _posexplode(node: exp.Anonymous) -> Expr:
    return _unnest(_with_positions(_value(node)))


def _posexplode_outer(node: exp.Anonymous) -> Expr:
    rows = _with_positions(_value(node))
    return _unnest(call("databricks__or_one_null", rows))


def _with_positions(items: Expr) -> Expr:
    name = "map_positions_of" if is_certain_map(items) else "positions_of"
    return call(f"databricks__{name}", items)


def _explode_outer(node: exp.Anonymous) -> Expr:
    items = _value(node)
    if is_certain_map(items):
        return _unnest(call("databricks__or_one_null", call("map_entries", items)))
    return call("unnest", call("databricks__or_one_null", items))


def _inline(node: exp.Anonymous) -> Expr:
    return _unnest(_value(node))


def _inline_outer(node: exp.Anonymous) -> Expr:
    return _unnest(call("databricks__or_one_null", _value(node)))


def _stack(node: exp.Anonymous) -> Expr:
    return _unnest(_stacked(node))


def _width_of(node: Expr) -> int:
    count, *values = node.expressions
    return -(-len(values) // int(count.name))


def _stacked(node: Expr) -> Expr:
    """Return the list of the structs that ``stack`` makes."""
    count, *values = node.expressions
    rows = int(count.name)
    width = _width_of(node)
    values += [exp.null() for _ in range(rows * width - len(values))]
    names = [f"col{number}" for number in range(width)]
    made = [
        struct_of(names, values[start : start + width])
        for start in range(0, rows * width, width)
    ]
    return exp.Array(expressions=made)


def _json_tuple(node: exp.Anonymous) -> Expr:
    return _unnest(_tuples(node))


def _tuples(node: Expr) -> Expr:
    """Return the list of the one struct that ``json_tuple`` makes."""
    text, *names = node.expressions
    row = exp.to_identifier("__text")
    values: list[Expr] = [
        call("databricks__json_field", exp.column(row.copy()), name) for name in names
    ]
    body = struct_of([f"c{number}" for number in range(len(names))], values)
    return call("list_transform", call("list_value", text), make_lambda(row, body))


def lateral_view(node: exp.Lateral) -> Expr:
    """Translate ``LATERAL VIEW [OUTER] generator(..) t AS columns``. OUTER gives a row of NULLs where there is none."""
    if not node.args.get("view"):
        return _lateral_join(node)
    name = generator_name(node.this)
    if name not in _VIEWED:
        return node
    _name_columns(node, name)
    value = _items_of(node.this, name)
    is_map = name.startswith("explode") and len(node.args["alias"].columns) > 1
    items = call("map_entries", value) if is_map else value
    if name.startswith("posexplode"):
        items = call("databricks__positions_of", items)
    if node.args.get("outer") or name.endswith("_outer"):
        items = call("databricks__or_one_null", items)
    is_row = is_map or not name.startswith("explode")
    node.set("this", exp.Inline(this=items) if is_row else exp.Explode(this=items))
    node.set("outer", None)
    return node


def _items_of(generator: Expr, name: str) -> Expr:
    """Return the list whose items are the rows of a generator."""
    if isinstance(generator, exp.Explode):
        items: Expr = generator.this
        return items
    if name == "json_tuple":
        return _tuples(generator)
    return _stacked(generator) if name == "stack" else _value(generator)


def _name_columns(node: exp.Lateral, name: str) -> None:
    """Give the columns of a view the names that Spark gives them, if it has none; in place."""
    alias = node.args.get("alias")
    if alias is not None and alias.columns:
        return
    columns = [exp.to_identifier(one) for one in _names_of(node.this, name)]
    table = exp.to_identifier("aiquery_lateral") if alias is None else alias.this
    node.set("alias", exp.TableAlias(this=table, columns=columns))


def _names_of(generator: Expr, name: str) -> list[str]:
    if name == "stack":
        return [f"col{number}" for number in range(_width_of(generator))]
    if name == "json_tuple":
        return [f"c{number}" for number in range(len(generator.expressions) - 1)]
    is_map = isinstance(generator, exp.Explode) and is_certain_map(generator.this)
    items = ["key", "value"] if is_map else ["col"]
    return ["pos", *items] if name.startswith("posexplode") else items


def generator_name(node: Expr) -> str:
    """Return the name of a function that makes rows; "" for another expression."""
    if isinstance(node, exp.Explode):
        return "explode"
    return function_name(node)


def is_certain_map(node: Expr) -> bool:
    """Return True for an expression that is certainly a MAP."""
    if isinstance(node, exp.Cast):
        return bool(node.to.this == exp.DataType.Type.MAP)
    return isinstance(node, _MAPS) or generator_name(node) in _MAP_FUNCTIONS


def translate_explode(node: exp.Explode) -> Expr:
    """Translate ``explode`` in SELECT: a map has two columns. ``rename_columns`` and views translate it otherwise."""
    if isinstance(node.parent, exp.Lateral | exp.Aliases | exp.Table):
        return node
    return (
        _unnest(call("map_entries", node.this)) if is_certain_map(node.this) else node
    )


def generator_table(node: exp.Table) -> exp.Subquery | None:
    """Return ``FROM explode(..)`` as a subquery; None for a table that is no generator."""
    generator = node.this
    name = generator_name(generator)
    if name not in _VIEWED or name == "json_tuple":
        return None
    if isinstance(generator, exp.Explode):
        value = _unnamed(generator.this)
        if is_certain_map(value):
            return exp.select(_unnest(call("map_entries", value))).subquery()
        rows: Expr = exp.Explode(this=value.copy())
    else:
        rows = REWRITES[name](generator.copy())
    plain = name.startswith("explode")
    item = exp.alias_(rows, "col") if plain else rows
    return exp.select(item).subquery()


def _lateral_join(node: exp.Lateral) -> Expr:
    """Translate ``FROM t, LATERAL explode(..) AS e(x)``: a LATERAL VIEW is written otherwise, and means the same."""
    join = node.parent
    if not isinstance(join, exp.Join) or not isinstance(join.parent, exp.Select):
        return node
    if generator_name(node.this) not in _VIEWED:
        return node
    view = node.copy()
    view.set("view", value=True)
    if join.args.get("side"):
        condition = join.args.get("on")
        if join.side != "LEFT" or not isinstance(condition, exp.Boolean):
            return node
        view.set("outer", value=True)
    join.parent.append("laterals", lateral_view(view))
    join.pop()
    return node


def rename_columns(node: Expr) -> Expr:
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
        return call("unnest", struct_of(names, fields_of(items, len(names))))
    body = struct_of(names, fields_of(exp.column(row), len(names)))
    return _unnest(call("list_transform", items, make_lambda(row, body)))


def _value(node: Expr) -> Expr:
    """Return the only argument, which may be named."""
    (argument,) = node.expressions
    return _unnamed(argument)


def _unnamed(argument: Expr) -> Expr:
    is_named = isinstance(argument, exp.Kwarg | exp.PropertyEQ)
    value: Expr = argument.expression if is_named else argument
    return value


REWRITES: dict[str, Callable[[exp.Anonymous], Expr]] = {
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
        "stack",
    }
)
_MAPS = (exp.Map, exp.VarMap, exp.MapFromEntries)
_MAP_FUNCTIONS = frozenset(
    {"map", "map_concat", "map_filter", "map_from_arrays", "map_from_entries", "str_to_map", "transform_keys",
     "transform_values", "map_zip_with"}
) | frozenset(f"databricks_{name}" for name in ("map_concat", "map_from_arrays", "str_to_map"))  # fmt: skip
SEVERAL_COLUMNS = frozenset(REWRITES) - {"explode_outer"}
"""Functions whose columns have names of their own."""
