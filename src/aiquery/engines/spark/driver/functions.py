"""Functions of Spark columns, made from the AI functions' own definitions."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from aiquery.engines.dataframes import snake
from aiquery.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pyspark.sql import Column, DataFrame

    from aiquery.interfaces import AIFunction, Parameter


def column_function(function: AIFunction) -> Callable[..., Column]:
    """Return ``function`` for Spark columns: its arguments in the order of SQL, its names in snake_case."""
    parameters = [
        inspect.Parameter(
            snake(p.name),
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            default=inspect.Parameter.empty if p.required else None,
        )
        for p in function.parameters
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

    call.__name__ = call.__qualname__ = function.name
    call.__doc__ = inspect.cleandoc(function.__doc__ or "")
    call.__signature__ = signature  # type: ignore[attr-defined]
    return call


def frame_function(
    function: AIFunction,
    frame: DataFrame,
    given: Mapping[str, Any],
    by: Any,
    config: Any,
) -> Any:
    """Return ``function`` on a frame as ``aiquery.functions`` gives it: a column, or with ``by`` a frame of groups."""
    if config is not None:
        raise ArgumentError(
            "a Spark session has its own configuration; set it with aiquery.register(spark, config)."
        )
    names = {
        snake(p.name) for p in function.parameters if p.kind in {"column", "group"}
    }
    column = column_function(function)(
        **{
            k: frame[v] if k in names and isinstance(v, str) else v
            for k, v in given.items()
        }
    )
    if not any(p.kind == "group" for p in function.parameters):
        return column
    if by is None:
        return frame.agg(column).collect()[0][0]
    keys = [by] if isinstance(by, str) else list(by)
    return frame.groupBy(*keys).agg(column.alias(function.name)).sort(*keys)


def _call(function: AIFunction, given: Mapping[str, Any]) -> Column:
    """Call by position, which every Spark has for Python; what is not given is NULL, which means just that."""
    from pyspark.sql.functions import call_function, lit

    last = max(i for i, p in enumerate(function.parameters) if snake(p.name) in given)
    places = function.parameters[: last + 1]
    return call_function(
        function.name,
        *[
            _argument(p, given[snake(p.name)]) if snake(p.name) in given else lit(None)
            for p in places
        ],
    )


def _argument(parameter: Parameter, value: Any) -> Column:
    from pyspark.sql import functions as F  # noqa: N812  its usual name

    if hasattr(value, "alias"):
        return value
    return (
        F.col(value)
        if parameter.kind in {"column", "group"} and isinstance(value, str)
        else _constant(value)
    )


def _constant(value: Any) -> Column:
    from pyspark.sql import functions as F  # noqa: N812

    if isinstance(value, dict):
        return F.struct(
            *[_constant(inner).alias(name) for name, inner in value.items()]
        )
    return (
        F.array(*map(_constant, value))
        if isinstance(value, list | tuple)
        else F.lit(value)
    )
