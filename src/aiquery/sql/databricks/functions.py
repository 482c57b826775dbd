"""The functions of Databricks SQL that DuckDB lacks, or means otherwise: macros, and changes of the statement's tree.

A macro is ``databricks_NAME`` and is created when a statement first calls it.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

from aiquery.sql.databricks import (
    aggregates,
    arrays,
    casts,
    coercions,
    comparators,
    date_patterns,
    dates,
    decimals,
    formats,
    from_json,
    generators,
    hashes,
    implicit_casts,
    intervals,
    json,
    listagg,
    maps,
    names,
    nested_casts,
    numbers,
    patterns,
    strings,
    value_texts,
)
from aiquery.sql.databricks.refused import REFUSED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlglot import exp
    from sqlglot.expressions import Expr

PREFIX = "databricks_"
_AREAS = (
    strings,
    casts,
    coercions,
    comparators,
    numbers,
    decimals,
    dates,
    intervals,
    listagg,
    date_patterns,
    arrays,
    maps,
    nested_casts,
    json,
    aggregates,
    hashes,
    generators,
    formats,
    names,
    patterns,
    value_texts,
    from_json,
    implicit_casts,
)
PYTHON = "databricks_py_"
_CALLED = re.compile(rf"\b{PREFIX}(?!py_)(\w+)\(", re.IGNORECASE)
_PYTHON = re.compile(rf"\b{PYTHON}(\w+)\(", re.IGNORECASE)

MACROS: dict[str, str] = {}
"""The parameters and the body of each macro, by its name without the prefix.

A name that begins with ``_`` is no function of Databricks: only other macros and changes of a tree call it."""

NAMES: dict[str, str] = {}
"""The macro of each function that has another name than its macro."""

REWRITES: dict[str, Callable[[exp.Anonymous], Expr]] = {}
for _area in _AREAS:
    MACROS |= _area.MACROS
    NAMES |= getattr(_area, "NAMES", {})
    REWRITES |= getattr(_area, "REWRITES", {})

_OWN_SYNTAX = frozenset(
    {"overlay", "substr", "substring", "listagg", "string_agg", "position"}
)
"""Functions with a syntax of their own, which sqlglot parses; ``operators`` translates them."""

OWN = (
    frozenset(name for name in MACROS if not name.startswith("_"))
    | frozenset(NAMES)
    | frozenset(REWRITES)
    | frozenset(REFUSED)
) - _OWN_SYNTAX
"""The functions that are translated here and not by sqlglot."""


def find_python_functions(macro: str) -> set[str]:
    """Return the Python functions that a macro calls, by their names without the prefix."""
    return {name.lower() for name in _PYTHON.findall(MACROS[macro])}


def find_macros(sql: str) -> tuple[str, ...]:
    """Return the macros that a text calls, and those that they call, the called ones first."""
    found: dict[str, None] = {}
    for name in _CALLED.findall(sql):
        if name.lower() in MACROS:
            found |= dict.fromkeys(_with_called(name.lower()))
    return tuple(found)


@functools.cache
def _with_called(name: str) -> tuple[str, ...]:
    return (*_called_by(name), name)


def _called_by(name: str) -> Iterator[str]:
    for called in _CALLED.findall(MACROS[name]):
        if called != name:
            yield from _with_called(called)


def create_macro(name: str) -> str:
    """Return the statement that creates a macro."""
    return f"CREATE OR REPLACE TEMP MACRO {PREFIX}{name} {MACROS[name]}"
