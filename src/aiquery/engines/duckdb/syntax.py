"""Parse a query with DuckDB's parser, and print it with DuckDB's printer.

A tree is the result of ``json_serialize_sql``: dictionaries and lists. A node of an expression has a ``class``; a query
or a table only has a ``type``. Printing is checked: the text must parse to the same tree.
"""

from __future__ import annotations

import copy
import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import duckdb
import msgspec

from aiquery import registry
from aiquery.engines.duckdb.parser_connection import parser_connection
from aiquery.functions.signature import is_aggregate

if TYPE_CHECKING:
    from collections.abc import Iterator

Tree = dict[str, Any]

VOLATILE = "__volatile"
"""Suffix of a volatile macro of each function. DuckDB neither pushes a volatile call below a join nor shares it."""

UNASKED = "__unasked"
"""Suffix of a macro of each function whose arguments are evaluated, which sends nothing, and whose value is NULL."""

DISTINCT = "__distinct"
"""Suffix of a macro of each aggregate: equal texts of a group count once."""

SUFFIXES = (VOLATILE, UNASKED, DISTINCT)
MAX_DEPTH = 300
"""A query with a deeper tree is not rewritten: Python's stack holds a thousand frames."""

QUERIES = frozenset(
    {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"}
)

_PLACES = frozenset({"query_location", "query_location_length"})
_VALUES = "valueslist"


class NotPrintable(Exception):
    """DuckDB's printer does not print this tree, so the user's own text must run."""


def parse(text: str) -> Tree | None:
    """Return the query of a text; None if it is not a query, too deep, or unknown to DuckDB's serializer."""
    document = _serialize(text)
    return None if document is None else document["statements"][0]["node"]


def print_query(query: Tree) -> str:
    """Return the text of a query. Raises ``NotPrintable`` if the text would not parse to the same tree."""
    text = _deserialize(query)
    back = parse(text)
    if back is None or canonical(back) != canonical(query):
        raise NotPrintable(text)
    return text


def print_expression(expression: Tree) -> str:
    """Return the text of an expression, which is also the name of its column without an alias."""
    return _deserialize(
        {**parse_query("SELECT 1"), "select_list": [expression]}
    ).removeprefix("SELECT ")


def canonical(tree: Any) -> Any:
    """Return a tree without positions, in the form in which the printer writes it."""
    if isinstance(tree, list):
        return [canonical(item) for item in tree]
    if not isinstance(tree, dict):
        return tree
    made = {
        name: canonical(value) for name, value in tree.items() if name not in _PLACES
    }
    return _without_wrapping(made)


def _without_wrapping(node: Tree) -> Tree:
    """``FROM (VALUES ..) AS valueslist`` is printed for what ``VALUES ..`` is parsed to."""
    if (
        node.get("type") != "SUBQUERY"
        or "class" in node
        or node["alias"] != _VALUES
        or node["column_name_alias"]
    ):
        return node
    inner = node["subquery"]["node"]
    source = inner.get("from_table") or {}
    same = source.get("type") == "EXPRESSION_LIST" and source["alias"] == _VALUES
    plain = [item["type"] for item in inner.get("select_list", ())] == [
        "STAR"
    ] and not inner.get("where_clause")
    return source if same and plain and not inner["modifiers"] else node


@dataclass(frozen=True, slots=True)
class NodePath:
    """A node and its ancestors, from the outermost to the nearest."""

    node: Tree
    within: tuple[Tree, ...]


def walk(tree: Any, within: tuple[Tree, ...] = ()) -> Iterator[NodePath]:
    """Yield every node of a tree, outer ones first."""
    if isinstance(tree, list):
        for item in tree:
            yield from walk(item, within)
    elif isinstance(tree, dict):
        inner = within
        if isinstance(tree.get("type"), str):
            yield NodePath(tree, within)
            inner = (*within, tree)
        for value in tree.values():
            if isinstance(value, dict | list):
                yield from walk(value, inner)


def may_be_correlated(path: NodePath) -> bool:
    """Return True if a query node may read columns of one around it: a subquery in an expression, or in a join."""
    return any(
        node.get("class") == "SUBQUERY" or node["type"] == "JOIN"
        for node in path.within
    )


def nodes(tree: Any) -> Iterator[Tree]:
    """Yield every node of a tree."""
    return (found.node for found in walk(tree))


def mentions_ai(sql: str) -> bool:
    """Return True if a text may call an AI function; fast."""
    lower = sql.lower()
    return any(name in lower for name in registry.functions())


def find_calls(tree: Any) -> list[NodePath]:
    """Return the AI calls of a tree."""
    return [found for found in walk(tree) if is_call(found.node)]


def walk_own(part: Any) -> Iterator[NodePath]:
    """Yield the nodes of a part of a query, without those of the queries inside it."""
    for found in walk(part):
        if not any(node["type"] in QUERIES for node in found.within):
            yield found


def own_calls(part: Any) -> list[NodePath]:
    """Return the AI calls of a part of a query, without those of its subqueries."""
    return [found for found in walk_own(part) if is_call(found.node)]


def has_subquery(part: Any) -> bool:
    """Return True if an expression has a subquery."""
    return any(node.get("class") == "SUBQUERY" for node in nodes(part))


def is_call(node: Tree) -> bool:
    """Return True for a call of an AI function."""
    return (
        node.get("class") == "FUNCTION" and function_name(node) in registry.functions()
    )


def is_row_call(node: Tree) -> bool:
    """Return True for a call about one row, and not about the rows of a group."""
    return is_call(node) and not is_aggregate(registry.functions()[function_name(node)])


def function_name(node: Tree) -> str:
    """Return a call's function, in lower case, without the suffix of a variant."""
    return base_name(str(node["function_name"]))


def base_name(name: str) -> str:
    """Return a function's name in lower case, without the suffix of a variant."""
    name = name.lower()
    for suffix in SUFFIXES:
        name = name.removesuffix(suffix)
    return name


def find_ctes(node: Tree) -> list[tuple[str, Tree]]:
    """Return the CTEs that a query node defines: names in lower case, and their nodes."""
    entries = (node.get("cte_map") or {}).get("map", ())
    return [(entry["key"].lower(), entry["value"]) for entry in entries]


def find_all_ctes(query: Tree) -> list[tuple[str, Tree]]:
    """Return the CTEs that a query and the queries inside it define: names in lower case, and their nodes."""
    return [found for node in nodes(query) for found in find_ctes(node)]


def with_ctes(path: NodePath, query: Tree) -> Tree:
    """Return a query with the CTEs that are defined around the node of ``path``."""
    inside = {id(node) for node in path.within} | {id(path.node)}
    entries = [
        entry
        for node in path.within
        if node["type"] in QUERIES
        for entry in (node.get("cte_map") or {}).get("map", ())
        if id(entry["value"]["query_node"]) not in inside
    ]
    own = query["cte_map"]["map"]
    query["cte_map"] = {**query["cte_map"], "map": [*copy.deepcopy(entries), *own]}
    return query


def read_tables(part: Any) -> set[str]:
    """Return the names of the tables, views and CTEs that a part of a query reads, in lower case."""
    return {
        node["table_name"].lower()
        for node in nodes(part)
        if node["type"] == "BASE_TABLE"
    }


def is_grouped(select: Tree) -> bool:
    """Return True if a query node groups its rows, or aggregates all of them."""
    return bool(
        select["group_expressions"]
        or select["aggregate_handling"] != "STANDARD_HANDLING"
    )


def only_filters(query: Tree) -> bool:
    """Return True for a query node that reads, filters and selects, so that its rows do not depend on each other."""
    if query["type"] != "SELECT_NODE" or query["modifiers"] or query.get("sample"):
        return False
    return not (is_grouped(query) or query["having"] or query["qualify"])


def selected_names(select: Tree) -> set[str]:
    """Return the names that a query node gives its columns with AS, in lower case."""
    return {item["alias"].lower() for item in select["select_list"]} - {""}


def reads_name(part: Any, names: set[str]) -> bool:
    """Return True if a column in a part of a query begins with one of the names."""
    return any(
        node["type"] == "COLUMN_REF" and node["column_names"][0].lower() in names
        for node in nodes(part)
    )


def find_joins(table: Tree | None) -> Iterator[Tree]:
    """Yield the joins of a FROM clause."""
    if table is not None and table["type"] == "JOIN":
        yield table
        yield from find_joins(table["left"])
        yield from find_joins(table["right"])


def has_limit(node: Tree) -> bool:
    """Return True if a query node has a LIMIT or an OFFSET."""
    return any(is_limit(modifier) for modifier in node.get("modifiers") or ())


def is_limit(modifier: Tree) -> bool:
    """Return True for the LIMIT and OFFSET of a query, in rows or in percent."""
    return str(modifier["type"]).startswith("LIMIT")


def arguments(call: Tree) -> list[Tree]:
    """Return the arguments of a call."""
    return [argument["expression"] for argument in call["arguments"]]


def describe_not_constant(query: Tree | None) -> str | None:
    """Describe the first argument that must be a constant and reads a column; None if there is none."""
    for call in (found.node for found in find_calls(query or {})):
        parameters = registry.functions()[function_name(call)].parameters
        known = {parameter.name.lower(): parameter for parameter in parameters}
        for position, argument in enumerate(call["arguments"]):
            placed = parameters[position] if position < len(parameters) else None
            parameter = (
                known.get(argument["name"].lower()) if argument["name"] else placed
            )
            reads = any(
                node["type"] in {"COLUMN_REF", "SUBQUERY"}
                for node in nodes(argument["expression"])
            )
            if parameter is not None and parameter.kind == "constant" and reads:
                given = print_expression({**argument["expression"], "alias": ""})
                return f"{function_name(call)}: {parameter.name} must be a constant, not {given}."
    return None


def replace_node(node: Tree, made: Tree) -> None:
    """Put another node in the place of one: the tree that holds it then holds the other."""
    content = dict(made)
    node.clear()
    node.update(content)


def set_variant(call: Tree, suffix: str) -> None:
    """Change a call to the variant of its function with ``suffix``."""
    name = f"{function_name(call)}{suffix}"
    call["function_name"] = name
    call["qualified_name"] = {"path": [name]}


def parse_query(text: str) -> Tree:
    """Return the tree of a query of ours. Raises ``NotPrintable`` if DuckDB does not parse it."""
    return copy.deepcopy(_parse_template(text))


@functools.lru_cache(maxsize=256)
def _parse_template(text: str) -> Tree:
    query = parse(text)
    if query is None:
        raise NotPrintable(text)
    return query


def constant(text: str) -> Tree:
    """Return the tree of an expression, such as ``NULL``."""
    expression: Tree = parse_query(f"SELECT {text}")["select_list"][0]
    return expression


def pack(values: list[Tree]) -> Tree:
    """Return a struct of values."""
    fields = ", ".join(f"'v{number}': 1" for number in range(len(values)))
    made = constant(f"{{{fields}}}")
    for argument, value in zip(made["arguments"], values, strict=True):
        argument["expression"] = {**value, "alias": argument["expression"]["alias"]}
    return made


# --- DuckDB's serializer ---------------------------------------------------------------------------------------------


def _serialize(text: str) -> Tree | None:
    found = (
        parser_connection()
        .execute("SELECT json_serialize_sql(?::VARCHAR)", [text])
        .fetchall()[0][0]
    )
    try:
        document: Tree = msgspec.json.decode(found)
    except RecursionError:
        return None
    failed = document["error"] or len(document["statements"]) != 1
    return None if failed or _is_deeper(document, MAX_DEPTH) else document


def _is_deeper(tree: Tree, levels: int) -> bool:
    """Return True if a tree has more levels."""
    level: list[Any] = [tree]
    for _ in range(levels):
        parts = [part.values() if isinstance(part, dict) else part for part in level]
        level = [
            item for part in parts for item in part if isinstance(item, dict | list)
        ]
        if not level:
            return False
    return True


def _deserialize(query: Tree) -> str:
    document = {"error": False, "statements": [{"node": query, "named_param_map": []}]}
    text = msgspec.json.encode(document).decode()
    try:
        printed: str = (
            parser_connection()
            .execute("SELECT json_deserialize_sql(?::JSON)", [text])
            .fetchall()[0][0]
        )
    except duckdb.Error as error:
        raise NotPrintable(str(error)) from None
    return printed


_MACROS_OF_AGGREGATES = frozenset({
    "json_group_array", "json_group_object", "json_group_structure", "variant_group_array", "geomean",
    "geometric_mean", "wavg", "weighted_avg",
})  # fmt: skip


def is_aggregate_function(node: Tree) -> bool:
    """Return True for a call of one of DuckDB's aggregates."""
    if node.get("class") != "FUNCTION":
        return False
    name = str(node["function_name"]).lower()
    known = built_in_functions().get(name)
    is_aggregate = known is not None and known.kind == "aggregate"
    return is_aggregate or name in _MACROS_OF_AGGREGATES


def is_scalar_function(node: Tree) -> bool:
    """Return True for a call of a function of DuckDB with one value for each row."""
    name = str(node["function_name"]).lower()
    known = built_in_functions().get(name)
    return known is not None and known.kind == "scalar" and name != "unnest"


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """A function of DuckDB: ``kind`` is scalar, aggregate, table, macro, ..."""

    kind: str
    volatile: bool


@functools.cache
def built_in_functions() -> dict[str, BuiltIn]:
    """Return DuckDB's functions by name."""
    rows = (
        parser_connection()
        .execute(
            "SELECT function_name, any_value(function_type), coalesce(bool_or(stability = 'VOLATILE'), false) "
            "FROM duckdb_functions() GROUP BY function_name"
        )
        .fetchall()
    )
    return {name.lower(): BuiltIn(kind, volatile) for name, kind, volatile in rows}
