"""Maps: functions of keys and values become functions of entries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from aiquery.sql.databricks.lambdas import apply, call, make_lambda
from aiquery.sql.databricks.nulls import null_if_any_is

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlglot.expressions import Expr

MACROS = {
    "map_contains_key": "(items, key) AS list_contains(map_keys(items), key)",
    "str_to_map": "(text, pairs := ',', values_ := ':') AS "
    "map_from_entries(list_transform(string_split_regex(text, pairs), lambda x: "
    "{'k': string_split_regex(x, values_)[1], 'v': string_split_regex(x, values_)[2]}))",
    "_distinct_keys": "(joined, sizes) AS CASE WHEN len(map_keys(joined)) < list_sum(sizes) "
    "THEN error('map_concat: two maps have the same key (DUPLICATED_MAP_KEY)') ELSE joined END",
    "_entry": "(key, value) AS {'k': key, 'v': value}",
}
_ENTRY = "__entry"


def _entry(field: str) -> Expr:
    entry = exp.column(exp.to_identifier(_ENTRY))
    name = exp.Literal.string(field)
    return call("struct_extract", entry, name)


def _of_entries(items: Expr, body: Expr, function: str = "list_transform") -> Expr:
    made = make_lambda(exp.to_identifier(_ENTRY), body)
    return call("map_from_entries", call(function, call("map_entries", items), made))


def _transform_keys(node: exp.Anonymous) -> Expr:
    items, function = node.expressions
    key = apply(function, [_entry("key"), _entry("value")])
    return _of_entries(items, call("databricks__entry", key, _entry("value")))


def _transform_values(node: exp.Anonymous) -> Expr:
    items, function = node.expressions
    value = apply(function, [_entry("key"), _entry("value")])
    return _of_entries(items, call("databricks__entry", _entry("key"), value))


def _map_filter(node: exp.Anonymous) -> Expr:
    items, function = node.expressions
    return _of_entries(
        items, apply(function, [_entry("key"), _entry("value")]), "list_filter"
    )


def _map_zip_with(node: exp.Anonymous) -> Expr:
    first, second, function = node.expressions
    key = exp.column(exp.to_identifier(_ENTRY))
    values = [
        key,
        *(
            exp.Bracket(this=one.copy(), expressions=[key.copy()])
            for one in (first, second)
        ),
    ]
    keys = call(
        "databricks_array_union",
        call("map_keys", first.copy()),
        call("map_keys", second.copy()),
    )
    body = call("databricks__entry", key.copy(), apply(function, values))
    made = make_lambda(exp.to_identifier(_ENTRY), body)
    return call("map_from_entries", call("list_transform", keys, made))


def _map_concat(node: exp.Anonymous) -> Expr:
    """Let one map that is NULL make the result NULL, and a key of two maps an error."""
    values = node.expressions
    joined = call("map_concat", *(one.copy() for one in values))
    if not values:
        return joined
    sizes = exp.array(*(call("len", call("map_keys", one.copy())) for one in values))
    return null_if_any_is(values, call("databricks__distinct_keys", joined, sizes))


REWRITES: dict[str, Callable[[exp.Anonymous], Expr]] = {
    "transform_keys": _transform_keys,
    "transform_values": _transform_values,
    "map_filter": _map_filter,
    "map_zip_with": _map_zip_with,
    "map_concat": _map_concat,
}
