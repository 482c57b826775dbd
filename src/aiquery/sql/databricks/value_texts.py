"""The text of a value, where Spark makes one: CAST AS STRING, concat, || and concat_ws.

A prompt is such a text. Numbers have Java's form, times have no offset, and arrays, structs and maps have Spark's form.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from aiquery import registry
from aiquery.sql.calls import find_calls
from aiquery.sql.databricks.lambdas import call, choose, function_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlglot.expressions import Expr

MACROS = {
    # Most arguments are texts, whole numbers or days: the long expression would be bound for each of them. The first of
    # two parameters chooses an overload.
    "_text": "(k VARCHAR, value) AS databricks__plain_text(value), (k BIGINT, value) AS value::VARCHAR, "
    "(k DATE, value) AS value::VARCHAR, (k, value) AS databricks__other_text(value), "
    "(value VARCHAR) AS value, (value BIGINT) AS value::VARCHAR, (value DATE) AS value::VARCHAR, "
    "(value) AS databricks__other_text(value)",
    # A VARIANT is JSON, which is a text for DuckDB too.
    "_plain_text": "(value) AS CASE WHEN typeof(value) = 'JSON' THEN databricks__variant_text(value) "
    "ELSE value::VARCHAR END",
    # ``typeof`` is a constant when DuckDB plans: one branch is left.
    "_other_text": "(value) AS CASE WHEN typeof(value) = 'TIMESTAMP WITH TIME ZONE' "
    "THEN regexp_replace(value::VARCHAR, '[+-]\\d\\d(:\\d\\d)*$', '') "
    "WHEN typeof(value) IN ('DOUBLE', 'FLOAT') THEN databricks__number_text(value::VARCHAR) "
    "WHEN typeof(value) = 'BLOB' THEN databricks_py_bytes_text(value::VARCHAR) "
    "WHEN typeof(value) = 'INTERVAL' "
    "THEN error('the text of an INTERVAL is not supported on DuckDB; use format_string with its parts') "
    "WHEN ends_with(typeof(value), ']') OR starts_with(typeof(value), 'STRUCT(') OR starts_with(typeof(value), 'MAP(') "
    "THEN databricks_py_nested_text(to_json(value)::VARCHAR, typeof(value)) ELSE value::VARCHAR END",
    # A part of ``concat`` is a text, unless it is an array or bytes. Both branches have the type of the result.
    "_part_of_text": "(k VARCHAR, value) AS databricks__plain_text(value), (k BIGINT, value) AS value::VARCHAR, "
    "(k DATE, value) AS value::VARCHAR, (k, value) AS databricks__other_part(value, "
    "databricks_py_part_type(typeof(value), typeof(value || value)))",
    "_other_part": "(value, name) AS CASE WHEN ends_with(typeof(value), ']') OR typeof(value) = 'BLOB' "
    "THEN databricks__typed(value, name) ELSE databricks__typed(databricks__other_text(value), name) END",
    "_number_text": "(text) AS CASE WHEN regexp_matches(text, '^-?\\d{1,7}[.]\\d+$') "
    "AND NOT regexp_matches(text, '^-?0[.]000') THEN text ELSE databricks_py_number_text(text) END",
    "_variant_text": "(value) AS CASE WHEN regexp_matches(value::VARCHAR, '^\\s*[{\\[]') "
    "THEN databricks__variant_json(value::VARCHAR) "
    "ELSE json_extract_string(databricks__variant(value::VARCHAR), '$') END",
}

_TEXT_FUNCTIONS = frozenset(
    {"ai_gen", "ai_summarize", "ai_translate", "ai_fix_grammar", "ai_mask", "ai_analyze_sentiment", "ai_agg",
     "ai_summarize_agg", "databricks__text", "databricks_upper", "databricks_substr", "databricks__path_text",
     "databricks_format_string", "databricks_to_json"}
)  # fmt: skip
_TEXTS = (
    exp.Concat, exp.DPipe, exp.Lower, exp.Upper, exp.Trim, exp.Replace, exp.RegexpReplace, exp.JSONExtractScalar,
    exp.Initcap, exp.GroupConcat, exp.TimeToStr,
)  # fmt: skip


def is_text(node: Expr) -> bool:
    """Return True for an expression that is certainly a text."""
    while isinstance(node, exp.Paren):
        node = node.this
    if isinstance(node, exp.Literal):
        return bool(node.is_string)
    if isinstance(node, exp.Cast):
        return node.to.this in exp.DataType.TEXT_TYPES
    if isinstance(node, exp.Anonymous):
        name = str(node.this).lower()
        return name in _TEXT_FUNCTIONS or (name == "ai_query" and _is_plain_query(node))
    return isinstance(node, _TEXTS)


def _is_plain_query(node: exp.Anonymous) -> bool:
    """Return True for an ai_query whose answer is a text."""
    positional = [
        one
        for one in node.expressions
        if not isinstance(one, exp.Kwarg | exp.PropertyEQ)
    ]
    names = {
        one.this.name.lower()
        for one in node.expressions
        if isinstance(one, exp.Kwarg | exp.PropertyEQ)
    }
    function = registry.functions()["ai_query"]
    before = [parameter.name.lower() for parameter in function.parameters]
    names.update(before[: len(positional)])
    return not names & {"returntype", "failonerror"}


def as_text(node: Expr) -> Expr:
    """Return an expression as the text that Spark makes of its value."""
    if is_variant(node):
        return call("databricks__variant_text", node.copy())
    if is_text(node):
        return node
    return choose("databricks__text", node)


_VARIANTS = frozenset(
    {"ai_classify", "ai_extract", "databricks_parse_json", "databricks_try_parse_json", "databricks__path",
     "json_extract", "databricks_to_variant_object", "databricks__as_variant"}
)  # fmt: skip


def is_variant(node: Expr) -> bool:
    """Return True for an expression that is certainly a VARIANT."""
    while isinstance(node, exp.Paren):
        node = node.this
    name = function_name(node)
    return name in _VARIANTS and not is_array_call(node)


def is_array_call(node: Expr) -> bool:
    """Return True for ``ai_classify(x, ARRAY(..))`` and ``ai_extract(x, ARRAY(..))``: a STRING, and a STRUCT."""
    arguments = node.expressions
    is_function = str(node.this).lower() in {"ai_classify", "ai_extract"}
    return is_function and len(arguments) > 1 and isinstance(arguments[1], exp.Array)


def _concat(node: exp.Concat) -> Expr:
    """Let the parts of a text be texts. Without a part that is certainly one, they may be arrays."""
    parts = node.expressions
    translate = as_text if any(is_text(one) for one in parts) else _as_part
    node.set("expressions", [translate(one) for one in parts])
    return node


def _pipe(node: exp.DPipe) -> Expr:
    parts = (node.this, node.expression)
    translate = as_text if any(is_text(one) for one in parts) else _as_part
    return exp.DPipe(this=translate(node.this), expression=translate(node.expression))


def _as_part(node: Expr) -> Expr:
    if isinstance(node, exp.Array) or find_calls(node):
        return node
    return choose("databricks__part_of_text", node)


OPERATORS: dict[type[Expr], Callable[..., Expr]] = {
    exp.Concat: _concat,
    exp.DPipe: _pipe,
}
