"""The candidates of a query node: its rows before any call decides about them, and the first so many of them."""

from __future__ import annotations

import copy
from dataclasses import dataclass

from aiquery.engines.duckdb.planning.conditions import (
    join_all,
    only_if,
    split_condition,
)
from aiquery.engines.duckdb.planning.order_keys import make_window
from aiquery.engines.duckdb.syntax import (
    Tree,
    arguments,
    constant,
    find_calls,
    nodes,
    own_calls,
    parse_query,
    reads_name,
    replace_node,
    selected_names,
)

PSEUDO_COLUMNS = frozenset({"rowid", "filename", "file_row_number", "file_index"})


@dataclass(frozen=True)
class RestrictedNode:
    """A query node that reads fewer of its candidates for a time.

    node      the node in the tree that is run
    written   the node as it was
    """

    node: Tree
    written: Tree

    def without_calls(self) -> tuple[Tree, list[Tree]]:
        """Return the node with only the conditions without calls, and the conditions with calls."""
        made = copy.deepcopy(self.written)
        cheap, asking = split_condition(made["where_clause"])
        made["where_clause"] = join_all(cheap)
        return made, asking

    def restore(self) -> None:
        """Let the node read all of its candidates again."""
        replace_node(self.node, copy.deepcopy(self.written))


@dataclass(frozen=True)
class Source(RestrictedNode):
    """A query node whose first candidates are asked; ``orders`` is the order of them, [] for the order of reading."""

    orders: list[Tree]

    @classmethod
    def of(cls, node: Tree, orders: list[Tree]) -> Source:
        """Return a node as a source."""
        return cls(node, copy.deepcopy(node), orders)

    def restrict(self, count: int) -> None:
        """Let the node read only its first ``count`` candidates."""
        made = copy.deepcopy(self.written)
        cheap, asking = split_condition(made["where_clause"])
        if self._reads_one_relation():
            made["from_table"] = self._read_first(made["from_table"], cheap, count)
            made["where_clause"] = join_all(asking)
        else:
            made["where_clause"] = join_all(cheap)
            is_joined = made["from_table"]["type"] == "JOIN"
            positions = self._positions() if self.orders or is_joined else []
            first = _is_among_first(count, positions)
            guarded = [only_if(first, part) for part in asking] or [first]
            written = [made["qualify"]] if made["qualify"] else []
            made["qualify"] = join_all([*written, *guarded])
        replace_node(self.node, made)

    def candidates(self, count: int) -> Tree:
        """Return a query of the first ``count`` candidates, without any call."""
        made, _ = self.without_calls()
        made["modifiers"] = _limit(count)
        if not reads_name(made["where_clause"] or {}, selected_names(made)):
            made["select_list"] = [constant("1")]
        return made

    def _read_first(self, table: Tree, cheap: list[Tree], count: int) -> Tree:
        """Return ``(SELECT * FROM table WHERE cheap ORDER BY .. LIMIT count) AS table``."""
        query = parse_query("SELECT * FROM (SELECT * FROM t) AS u")
        made: Tree = query["from_table"]
        inner = made["subquery"]["node"]
        inner["from_table"] = table
        inner["where_clause"] = join_all(cheap)
        inner["modifiers"] = _limit(count)
        orders = self._positions() if self.orders else []
        if orders:
            order = parse_query("SELECT 1 ORDER BY 1")["modifiers"][0]
            inner["modifiers"].insert(0, {**order, "orders": orders})
        made["alias"] = _alias(table)
        return made

    def _positions(self) -> list[Tree]:
        """Return the order of the candidates; equal rows are ordered by what the calls read of them."""
        return copy.deepcopy([*self.orders, *read_by_calls(self.written)])

    def _reads_one_relation(self) -> bool:
        """Return True if FROM is one relation that a query of the same name can stand for."""
        node = self.written
        table = node["from_table"]
        if table["type"] not in {"BASE_TABLE", "SUBQUERY", "TABLE_FUNCTION"}:
            return False
        alias = _alias(table).lower()
        columns = [one for one in nodes(node) if one["type"] == "COLUMN_REF"]
        if not alias or any(_is_of_a_schema(one, alias) for one in columns):
            return False
        cheap, _ = split_condition(node["where_clause"])
        return not node["qualify"] and not reads_name(cheap, selected_names(node))


def read_by_calls(select: Tree) -> list[Tree]:
    """Return what the calls in the conditions of a query node read, as orders: equal rows are the same request."""
    order = parse_query("SELECT 1 ORDER BY 1")["modifiers"][0]["orders"][0]
    return [
        {**order, "expression": {**argument, "alias": ""}}
        for call in own_calls(select["where_clause"] or {})
        for argument in arguments(call.node)
        if _is_sortable(argument, select)
    ]


def _is_sortable(argument: Tree, select: Tree) -> bool:
    """Return True if an argument reads columns, and can be evaluated below the conditions."""
    if reads_name(argument, selected_names(select)):
        return False
    kinds = {node.get("class") for node in nodes(argument)}
    is_plain = not kinds & {"LAMBDA", "SUBQUERY", "WINDOW"}
    return is_plain and "COLUMN_REF" in kinds and not find_calls(argument)


def _is_among_first(count: int, orders: list[Tree]) -> Tree:
    """Return ``rank() OVER (ORDER BY ..) <= count``; equal rows are asked together, so a prefix is always the same."""
    made = constant(f"1 <= {count}")
    function = "rank" if orders else "row_number"
    made["left"] = make_window(function, [], orders)
    return made


def _limit(count: int) -> list[Tree]:
    modifiers: list[Tree] = parse_query(f"SELECT 1 LIMIT {count}")["modifiers"]
    return modifiers


def _alias(table: Tree) -> str:
    """Return the name by which columns of a relation are qualified; "" if it is not known."""
    if table["alias"]:
        return str(table["alias"])
    name = str(table.get("table_name", ""))
    return name if name.isidentifier() else ""


def _is_of_a_schema(column: Tree, alias: str) -> bool:
    names = [name.lower() for name in column["column_names"]]
    qualified = len(names) > 2 and names[0] != alias  # noqa: PLR2004  schema.table.column
    return qualified or names[-1] in PSEUDO_COLUMNS
