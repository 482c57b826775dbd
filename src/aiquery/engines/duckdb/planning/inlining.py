"""Views and macros with AI calls: their queries and expressions take the place of their names."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from aiquery.engines.duckdb.syntax import (
    QUERIES,
    Tree,
    find_all_ctes,
    nodes,
    parse_query,
    print_expression,
    read_tables,
    replace_node,
    walk,
)

if TYPE_CHECKING:
    from aiquery.engines.duckdb.definitions import Definitions, Macro, View

MAX_ROUNDS = 20
"""Views of views that are followed."""

_SCOPES = frozenset({"SUBQUERY", "LAMBDA"})


def inline_definitions(query: Tree, definitions: Definitions) -> Tree:
    """Put views and macros with AI calls in the place of their names, also where those read others.

    A name of a schema, a macro with defaults that are not given, and one with a subquery or a lambda are left.
    """
    made = copy.deepcopy(query)
    for _ in range(MAX_ROUNDS):
        _name_columns(made, definitions)
        defined = {name for name, _ in find_all_ctes(made)}
        changes = [_inline(node, defined, definitions) for node in list(nodes(made))]
        if not any(changes):
            break
    return made


def _name_columns(query: Tree, definitions: Definitions) -> None:
    """Give a column without an alias that calls a macro, or has a subquery, the name that DuckDB would give it."""
    for select in nodes(query):
        if select["type"] != "SELECT_NODE":
            continue
        for item in select["select_list"]:
            if item["alias"] == "" and any(
                _called(node, definitions) or node.get("class") == "SUBQUERY"
                for node in nodes(item)
            ):
                item["alias"] = print_expression(item)


def _called(node: Tree, definitions: Definitions) -> Macro | None:
    if node.get("class") != "FUNCTION" or node.get("schema"):
        return None
    return definitions.macro(str(node["function_name"]))


def _inline(node: Tree, defined: set[str], definitions: Definitions) -> bool:
    """Change a node if it names a view or macro; return True if it did."""
    made = None
    if node["type"] == "BASE_TABLE":
        made = _inline_view(node, defined, definitions)
    elif node["type"] == "TABLE_FUNCTION":
        made = _inline_table_macro(node, defined, definitions)
    elif node.get("class") == "FUNCTION":
        made = _inline_macro(node, definitions)
    if made is not None:
        replace_node(node, made)
    return made is not None


def _inline_view(
    node: Tree, defined: set[str], definitions: Definitions
) -> Tree | None:
    name = node["table_name"].lower()
    if node.get("schema_name") or node.get("sample") or name in defined:
        return None
    view = definitions.view(name)
    if view is None or _reads_one_of(view.query, defined):
        return None
    return _read_view(node, view)


def _reads_one_of(query: Tree, names: set[str]) -> bool:
    """Return True if a definition reads a table that is hidden where it would be put: by a CTE of the same name."""
    own = {name for name, _ in find_all_ctes(query)}
    return bool(read_tables(query) & (names - own))


def _inline_macro(node: Tree, definitions: Definitions) -> Tree | None:
    macro = _called(node, definitions)
    if macro is None or macro.body["type"] in QUERIES:
        return None
    if any(one.get("class") in _SCOPES for one in nodes(macro.body)):
        return None
    body = _with_arguments(macro, node)
    return None if body is None else {**body, "alias": node["alias"]}


def _read_view(node: Tree, view: View) -> Tree:
    given = node["column_name_alias"]
    return _table(
        view.query,
        alias=node["alias"] or node["table_name"],
        columns=[*given, *view.columns[len(given) :]],
    )


def _inline_table_macro(
    node: Tree, defined: set[str], definitions: Definitions
) -> Tree | None:
    call = node["function"]
    macro = _called(call, definitions)
    if macro is None or macro.body["type"] not in QUERIES or node.get("sample"):
        return None
    body = _with_arguments(macro, call)
    if body is None or _reads_one_of(body, defined):
        return None
    if node["with_ordinality"] != "WITHOUT_ORDINALITY":
        return None
    return _table(
        body,
        alias=node["alias"] or str(call["function_name"]),
        columns=node["column_name_alias"],
    )


def _table(query: Tree, *, alias: str, columns: list[str]) -> Tree:
    made: Tree = parse_query("SELECT * FROM (SELECT 1) AS q")["from_table"]
    made["subquery"]["node"] = copy.deepcopy(query)
    made["alias"] = alias
    made["column_name_alias"] = columns
    return made


def _with_arguments(macro: Macro, call: Tree) -> Tree | None:
    """Return the body of a macro with the arguments of a call; None if one is missing."""
    given: dict[str, Tree] = {}
    for position, argument in enumerate(call["arguments"]):
        name = argument["name"].lower()
        if not name and position < len(macro.parameters):
            name = macro.parameters[position]
        given[name] = {**argument["expression"], "alias": ""}
    if set(given) != set(macro.parameters):
        return None
    body = copy.deepcopy(macro.body)
    for found in list(walk(body)):
        node = found.node
        if node["type"] != "COLUMN_REF" or len(node["column_names"]) != 1:
            continue
        value = given.get(node["column_names"][0].lower())
        if value is not None:
            replace_node(node, {**copy.deepcopy(value), "alias": node["alias"]})
    return body
