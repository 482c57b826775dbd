"""Arrays: order and NULLs stay, positions in lambdas start at 0."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from aiquery.sql.databricks.lambdas import (
    apply,
    call,
    choose,
    fields_of,
    first_of,
    make_lambda,
    shift_index,
)
from aiquery.sql.databricks.value_texts import as_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlglot.expressions import Expr

MACROS = {
    "array_append": "(items, item) AS CASE WHEN items IS NULL THEN NULL ELSE list_append(items, item) END",
    "array_compact": "(items) AS list_filter(items, lambda x: x IS NOT NULL)",
    "array_contains": "(items, item) AS CASE WHEN items IS NULL OR item IS NULL THEN NULL "
    "WHEN list_contains(items, item) THEN true WHEN len(items) <> list_count(items) THEN NULL ELSE false END",
    "array_distinct": "(items) AS list_filter(items, lambda x, i: "
    "coalesce(list_position(items, x), list_position(list_transform(items, lambda y: y IS NULL), true)) = i)",
    "_distinct_present": "(items) AS databricks_array_distinct(databricks__present(items))",
    "array_position": "(items, item) AS CASE WHEN items IS NULL OR item IS NULL THEN NULL "
    "ELSE coalesce(list_position(items, item), 0)::BIGINT END",
    "array_remove": "(items, item) AS CASE WHEN item IS NULL THEN NULL "
    "ELSE list_filter(items, lambda x: x IS DISTINCT FROM item) END",
    "array_repeat": "(item, count) AS list_transform(range(greatest(count, 0)), lambda i: item)",
    "array_union": "(a, b) AS CASE WHEN a IS NOT NULL AND b IS NOT NULL "
    "THEN databricks_array_distinct(list_concat(a, b)) END",
    "array_except": "(a, b) AS CASE WHEN b IS NOT NULL THEN list_filter(databricks_array_distinct(a), lambda x: "
    "CASE WHEN x IS NULL THEN len(b) = list_count(b) ELSE NOT list_contains(b, x) END) END",
    "array_intersect": "(a, b) AS CASE WHEN b IS NOT NULL THEN list_filter(databricks_array_distinct(a), lambda x: "
    "CASE WHEN x IS NULL THEN len(b) <> list_count(b) ELSE list_contains(b, x) END) END",
    "_insert": "(items, position, value) AS CASE WHEN items IS NULL OR position IS NULL THEN NULL "
    "WHEN position = 0 THEN error('[INVALID_INDEX_OF_ZERO] The index 0 is invalid.') "
    "WHEN position > len(items) THEN list_append(list_resize(items, position - 1), value) "
    "WHEN position > 0 THEN list_concat(items[:position - 1], [value], items[position:]) "
    "WHEN position >= -len(items) - 1 "
    "THEN list_concat(items[:len(items) + position + 1], [value], items[len(items) + position + 2:]) "
    "ELSE list_concat(list_resize([value], -position - len(items)), items) END",
    "flatten": "(items) AS CASE WHEN len(items) = list_count(items) THEN flatten(items) END",
    "array_join": "(items, separator, missing := NULL) AS CASE WHEN items IS NOT NULL AND separator IS NOT NULL "
    "THEN coalesce(array_to_string(CASE WHEN missing IS NULL THEN databricks__item_texts(items) "
    "ELSE list_transform(items, lambda x: coalesce(databricks__text(x), missing)) END, separator), '') END",
    "_item_texts": "(items) AS list_transform(list_filter(items, lambda x: x IS NOT NULL), "
    "lambda x: databricks__text(x))",
    "arrays_overlap": "(a, b) AS CASE WHEN list_has_any(a, b) THEN true "
    "WHEN len(a) > 0 AND len(b) > 0 AND (len(a) <> list_count(a) OR len(b) <> list_count(b)) THEN NULL "
    "WHEN a IS NULL OR b IS NULL THEN NULL ELSE false END",
    "_any_true": "(items) AS CASE WHEN items IS NULL THEN NULL WHEN list_contains(items, true) THEN true "
    "WHEN len(items) <> list_count(items) THEN NULL ELSE false END",
    "_all_true": "(items) AS CASE WHEN items IS NULL THEN NULL WHEN list_contains(items, false) THEN false "
    "WHEN len(items) <> list_count(items) THEN NULL ELSE true END",
    # The first parameter chooses the overload. Lists of other types are none that Spark joins.
    "_texts": "(k VARCHAR[], value) AS list_filter(coalesce(value, []), lambda x: x IS NOT NULL), "
    + "".join(
        f"(k {kind}[], value) AS databricks__item_texts(coalesce(value, [])), "
        for kind in ("BIGINT", "DOUBLE", "DATE", "TIMESTAMPTZ", "BOOLEAN")
    )
    + "(k VARCHAR, value) AS CASE WHEN value IS NULL THEN []::VARCHAR[] ELSE [value::VARCHAR] END, "
    "(k, value) AS CASE WHEN value IS NULL THEN []::VARCHAR[] ELSE [databricks__text(value)] END",
    "_join_texts": "(separator, items) AS CASE WHEN separator IS NULL THEN NULL "
    "ELSE array_to_string(flatten(items), separator) END",
    "_nth": "(items, index) AS CASE WHEN index IS NULL THEN NULL WHEN index < 1 OR index > len(items) "
    "THEN error('elt: the index is out of range') ELSE items[index] END",
    # The length by way of JSON, which is slow, is needed only for NULL: ``len`` takes no map, and an integer may be a
    # key of one.
    "_length": "(items) AS json_array_length(to_json(items))",
    "_no_items": "(value) AS CASE WHEN value IS NOT NULL THEN error('[INVALID_EXTRACT_BASE_FIELD_TYPE] '"
    "|| 'an item is taken from an array or a map; write value:[0] for a VARIANT.') END",
    "_item": "(items, key VARCHAR) AS items[key], (items, key) AS items[key], "
    "(items VARCHAR, index BIGINT) AS databricks__no_items(items), "
    "(items, index BIGINT) AS CASE WHEN typeof(items) LIKE 'MAP(%' THEN items[index] "
    "WHEN index >= 0 AND items[index + 1] IS NOT NULL THEN items[index + 1] "
    "WHEN index < 0 OR index >= databricks__length(items) "
    "THEN error('[INVALID_ARRAY_INDEX] The index ' || index || ' is out of bounds. The array has ' || "
    "databricks__length(items) || ' elements. Use get() for NULL instead.') END",
    "_element": "(items, key VARCHAR) AS items[key], (items, key) AS items[key], "
    "(items VARCHAR, index BIGINT) AS databricks__no_items(items), "
    "(items, index BIGINT) AS CASE WHEN typeof(items) LIKE 'MAP(%' OR items[index] IS NOT NULL THEN items[index] "
    "WHEN index = 0 THEN error('[INVALID_INDEX_OF_ZERO] The index 0 is invalid. An index shall be either < 0 or > 0.') "
    "WHEN abs(index) > databricks__length(items) "
    "THEN error('[INVALID_ARRAY_INDEX_IN_ELEMENT_AT] The index ' || index || ' is out of bounds. The array has ' || "
    "databricks__length(items) || ' elements. Use try_element_at() for NULL instead.') END",
    "_pairs": "(a, b) AS CASE WHEN a IS NOT NULL AND b IS NOT NULL THEN list_zip(a, b) END",
    "get": "(items, index) AS CASE WHEN index < 0 THEN NULL ELSE items[index + 1] END",
    "size": "(items MAP(VARCHAR, VARCHAR)) AS cardinality(items)::INT, (items) AS len(items)::INT",
    "sequence": "(a, b) AS cast_to_type(generate_series(a, b, CASE WHEN a <= b THEN 1 ELSE -1 END), [a, b]), "
    "(a DATE, b DATE) AS list_transform(generate_series(a, b, INTERVAL 1 DAY), lambda x: x::DATE), "
    "(a DATE, b DATE, step INTERVAL) AS list_transform(databricks__times(a, b, step), lambda x: x::DATE), "
    "(a TIMESTAMPTZ, b TIMESTAMPTZ, step INTERVAL) AS databricks__times(a, b, step), "
    "(a TIMESTAMP, b TIMESTAMP, step INTERVAL) AS databricks__times(a, b, step), "
    "(a, b, step) AS cast_to_type(generate_series(a, b, step), [a, b])",
    "_times": "(a, b, step) AS CASE WHEN extract(year FROM step) * 12 + extract(month FROM step) > 0 AND a <= b "
    "THEN list_filter(list_transform(range(0, date_diff('month', a, b) // "
    "greatest(extract(year FROM step) * 12 + extract(month FROM step), 1) + 1), "
    "lambda i: a + step * i::INT), lambda x: x <= b) ELSE generate_series(a, b, step) END",
    "split": "(text, pattern, count := -1) AS CASE WHEN text IS NULL OR pattern IS NULL THEN NULL "
    "WHEN count = 1 THEN [text] WHEN count <= 0 "
    "THEN databricks__split_all(text, pattern) "
    "WHEN len(databricks__split_all(text, pattern)) <= count THEN databricks__split_all(text, pattern) "
    "ELSE list_append(databricks__split_all(text, pattern)[:count - 1], "
    "regexp_extract(text, '^(?:.*?(?:' || pattern || ')){' || (count - 1) || '}(.*)$', 1, 's')) END",
    "_split_all": "(text, pattern) AS CASE WHEN pattern = '' THEN string_split(text, '') "
    "ELSE string_split_regex(text, pattern) END",
}


def _with_index(name: str) -> Callable[[exp.Anonymous], Expr]:
    def make(node: exp.Anonymous) -> Expr:
        items, function = node.expressions
        return call(name, items, shift_index(function))

    return make


def _over_all(macro: str) -> Callable[[exp.Anonymous], Expr]:
    def make(node: exp.Anonymous) -> Expr:
        return call(macro, call("list_transform", *node.expressions))

    return make


def _aggregate(node: exp.Anonymous) -> Expr:
    items, start, merge, *finish = node.expressions
    reduced = call("list_reduce", items, merge, start)
    if not finish:
        return reduced
    return first_of(call("list_value", reduced), finish[0])


def _zip_with(node: exp.Anonymous) -> Expr:
    a, b, function = node.expressions
    pair = exp.to_identifier("__pair")
    body = apply(function, fields_of(exp.column(pair), 2))
    items = call("databricks__pairs", a, b)
    return call("list_transform", items, make_lambda(pair, body))


def _concat_ws(node: exp.Anonymous) -> Expr:
    separator, *parts = node.expressions
    texts = [choose("databricks__texts", part) for part in parts]
    items = exp.Array(expressions=texts)
    return call("databricks__join_texts", separator, items)


def _elt(node: exp.Anonymous) -> Expr:
    index, *values = node.expressions
    items = exp.Array(expressions=[as_text(value) for value in values])
    return call("databricks__nth", items, index)


REWRITES: dict[str, Callable[[exp.Anonymous], Expr]] = {
    "transform": _with_index("list_transform"),
    "filter": _with_index("list_filter"),
    "exists": _over_all("databricks__any_true"),
    "forall": _over_all("databricks__all_true"),
    "aggregate": _aggregate,
    "reduce": _aggregate,
    "zip_with": _zip_with,
    "concat_ws": _concat_ws,
    "elt": _elt,
}
NAMES = {"cardinality": "size"}
