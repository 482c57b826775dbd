"""Python names and arguments of AI functions, for data frames and Spark columns."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypedDict

from aiquery.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiquery.config import ConfigLike
    from aiquery.interfaces import AIFunction


class CommonOptions(TypedDict, total=False):
    """The options that every function for data frames takes."""

    endpoint: str | None
    fail_on_error: bool | None
    on_budget: str | None
    config: ConfigLike | None


class AggregateOptions(CommonOptions, total=False):
    """The options of an aggregate for data frames: ``by`` groups the rows."""

    by: str | Sequence[str] | None


def to_snake_case(name: str) -> str:
    """Return an argument's name in Python spelling: ``failOnError`` becomes ``fail_on_error``."""
    return re.sub(r"(?<=[a-z])([A-Z])", lambda upper: f"_{upper[0].lower()}", name)


def is_aggregate(function: AIFunction) -> bool:
    """Return True if the function takes the rows of a group."""
    return any(parameter.kind == "group" for parameter in function.parameters)


def bind_columns(
    function: AIFunction, columns: Sequence[Any], options: Mapping[str, Any]
) -> dict[str, Any]:
    """Return all arguments by name.

    Raises ``ArgumentError`` for a missing argument, or for too many columns.
    """
    names = [
        to_snake_case(parameter.name)
        for parameter in function.parameters
        if parameter.kind in {"column", "group"}
    ]
    if len(columns) > len(names):
        raise ArgumentError(
            f"{function.name} takes {len(names)} columns ({', '.join(names)}), not {len(columns)}."
        )
    given = dict(zip(names, columns, strict=False)) | dict(options)
    for parameter in function.parameters:
        name = to_snake_case(parameter.name)
        if parameter.required and given.get(name) is None:
            raise ArgumentError(f"{function.name}: {name} is missing.")
    return given
