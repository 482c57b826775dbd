"""The order of conditions: what is cheap is evaluated first, and a call only where it decides.

DuckDB evaluates all parts of AND and OR outside of a filter, and in a filter in the written order. Here they become
CASE, which evaluates a part only for the rows that reach it.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from aiquery.engines.duckdb.syntax import (
    QUERIES,
    Tree,
    built_in_functions,
    constant,
    find_calls,
    nodes,
    own_calls,
    replace_node,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_AND = "CONJUNCTION_AND"
_OR = "CONJUNCTION_OR"
_CLAUSES = ("where_clause", "having", "qualify")
_SWAPPED = {_AND: _OR, _OR: _AND}


def ai_conditions_last(query: Tree) -> Tree:
    """``ai(..) AND cheap`` -> ``cheap AND ai(..)``, and so for OR."""
    for node in nodes(query):
        if node.get("class") == "CONJUNCTION":
            node["children"] = _cheap_first(node["children"])
    return query


def _cheap_first(parts: list[Tree]) -> list[Tree]:
    return [p for p in parts if not find_calls(p)] + [p for p in parts if find_calls(p)]


def skip_decided_calls(query: Tree) -> Tree:
    """``cheap OR ai(..)`` -> ``CASE WHEN cheap THEN true ELSE ai(..) END``, and so for AND, also within NOT.

    The parts of a condition that a query node combines with AND stay parts: DuckDB moves the cheap ones to the tables.
    """
    conditions = list(_conditions(query))
    for condition in conditions:
        for part in condition_parts(condition):
            if own_calls(part):
                replace_node(part, _as_condition(part))
    whole = {id(condition) for condition in conditions}
    for node in list(nodes(query)):
        if node.get("class") == "CONJUNCTION" and id(node) not in whole:
            _decide_early(node)
    return query


def _conditions(query: Tree) -> Iterator[Tree]:
    for node in nodes(query):
        if node["type"] == "SELECT_NODE":
            yield from (node[clause] for clause in _CLAUSES if node[clause])
        elif node["type"] == "JOIN" and node["condition"]:
            yield node["condition"]


def _as_condition(node: Tree) -> Tree:
    """Return an expression that is true for the same rows, and asks only where a call decides."""
    negated = _negated(node)
    if negated is not None:
        return _as_condition(negated)
    if node["class"] != "CONJUNCTION":
        return node
    parts = [_as_condition(part) for part in _cheap_first(node["children"])]
    cheap = [part for part in parts if not own_calls(part)]
    asked = [part for part in parts if own_calls(part)]
    if not asked:
        return node
    made = asked[-1]
    before = [*([_join(node, cheap)] if cheap else []), *asked[:-1]]
    for part in reversed(before):
        made = _choose(node["type"], part, made)
    return made


def _negated(node: Tree) -> Tree | None:
    """Return ``NOT a AND NOT b`` for ``NOT (a OR b)``, and the reverse; None for another expression."""
    if node["type"] != "OPERATOR_NOT":
        return None
    inner = node["children"][0]
    if inner["class"] != "CONJUNCTION":
        return None
    parts = [{**copy.deepcopy(node), "children": [part]} for part in inner["children"]]
    return {**inner, "type": _SWAPPED[inner["type"]], "children": parts}


def _join(node: Tree, parts: list[Tree]) -> Tree:
    return parts[0] if len(parts) == 1 else {**node, "alias": "", "children": parts}


def _choose(kind: str, first: Tree, second: Tree) -> Tree:
    """Return an expression that is true if both are (AND), or one is (OR); it evaluates the second where it decides."""
    if kind == _AND:
        chosen = constant("CASE WHEN 1 THEN CAST(2 AS BOOLEAN) ELSE false END")
        place = chosen["case_checks"][0]["then_expr"]
    else:
        chosen = constant("CASE WHEN 1 THEN true ELSE CAST(2 AS BOOLEAN) END")
        place = chosen["else_expr"]
    place["child"] = second
    chosen["case_checks"][0]["when_expr"] = first
    return chosen


def _decide_early(node: Tree) -> None:
    """Change a value that AND or OR makes: where the cheap parts decide it, no call is made. NULLs stay as they are."""
    cheap = [part for part in node["children"] if not own_calls(part)]
    if len(cheap) == len(node["children"]) or not cheap:
        return
    if not all(map(_can_evaluate_twice, cheap)):
        return
    condition = copy.deepcopy(_join(node, cheap))
    if node["type"] == _OR:
        chosen = constant("CASE WHEN 1 THEN true ELSE 2 END")
    else:
        chosen = constant("CASE WHEN NOT 1 THEN false ELSE 2 END")
        negation = chosen["case_checks"][0]["when_expr"]
        negation["children"] = [condition]
        condition = negation
    chosen["case_checks"][0]["when_expr"] = condition
    chosen["else_expr"] = {**node, "alias": ""}
    chosen["alias"] = node["alias"]
    replace_node(node, chosen)


def _can_evaluate_twice(part: Tree) -> bool:
    """Return True if a second evaluation gives the same: no subquery, and only functions of DuckDB without effects."""
    for node in nodes(part):
        if node.get("class") == "SUBQUERY" or node["type"] in QUERIES:
            return False
        if node.get("class") == "FUNCTION":
            known = built_in_functions().get(str(node["function_name"]).lower())
            if known is None or known.volatile or known.kind == "macro":
                return False
    return True


def condition_parts(condition: Tree | None) -> list[Tree]:
    """Return the parts that a condition combines with AND; none of None."""
    if condition is None:
        return []
    return list(condition["children"]) if condition["type"] == _AND else [condition]


def split_condition(condition: Tree | None) -> tuple[list[Tree], list[Tree]]:
    """Return the parts of a condition without calls, and those with calls."""
    parts = condition_parts(condition)
    return (
        [part for part in parts if not find_calls(part)],
        [part for part in parts if find_calls(part)],
    )


def join_all(parts: list[Tree]) -> Tree | None:
    """Return a condition of several parts; None of none."""
    if len(parts) < 2:  # noqa: PLR2004  nothing to join
        return parts[0] if parts else None
    made = constant("1 AND 2")
    made["children"] = parts
    return made


def only_if(first: Tree, part: Tree) -> Tree:
    """Return ``CASE WHEN first THEN part END``, with the name of the part."""
    made = constant("CASE WHEN 1 THEN 2 ELSE NULL END")
    made["case_checks"][0]["when_expr"] = copy.deepcopy(first)
    made["case_checks"][0]["then_expr"] = {**part, "alias": ""}
    made["alias"] = part["alias"]
    return made
