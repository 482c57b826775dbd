"""AI functions of Spark columns, made from their definitions."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from aiquery.errors import ArgumentError
from aiquery.functions.signature import is_aggregate, to_snake_case

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pyspark.sql import Column, DataFrame

    from aiquery.interfaces import AIFunction, Parameter


def column_function(function: AIFunction) -> Callable[..., Column]:
    """Return ``function`` for Spark columns: arguments in the order of SQL, names in snake_case."""
    empty = inspect.Parameter.empty
    parameters = [
        inspect.Parameter(
            to_snake_case(parameter.name),
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            default=empty if parameter.required else None,
        )
        for parameter in function.parameters
    ]
    signature = inspect.Signature(parameters)

    def call(*args: Any, **kwargs: Any) -> Column:
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError as error:
            raise ArgumentError(
                f"{function.name}: {error}; it takes {', '.join(signature.parameters)}."
            ) from error
        return _call(function, given)

    call.__name__ = function.name
    call.__qualname__ = function.name
    call.__doc__ = inspect.cleandoc(function.__doc__ or "")
    call.__signature__ = signature  # type: ignore[attr-defined]
    return call


def apply_to_frame(
    function: AIFunction,
    frame: DataFrame,
    given: Mapping[str, Any],
    by: Any,
    config: Any,
) -> Any:
    """Apply ``function`` to a DataFrame: return a column, or with ``by`` a DataFrame of the groups."""
    if config is not None:
        raise ArgumentError(
            "a Spark session has its own configuration; set it with aiquery.register(spark, config)."
        )
    column_names = {
        to_snake_case(parameter.name)
        for parameter in function.parameters
        if parameter.kind in {"column", "group"}
    }
    arguments = dict(given)
    for name in column_names:
        if isinstance(arguments.get(name), str):
            arguments[name] = frame[arguments[name]]
    column = column_function(function)(**arguments)
    if not is_aggregate(function):
        return column
    if by is None:
        return frame.agg(column).collect()[0][0]
    keys = [by] if isinstance(by, str) else list(by)
    return frame.groupBy(*keys).agg(column.alias(function.name)).sort(*keys)


def _call(function: AIFunction, given: Mapping[str, Any]) -> Column:
    """Call by position, which every Spark has for Python. An argument that is not given is NULL: its default."""
    from pyspark.sql.functions import call_function, lit

    names = [to_snake_case(parameter.name) for parameter in function.parameters]
    last = max(i for i, name in enumerate(names) if name in given)
    arguments = []
    for parameter, name in zip(function.parameters[: last + 1], names, strict=False):
        arguments.append(
            _argument(parameter, given[name]) if name in given else lit(None)
        )
    return call_function(function.name, *arguments)


def _argument(parameter: Parameter, value: Any) -> Column:
    from pyspark.sql.functions import col

    if hasattr(value, "alias"):
        return value
    if parameter.kind in {"column", "group"} and isinstance(value, str):
        return col(value)
    return _constant(value)


def _constant(value: Any) -> Column:
    from pyspark.sql.functions import array, lit, struct

    if isinstance(value, dict):
        return struct(*[_constant(inner).alias(name) for name, inner in value.items()])
    if isinstance(value, list | tuple):
        return array(*map(_constant, value))
    return lit(value)
