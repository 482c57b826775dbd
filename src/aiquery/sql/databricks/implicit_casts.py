"""Spark's implicit casts: a number where a text is needed, a text where a number is.

DuckDB refuses most of them when it binds a statement. Only then is it translated again with a macro around each operand
and argument that may need a cast; the macro chooses by its type. A statement that needs none costs nothing more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from aiquery.sql.databricks import strings
from aiquery.sql.databricks.coercions import COMPARISONS
from aiquery.sql.databricks.lambdas import call, choose

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlglot.expressions import Expr

MACROS = {
    "_like_other": "(value VARCHAR, other VARCHAR) AS value, "
    "(value VARCHAR, other BIGINT) AS databricks__strict_whole(value)::BIGINT, "
    "(value VARCHAR, other DATE) AS value::DATE, (value VARCHAR, other TIMESTAMPTZ) AS value::TIMESTAMPTZ, "
    "(value VARCHAR, other BOOLEAN) AS value::BOOLEAN, (value VARCHAR, other DOUBLE) AS value::DOUBLE, "
    "(value VARCHAR, other DECIMAL(38, 0)) AS value::DOUBLE, (value, other) AS value",
}
_ARITHMETIC = (exp.Add, exp.Sub, exp.Mul, exp.Mod)
_LIKE = (exp.Like, exp.ILike, exp.RegexpLike)
_TEXTS = (
    exp.Lower, exp.Upper, exp.Initcap, exp.Trim, exp.Replace, exp.RegexpReplace, exp.RegexpExtract,
    exp.RegexpExtractAll, exp.RegexpCount, exp.RegexpInstr, exp.StrPosition, exp.Substring, exp.Overlay,
)  # fmt: skip
"""Functions of sqlglot whose first argument is a text."""

_NUMBERS = (
    exp.Sum, exp.Avg, exp.Stddev, exp.StddevSamp, exp.StddevPop, exp.Variance, exp.VariancePop, exp.Abs, exp.Round,
    exp.Ceil, exp.Floor, exp.Sqrt, exp.Exp, exp.Pow, exp.Median, exp.Neg,
)  # fmt: skip
"""Functions of sqlglot whose first argument is a number."""

_TEXT_FUNCTIONS = frozenset({*strings.MACROS, *strings.NAMES, "split", "instr"})
_COUNTS = {
    "lpad": (1,), "rpad": (1,), "left": (1,), "right": (1,), "repeat": (1,), "split": (2,), "substr": (1, 2),
    "substring": (1, 2), "substring_index": (2,), "split_part": (2,), "locate": (2,), "instr": (2, 3),
    "overlay": (2, 3), "levenshtein": (2,),
}  # fmt: skip
"""The arguments of a function that are numbers."""


def add_implicit_casts(tree: Expr) -> None:
    """Put a macro around each operand and argument of a tree of Databricks SQL that may need a cast; in place."""
    nodes = list(tree.walk(bfs=False))
    for node in reversed(nodes):  # inner ones first: outer ones copy them
        for types, change in _CHANGES:
            if isinstance(node, types):
                change(node)
                break


def _beside(node: Expr) -> None:
    if isinstance(node.parent, exp.Update) and node.arg_key == "expressions":
        return  # SET column = value
    left, right = node.args["this"].copy(), node.args["expression"].copy()
    node.set("this", _like_other(left, right))
    node.set("expression", _like_other(right, left))


def _divide(node: Expr) -> None:
    for name in ("this", "expression"):
        number = _as_number(node.args[name])
        node.set(name, number)


def _between(node: Expr) -> None:
    value = node.args["this"].copy()
    for name in ("low", "high"):
        node.set(name, _like_other(node.args[name], value))
    node.set("this", _like_other(value, node.args["low"]))


def _in(node: Expr) -> None:
    values = node.args.get("expressions") or ()
    value = node.args["this"].copy()
    if values:
        like = _like_other(value, values[0])
        node.set("this", like)
        node.set("expressions", [_like_other(one, value) for one in values])


def _coalesce(node: Expr) -> None:
    if len(node.expressions) == 1:
        value, other = node.args["this"].copy(), node.expressions[0].copy()
        node.set("this", _like_other(value, other))
        node.set("expressions", [_like_other(other, value)])


def _text(node: Expr) -> None:
    text = _as_text(node.args["this"])
    node.set("this", text)


def _texts(node: Expr) -> None:
    _text(node)
    text = _as_text(node.args["expression"])
    node.set("expression", text)


def _number(node: Expr) -> None:
    value = node.args["this"]
    if isinstance(value, exp.Distinct):
        value.set("expressions", [_as_number(one) for one in value.expressions])
    else:
        node.set("this", _as_number(value))


def _function(node: Expr) -> None:
    name = str(node.this).lower()
    if name not in _TEXT_FUNCTIONS:
        return
    counts = _COUNTS.get(name, ())
    arguments = [
        one if position in counts else _as_text(one)
        for position, one in enumerate(node.expressions)
    ]
    node.set("expressions", arguments)


def _as_text(value: Expr) -> Expr:
    if isinstance(value, exp.Literal) and value.is_string:
        return value
    return choose("databricks__part_of_text", value)


def _as_number(value: Expr) -> Expr:
    return _like_other(value, exp.cast(exp.null(), "DOUBLE"))


def _like_other(value: Expr, other: Expr) -> Expr:
    """Return a value that becomes of the type of another, if it is a text."""
    kinds = (exp.Interval, exp.Null, exp.Query, exp.Tuple, exp.Star)
    if isinstance(value, kinds) or isinstance(other, kinds):
        return value
    if isinstance(value, exp.Literal):
        if not value.is_string:
            return value
        value = exp.cast(value, "TEXT")
    return call("databricks__like_other", value.copy(), other.copy())


_CHANGES: tuple[tuple[tuple[type[Expr], ...], Callable[[Expr], None]], ...] = (
    ((*COMPARISONS, *_ARITHMETIC), _beside),
    ((exp.Div,), _divide),
    ((exp.Between,), _between),
    ((exp.In,), _in),
    ((exp.Coalesce,), _coalesce),
    (_LIKE, _texts),
    (_TEXTS, _text),
    (_NUMBERS, _number),
    ((exp.Anonymous,), _function),
)
