"""Arithmetic whose result may be DECIMAL: it has Spark's precision and scale.

The translation does not know the types of columns, but DuckDB does while it plans: ``typeof`` and a Python function of
its result are constants then, and ``from_json`` takes the name of its type from a constant. So a macro casts to a type
that depends on its arguments: ``cast_to_type(a * b, from_json('null', <name of the type>))``.

DuckDB binds a macro when it is created, where the types are not known. It puts the check off for an operator of a
parameter, such as ``typeof(a + b)`` or ``typeof(-value)``, which each macro has for this reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from aiquery.sql.calls import find_calls
from aiquery.sql.databricks.coercions import coerce_operands
from aiquery.sql.databricks.lambdas import call, function_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlglot.expressions import Expr


def _operation(operator: str) -> str:
    """Return an operation of ``a`` and ``b`` as a list; ``x`` and ``y`` are the digits of those that are literals."""
    types = f"typeof(a), typeof(b), x::VARCHAR, y::VARCHAR, typeof(a {operator} b)"
    return f"['{operator}', {types}]"


def _operation_of_one(operator: str, own: str, digits: str = "0") -> str:
    """Return a function of ``value`` alone as a list."""
    return f"['{operator}', typeof(value), '', '0', {digits}::VARCHAR, typeof({own})]"


def _type(operation: str) -> str:
    """Return the type of an operation's result."""
    return f"databricks_py_decimal_type({operation})"


def _left(operator: str) -> str:
    """Return ``a`` as the type with which DuckDB computes what Spark does."""
    return f"databricks__typed(a, databricks_py_left_type({_operation(operator)}))"


def _quotient(operation: str) -> str:
    """Return the arguments of ``_quotient`` that depend on the types."""
    names = ("decimal_type", "quotient_zeros", "quotient_unit", "quotient_unit_type")
    return ", ".join(f"databricks_py_{name}({operation})" for name in names)


def _of_two(name: str, form: str, double: str | None = None) -> str:
    """Return the overloads of an operator, by the types of ``a`` and ``b``; ``double`` is the form of DOUBLE."""
    own = form.format("a", "b")
    typed = f"databricks__{name}_typed(a, b, x, y)"
    forms = (
        ("BIGINT", own),
        ("FLOAT", typed),
        ("DOUBLE", (double or form).format("a", "b")),
        ("DECIMAL(38, 0)", typed),
        ("", own),
    )
    return ", ".join(
        f"(j {kind}, k {kind}, a, b, x, y) AS {body}".replace(" ,", ",")
        for kind, body in forms
    )


MACROS = {
    "_typed": "(value, name) AS cast_to_type(value, from_json('null'::JSON, name))",
    "_add_typed": f"(a, b, x, y) AS databricks__typed({_left('+')} + b, {_type(_operation('+'))})",
    # Two dates make an interval: DuckDB makes one of a date and a time.
    "_subtract_typed": f"(a, b, x, y) AS databricks__typed({_left('-')} - databricks__typed(b, "
    f"databricks_py_right_type({_operation('-')})), {_type(_operation('-'))})",
    "_multiply_typed": f"(a, b, x, y) AS databricks__typed({_left('*')} * b, {_type(_operation('*'))})",
    "_remainder_typed": f"(a, b, x, y) AS databricks__typed({_left('%')} % b, {_type(_operation('%'))})",
    "_divide_typed": f"(a, b, x, y) AS databricks__quotient(a, b, {_left('/')} / databricks__nonzero(b), "
    "regexp_matches(typeof(a) || ' ' || typeof(b), '^(DEC|[A-Z]*INT).* (DEC|[A-Z]*INT)') "
    "AND contains(typeof(a) || typeof(b), 'DEC'), "
    f"{_quotient(_operation('/'))})",
    "_pmod_typed": "(a, b, x, y) AS databricks__typed(databricks__modulus(a, b), "
    f"{_type(_operation('%'))})",
    "_modulus": "(a, b) AS CASE WHEN a % b < 0 THEN (a % b + b) % b ELSE a % b END",
    "_mean_typed": "(mean, total, rows, value) AS databricks__quotient(total, rows, mean, "
    "starts_with(typeof(value), 'DEC'), "
    f"{_quotient(_operation_of_one('avg', '-mean'))})",
    # ``own`` is what DuckDB computes, which is a DOUBLE. Both branches have the type ``name``, and one of them is left
    # when DuckDB plans. The text is for INTERVAL, which no number can be cast to.
    "_quotient": "(a, b, own, is_decimal, name, zeros, unit, unit_type) AS CASE WHEN is_decimal "
    "THEN databricks__typed((databricks__half_up(databricks__digits(a, zeros, is_decimal), "
    "databricks__digits(b, '', is_decimal))::DECIMAL(38, 0) * databricks__typed(unit, unit_type))::VARCHAR, name) "
    "ELSE databricks__typed(own, name) END",
    # DuckDB computes the branch that is not taken too, if its arguments are constants.
    "_digits": "(value, zeros, is_decimal) AS CAST(CASE WHEN is_decimal "
    "THEN replace(value::VARCHAR, '.', '') || zeros END AS HUGEINT)",
    "_half_up": "(a, b) AS (a + sign(a) * (abs(b) // 2)) // b",
    "_total_typed": f"(total, value) AS databricks__typed(total, {_type(_operation_of_one('sum', '-total'))})",
    "_round_typed": "(value, digits) AS databricks__typed(round(value, digits), "
    f"{_type(_operation_of_one('round', 'round(value, digits)', 'digits'))})",
    "_ceil_typed": f"(value) AS databricks__typed(ceil(value), {_type(_operation_of_one('ceil', 'ceil(value)'))})",
    "_floor_typed": f"(value) AS databricks__typed(floor(value), {_type(_operation_of_one('ceil', 'floor(value)'))})",
    # The first parameters choose an overload, and have no other use: they are cast to its types.
    "_add": _of_two("add", "{0} + {1}"),
    "_subtract": f"(j DATE, k DATE, a, b, x, y) AS a - b::TIMESTAMP, {_of_two('subtract', '{0} - {1}')}",
    "_multiply": _of_two("multiply", "{0} * {1}"),
    # DuckDB's remainder of a DOUBLE by 0.0 is NaN.
    "_remainder": _of_two(
        "remainder", "{0} % {1}", double="{0} % databricks__nonzero({1})"
    ),
    "_pmod": _of_two("pmod", "databricks__modulus({0}, {1})"),
    "_divide": _of_two("divide", "{0} / databricks__nonzero({1})"),
    "_mean": "(j BIGINT, mean, total, rows, value) AS mean, (j DOUBLE, mean, total, rows, value) AS mean, "
    "(j DECIMAL(38, 0), mean, total, rows, value) AS databricks__mean_typed(mean, total, rows, value), "
    "(j, mean, total, rows, value) AS mean",
    "_total": "(j BIGINT, total, value) AS total::BIGINT, (j DOUBLE, total, value) AS total, "
    "(j DECIMAL(38, 0), total, value) AS databricks__total_typed(total, value), (j, total, value) AS total",
    "_try_add": "(a DATE, b INTERVAL, x, y) AS TRY((a + b)::DATE), "
    "(a, b, x, y) AS TRY(databricks__add_typed(a, b, x, y))",
    "_try_subtract": "(a DATE, b INTERVAL, x, y) AS TRY((a - b)::DATE), "
    "(a, b, x, y) AS TRY(databricks__subtract_typed(a, b, x, y))",
    "_try_multiply": "(a, b, x, y) AS TRY(databricks__multiply_typed(a, b, x, y))",
    "_try_divide": "(a, b, x, y) AS CASE WHEN b = 0 THEN NULL ELSE databricks__divide_typed(a, b, x, y) END",
    "_try_mod": "(a, b, x, y) AS CASE WHEN b = 0 THEN NULL ELSE databricks__remainder_typed(a, b, x, y) END",
}
CHOOSING = {
    **dict.fromkeys(
        ("_add", "_subtract", "_multiply", "_divide", "_remainder", "_pmod"), 2
    ),
    **dict.fromkeys(("_mean", "_total"), 1),
}
"""The number of the first arguments that choose an overload of a macro ``_NAME``. ``_NAME_typed`` does without them.

DuckDB does not know the type of an aggregate, a window or an alias when it chooses, but it does later."""

_OPERATORS: dict[type[Expr], str] = {
    exp.Add: "add",
    exp.Sub: "subtract",
    exp.Mul: "multiply",
    exp.Div: "divide",
    exp.Mod: "remainder",
}


def translate_operator(node: exp.Binary) -> Expr:
    """Let an operator of DECIMALs have Spark's type, and the difference of two dates be an INTERVAL."""
    coerce_operands(node)
    _widen_similarity(node)
    if not _may_be_decimal(node):
        if isinstance(node, exp.Div) and not _is_nonzero(node.expression):
            node.set("expression", call("databricks__nonzero", node.expression.copy()))
        return node
    return _choose(_OPERATORS[type(node)], node.left, node.right)


def _widen_similarity(node: exp.Binary) -> None:
    """Let a FLOAT of ``ai_similarity`` beside another value be a DOUBLE, as on Spark; in place."""
    names = {side: function_name(node.args[side]) for side in ("this", "expression")}
    if list(names.values()).count("ai_similarity") == 1:
        for side, name in names.items():
            if name == "ai_similarity":
                node.set(side, exp.cast(node.args[side].copy(), "DOUBLE"))


def translate_mean(mean: Expr, around: Expr) -> Expr:
    """Return an average with Spark's type.

    mean    ``avg(value)`` within ``around``
    around  the same, or a FILTER and a window of it
    """
    value = mean.this if isinstance(mean, exp.Avg) else mean.expressions[0]
    if find_calls(value):
        return around
    total = _instead(mean, around, exp.Sum(this=value.copy()))
    rows = _instead(mean, around, exp.Count(this=value.copy()))
    means = (around.copy(), total, rows, _example(value, around))
    return call("databricks__mean", _plain(value), *means)


def translate_sum(value: Expr, around: Expr) -> Expr:
    """Return a sum, with what is around it, with Spark's type: that of whole numbers is a BIGINT."""
    if find_calls(value):
        return call("databricks__total_typed", around.copy(), exp.null())
    return call(
        "databricks__total", _plain(value), around.copy(), _example(value, around)
    )


def example_of(operand: Expr) -> Expr | None:
    """Return an expression of the same kind of type as an aggregate, which no aggregate is in; None if unknown.

    The average of whole numbers is a DOUBLE, but the operators do the same for both.
    """
    if isinstance(operand, exp.Paren | exp.Window | exp.Filter | exp.Max | exp.Min):
        return example_of(operand.this)
    if isinstance(operand, exp.Cast):
        return exp.cast(exp.null(), operand.to.copy())
    if isinstance(operand, exp.Count):
        return exp.cast(exp.null(), "BIGINT")
    if isinstance(operand, exp.Anonymous):
        is_aggregate = operand.this in {"databricks__total", "databricks__mean"}
        return example_of(operand.expressions[0]) if is_aggregate else None
    return operand.copy()


def _instead(mean: Expr, around: Expr, other: Expr) -> Expr:
    """Return another aggregate in the place of an average."""
    if mean is around:
        return other
    return around.copy().transform(lambda one: other if one == mean else one)


def _example(value: Expr, around: Expr) -> Expr:
    """Return an expression of the type of an aggregate's argument, for ``typeof``: DuckDB does not compute it."""
    plain = _plain(value)
    return plain if isinstance(around, exp.Window) else call("any_value", plain)


def _plain(value: Expr) -> Expr:
    plain = value.expressions[0] if isinstance(value, exp.Distinct) else value
    return plain.copy()


def _may_be_decimal(node: exp.Binary) -> bool:
    operands = [_unwrap(node.left), _unwrap(node.right)]
    if any(map(_is_other, operands)) or all(map(_is_whole_literal, operands)):
        return False
    # A generated column or a default is stored in the file, which others open too.
    if node.find_ancestor(exp.ColumnConstraint):
        return False
    return not find_calls(node)


def _is_other(operand: Expr) -> bool:
    """Return True for an operand with which the result is certainly no DECIMAL."""
    if isinstance(operand, exp.Literal):
        return bool(operand.is_string) or "e" in operand.name.lower()
    if isinstance(operand, exp.Cast):
        return bool(operand.to.this == exp.DataType.Type.DOUBLE)
    return isinstance(operand, exp.Interval)


def _is_whole_literal(operand: Expr) -> bool:
    return isinstance(operand, exp.Literal) and "." not in operand.name


def _choose(name: str, left: Expr, right: Expr) -> Expr:
    """Return a call of a macro whose overload the types of two operands choose."""
    operands = [_as_integer(left), _as_integer(right)]
    choosing = [one.copy() for one in operands]
    digits = _digits_of(left, right)
    return call(f"databricks__{name}", *choosing, *operands, *digits)


def _as_integer(operand: Expr) -> Expr:
    """Return a literal as the INTEGER that it is on Spark: DuckDB gives it the type of the other operand."""
    is_small = _is_whole_literal(_unwrap(operand)) and _digits(operand) < 10  # noqa: PLR2004
    return exp.cast(operand.copy(), "INT") if is_small else operand.copy()


def _digits_of(left: Expr, right: Expr) -> list[Expr]:
    return [exp.Literal.number(_digits(one)) for one in (left, right)]


def _unwrap(node: Expr) -> Expr:
    while isinstance(node, exp.Paren | exp.Neg):
        node = node.this
    return node


def _is_nonzero(node: Expr) -> bool:
    """Return True for a literal that is a number other than 0."""
    literal = _unwrap(node)
    if not isinstance(literal, exp.Literal):
        return False
    return not literal.is_string and float(literal.name) != 0


def _digits(node: Expr) -> int:
    """Return the precision of a literal that is a number, or 0. Spark gives a literal no more digits."""
    literal = _unwrap(node)
    if not isinstance(literal, exp.Literal) or literal.is_string:
        return 0
    whole, _, fraction = literal.name.partition(".")
    if not (whole + fraction).isdigit():
        return 0
    return max(len(whole.lstrip("0") + fraction), 1)


def _pmod(node: exp.Anonymous) -> Expr:
    return _choose("pmod", *node.expressions)


def _try(node: exp.Anonymous) -> Expr:
    left, right = node.expressions
    operands = (left.copy(), right.copy())
    digits = _digits_of(left, right)
    return call(f"databricks__{function_name(node)}", *operands, *digits)


REWRITES: dict[str, Callable[[exp.Anonymous], Expr]] = {
    "pmod": _pmod,
    **dict.fromkeys(
        ("try_add", "try_subtract", "try_multiply", "try_divide", "try_mod"), _try
    ),
}
