"""Trace the answers of a query's calls: the columns that are made from them, and the decisions that depend on them.

Columns are identified by name only. Two columns of one name count as one, which finds too many dependencies, never too
few.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiquery.engines.duckdb.syntax import (
    QUERIES,
    NodePath,
    Tree,
    arguments,
    find_calls,
    find_ctes,
    has_limit,
    is_call,
    is_limit,
    nodes,
    print_expression,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

CONDITIONAL = frozenset({"CASE_EXPR", "OPERATOR_COALESCE"})
"""Expressions that evaluate one part depending on another."""

_GUARDING = CONDITIONAL | {"CONJUNCTION_AND", "CONJUNCTION_OR", "OPERATOR_TRY"}
_CONDITIONAL_FUNCTIONS = frozenset({"if", "nullif", "ifnull"})
_WITHOUT_NAMES = frozenset({"PIVOT", "COLUMN_DATA", "SHOW_REF", "EXPRESSION_LIST"})
_PASSING = frozenset(
    {
        "STRUCT_EXTRACT",
        "ARRAY_EXTRACT",
        "SELECT_NODE",
        "SUBQUERY",
        "JOIN",
        "SET_OPERATION_NODE",
    }
)


class AnswerFlow:
    """The answers of one query: the columns and tables made from them, and what they decide.

    has_limit      the query has a LIMIT or OFFSET above a call, or above a column made from an answer
    decides_rows   an answer decides which rows go on, or how many
    is_untraceable columns have names that are not in the text
    is_read_twice  a CTE with a call is read in more than one place
    """

    def __init__(self, query: Tree) -> None:
        """Trace the answers through all columns."""
        self._query = query
        self._nodes = list(nodes(query))
        self._columns: set[str] = set()
        self._rows: set[str] = set()
        self._trace()
        self.has_limit = any(
            has_limit(node) and self.uses(node) for node in self._nodes
        )
        self.decides_rows = any(self.uses(part) for part in self.deciding())
        self.is_untraceable = any(self._loses_names(node) for node in self._nodes)
        self.is_read_twice = self._read_twice()

    def uses(self, part: Any) -> bool:
        """Return True if a part of the query has a call, or reads a column made from an answer."""
        return any(is_call(node) or self._is_derived(node) for node in nodes(part))

    def is_dependent(self, site: NodePath) -> bool:
        """Return True if a call depends on another answer: in its arguments, or in a condition around it."""
        return self.uses(arguments(site.node)) or any(
            self._guards(node, site.node) for node in site.within
        )

    def is_passed_on(self, site: NodePath) -> bool:
        """Return True if an answer only becomes a column, and no expression uses it or that column."""
        inner = [node for node in site.within if node["type"] not in QUERIES]
        plain = all(node["type"] in _PASSING for node in inner)
        return plain and not any(
            self._is_computed_with(found) for found in _expressions(self._query)
        )

    def _is_computed_with(self, item: Tree) -> bool:
        """Return True if an expression is more than one column, and reads a column made from an answer."""
        alone = (
            item["type"] == "COLUMN_REF"
            or is_call(item)
            or item["type"] in {"STRUCT_EXTRACT", "ARRAY_EXTRACT"}
        )
        return not alone and any(self._is_derived(node) for node in nodes(item))

    def _is_derived(self, node: Tree) -> bool:
        if node["type"] != "COLUMN_REF":
            return False
        names = [name.lower() for name in node["column_names"]]
        return any(name in self._columns for name in names) or (
            len(names) == 1 and names[0] in self._rows
        )

    def _guards(self, node: Tree, site: Tree) -> bool:
        conditional = (
            node["type"] in _GUARDING
            or str(node.get("function_name", "")).lower() in _CONDITIONAL_FUNCTIONS
        )
        if not conditional:
            return False
        return any(
            (is_call(n) and n is not site) or self._is_derived(n) for n in nodes(node)
        )

    # --- which columns -----------------------------------------------------------------------------------------------

    def _trace(self) -> None:
        """Find the columns, and the tables, that are made from an answer, directly or through others."""
        while True:
            before = len(self._columns) + len(self._rows)
            for node in self._nodes:
                self._trace_node(node)
            if len(self._columns) + len(self._rows) == before:
                return

    def _trace_node(self, node: Tree) -> None:
        if node["type"] == "SELECT_NODE":
            for item in node["select_list"]:
                self._trace_item(item)
        for name, cte in find_ctes(node):
            if self.uses(cte["query_node"]):
                self._add_table(name, cte["aliases"])
        if (
            node["type"]
            in {"SUBQUERY", "TABLE_FUNCTION", "EXPRESSION_LIST", "BASE_TABLE"}
            and "class" not in node
        ):
            reads = (
                node["type"] == "BASE_TABLE"
                and node["table_name"].lower() in self._rows
            )
            if reads or self.uses({k: v for k, v in node.items() if k != "type"}):
                self._add_table(
                    node.get("alias") or node.get("table_name", ""),
                    node.get("column_name_alias") or [],
                )

    def _trace_item(self, item: Tree) -> None:
        if item["type"] == "STAR":
            replaced = item.get("replace_list") or []
            self._columns |= {
                str(one["key"]).lower() for one in replaced if self.uses(one["value"])
            }
        elif self.uses(item):
            own = (
                item["column_names"][-1]
                if item["type"] == "COLUMN_REF"
                else print_expression(item)
            )
            self._columns.add((item["alias"] or own).lower())

    def _add_table(self, name: str, columns: list[str]) -> None:
        self._rows.add(name.lower())
        self._columns |= {column.lower() for column in columns}

    # --- what they decide --------------------------------------------------------------------------------------------

    def deciding(self) -> Iterator[Any]:
        """Yield the parts that decide which rows go on, or how many."""
        for node in self._nodes:
            if node["type"] == "SELECT_NODE":
                yield from (
                    node[name]
                    for name in ("where_clause", "having", "qualify")
                    if node[name]
                )
                yield from self._groups(node)
            elif node["type"] == "JOIN":
                yield from self._joined_by(node)
            elif node["type"] == "SET_OPERATION_NODE" and not (
                node["setop_type"] == "UNION" and node["setop_all"]
            ):
                yield node["children"]
            elif node["type"] == "TABLE_FUNCTION":
                yield node["function"]
            yield from self._modifiers(node)

    def _groups(self, select: Tree) -> Iterator[Any]:
        groups = select["group_expressions"]
        yield groups
        positions = any(group["class"] == "CONSTANT" for group in groups)
        if positions or select["aggregate_handling"] == "FORCE_AGGREGATES":
            yield select["select_list"]

    def _joined_by(self, join: Tree) -> Iterator[Any]:
        if join["condition"]:
            yield join["condition"]
        names = {name.lower() for name in join["using_columns"]}
        if names & self._columns or (join["ref_type"] == "NATURAL" and self._columns):
            yield [join["left"], join["right"]]

    def _modifiers(self, node: Tree) -> Iterator[Any]:
        limited = has_limit(node)
        for modifier in node.get("modifiers") or ():
            if modifier["type"] == "DISTINCT_MODIFIER":
                yield modifier["distinct_on_targets"] or node.get("select_list") or node
            elif is_limit(modifier):
                yield [
                    part
                    for part in (modifier.get("limit"), modifier.get("offset"))
                    if part
                ]
            elif limited:
                by_position = any(
                    order["expression"]["class"] != "COLUMN_REF"
                    for order in modifier["orders"]
                )
                yield [modifier, node.get("select_list") or [] if by_position else []]

    def _loses_names(self, node: Tree) -> bool:
        """Return True if a node makes columns whose names are not in the text."""
        if node["type"] in _WITHOUT_NAMES and node.get("alias") != "valueslist":
            return True
        if node["type"] == "EXPRESSION_LIST":
            return self.uses(node["values"])
        inner = node["type"] == "STAR" and node.get("columns")
        return bool(inner)

    def _read_twice(self) -> bool:
        """Return True if a CTE with a call is read in more than one place."""
        names = [
            node["table_name"].lower()
            for node in self._nodes
            if node["type"] == "BASE_TABLE"
        ]
        calling = [
            name
            for node in self._nodes
            for name, cte in find_ctes(node)
            if find_calls(cte["query_node"])
        ]
        return any(names.count(name) > 1 for name in calling)


def _expressions(query: Tree) -> Iterator[Tree]:
    """Yield the expressions of every SELECT list and ORDER BY."""
    for node in nodes(query):
        if node["type"] == "SELECT_NODE":
            yield from node["select_list"]
        for modifier in node.get("modifiers") or ():
            yield from (order["expression"] for order in modifier.get("orders") or ())
