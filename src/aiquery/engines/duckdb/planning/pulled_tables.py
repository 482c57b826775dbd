"""Inner queries in FROM whose calls can move up: which they are, and how what the calls read is read from outside."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from aiquery.engines.duckdb.syntax import (
    Tree,
    built_in_functions,
    canonical,
    function_name,
    is_call,
    is_row_call,
    nodes,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_PASSING = {
    "INNER": ("left", "right"),
    "LEFT": ("left",),
    "RIGHT": ("right",),
    "SEMI": ("left",),
    "ANTI": ("left",),
}
"""The sides of a join below which a condition selects the same rows as above the join."""

SCOPES = frozenset({
    "SUBQUERY", "LAMBDA", "WINDOW", "STAR", "POSITIONAL_REFERENCE"
})  # fmt: skip
HIDDEN = "__aiquery_"
_PARAMETERS = 4
"""The position of ``modelParameters`` among the arguments of ``ai_query``."""


def passing_tables(table: Tree | None) -> Iterator[Tree]:
    """Yield the inner queries in FROM whose calls may be made after the joins."""
    if table is None or table.get("sample"):
        return
    if table["type"] == "SUBQUERY":
        yield table
    elif table["type"] == "JOIN" and table["ref_type"] in {"REGULAR", "CROSS"}:
        for side in _PASSING.get(table["join_type"], ()):
            yield from passing_tables(table[side])


def can_move(part: Tree) -> bool:
    """Return True if a part of a query means the same above a join, which may repeat its row or leave it out."""
    return not any(
        node.get("class") in SCOPES
        or (node.get("class") == "FUNCTION" and not _repeats(node))
        for node in nodes(part)
    )


def _repeats(function: Tree) -> bool:
    """Return True for a function that has one value for equal arguments: not random, not of a group, not unknown."""
    if is_call(function):
        return is_row_call(function) and not _may_sample(function)
    known = built_in_functions().get(str(function["function_name"]).lower())
    return known is not None and known.kind == "scalar" and not known.volatile


def _may_sample(call: Tree) -> bool:
    """Return True if equal requests may get different answers: ``modelParameters`` may have a temperature."""
    if function_name(call) != "ai_query":
        return False
    for position, argument in enumerate(call["arguments"]):
        name = argument["name"].lower()
        is_given = name == "modelparameters" if name else position == _PARAMETERS
        if is_given:
            made = argument["expression"]
            settings = [one["name"].lower() for one in made.get("arguments", ())]
            is_known = made.get("function_name") == "struct_pack"
            return not is_known or "temperature" in settings
    return False


def hide_columns(parts: list[Tree], table: Tree, numbers: Iterator[int]) -> list[Tree]:
    """Let parts of an inner query be evaluated outside of it; return the further columns that it must select."""
    hidden: dict[str, Tree] = {}
    for part in parts:
        for column in [one for one in nodes(part) if one["type"] == "COLUMN_REF"]:
            _read_outside(column, table, hidden, numbers)
    return list(hidden.values())


def _read_outside(
    column: Tree, table: Tree, hidden: dict[str, Tree], numbers: Iterator[int]
) -> None:
    """Let a column of a moved condition be read from the inner query, which selects it as a hidden column."""
    inner = table["subquery"]["node"]
    read = {**copy.deepcopy(column), "alias": ""}
    key = str(canonical(read))
    selected = _selected_name(read, inner, table["column_name_alias"])
    if selected is None:
        if key not in hidden:
            hidden[key] = {**read, "alias": f"{HIDDEN}{next(numbers)}"}
        selected = hidden[key]["alias"]
    column["column_names"] = [table["alias"], selected]


def _selected_name(column: Tree, inner: Tree, aliases: list[str]) -> str | None:
    """Return the name under which an inner query selects a column; None if it does not, or it is not certain."""
    items = inner["select_list"]
    if aliases or any(item["type"] == "STAR" for item in items):
        return None
    named = [item["alias"] or item.get("column_names", [""])[-1] for item in items]
    for item, name in zip(items, named, strict=True):
        is_same = canonical({**item, "alias": ""}) == canonical(column)
        if is_same and [one.lower() for one in named].count(name.lower()) == 1:
            return str(name)
    return None
