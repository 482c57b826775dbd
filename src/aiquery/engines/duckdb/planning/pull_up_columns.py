"""Columns with calls of inner queries move up: ``FROM (SELECT id, ai(s) AS k ..) AS q JOIN u`` joins first, then asks.

Each place that reads the column gets the call. Equal requests are sent once, so that several places cost no more.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiquery.engines.duckdb.planning.pulled_tables import (
    SCOPES,
    can_move,
    hide_columns,
    passing_tables,
)
from aiquery.engines.duckdb.syntax import (
    QUERIES,
    Tree,
    constant,
    find_calls,
    find_joins,
    is_aggregate_function,
    is_grouped,
    is_row_call,
    is_scalar_function,
    nodes,
    only_filters,
    print_expression,
    reads_name,
    replace_node,
    selected_names,
    walk,
    walk_own,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiquery.engines.duckdb.syntax import NodePath

_APART = frozenset({*QUERIES, "JOIN", "OPERATOR_TRY"})
_MAX_CALLS = 8
"""Calls in the place of one column: a chain of queries that read it several times would grow without a bound."""


def move_columns_up(select: Tree, numbers: Iterator[int]) -> int:
    """Move columns with calls from the inner queries of a query node into it; return how many moved."""
    moved = 0
    for table in list(passing_tables(select["from_table"])):
        for item in columns_to_move(table["subquery"]["node"]):
            moved += _move(select, table, item, numbers)
    return moved


def columns_to_move(query: Tree) -> list[Tree]:
    """Return the columns with calls of an inner query that nothing else in it reads."""
    items = query["select_list"] if only_filters(query) else []
    if not all(map(_is_of_one_row, items)):
        return []
    named = [item["alias"].lower() or _column_name(item) for item in items]
    return [
        item
        for item in items
        if item["alias"]
        and find_calls(item)
        and can_move(item)
        and named.count(item["alias"].lower()) == 1
        and not reads_name(query, {item["alias"].lower()})
        and not reads_name(item, selected_names(query))
    ]


def _column_name(item: Tree) -> str:
    names = item.get("column_names") or [""]
    return str(names[-1]).lower()


def _is_of_one_row(item: Tree) -> bool:
    """Return True if a column has a known name and one value for each row: it does not aggregate, and makes no rows."""
    return not any(
        node["type"] == "STAR"
        or (
            node.get("class") == "FUNCTION"
            and not is_row_call(node)
            and not is_scalar_function(node)
        )
        for node in nodes(item)
    )


def _move(select: Tree, table: Tree, item: Tree, numbers: Iterator[int]) -> bool:
    inner = table["subquery"]["node"]
    column = _Column(table["alias"].lower(), item["alias"].lower())
    if table["column_name_alias"] or not table["alias"] or select.get("sample"):
        return False
    if column.may_be_seen(select) or column.is_hidden(select):
        return False
    reads = column.find_reads(select, table)
    outputs = [one for one in reads if column.is_output(one, select)]
    inside = [one for one in reads if not any(one is output for output in outputs)]
    is_large = len(inside) * len(find_calls(item)) > _MAX_CALLS
    if is_large or not all(_can_call(one, select) for one in inside):
        return False
    inner["select_list"] = [one for one in inner["select_list"] if one is not item]
    inner["select_list"] += hide_columns([item], table, numbers) or [constant("NULL")]
    for path in outputs:
        path.node["column_names"] = [item["alias"]]
    _name_columns(select, [path.node for path in inside], item["alias"])
    for path in inside:
        _call(path.node, item, table["alias"].lower())
    return True


def _name_columns(select: Tree, changed: list[Tree], name: str) -> None:
    """Give a column without an alias that will change the name that it has; one with a call already has it noted."""
    for item in select["select_list"]:
        own = [node for node in nodes(item) if any(node is one for one in changed)]
        if own and not item["alias"] and not find_calls(item):
            is_column = own[0] is item
            item["alias"] = name if is_column else print_expression(item)


@dataclass(frozen=True)
class _Column:
    """A column of an inner query, as the query around it reads it; both names are in lower case."""

    table: str
    name: str

    def is_read_by(self, column: Tree) -> bool:
        """Return True for ``name`` and ``table.name``, and for their fields."""
        names = [one.lower() for one in column["column_names"]]
        return names[0] == self.name or names[:2] == [self.table, self.name]

    def is_whole(self, column: Tree) -> bool:
        """Return True for ``name`` and ``table.name``."""
        names = [one.lower() for one in column.get("column_names", ())]
        return names in ([self.name], [self.table, self.name])

    def may_be_seen(self, select: Tree) -> bool:
        """Return True if a query node reads the column without its name: by a star, position or row, or in NATURAL."""
        joins = find_joins(select["from_table"])
        if any(join["ref_type"] == "NATURAL" for join in joins):
            return True
        if any(node.get("class") == "POSITIONAL_REFERENCE" for node in nodes(select)):
            return True
        for node in nodes(select["select_list"]):
            if node["type"] == "STAR" and node["relation_name"].lower() in {
                "",
                self.table,
            }:
                return True
        return any(
            node["type"] == "COLUMN_REF" and [one.lower() for one in node["column_names"]] == [self.table]
            for node in nodes(select)
        )  # fmt: skip

    def is_hidden(self, select: Tree) -> bool:
        """Return True if a query node may mean something else by the name: another column's alias, or a table."""
        given = [
            item["alias"].lower()
            for item in select["select_list"]
            if not self.is_whole(item)
        ]
        tables = [
            node[key].lower()
            for node in (found.node for found in walk_own(select["from_table"]))
            for key in ("alias", "table_name")
            if isinstance(node.get(key), str)
        ]
        return self.name in given or self.name in tables

    def find_reads(self, select: Tree, table: Tree) -> list[NodePath]:
        """Return the places of a query node that read the column, also in the queries inside it."""
        apart = {id(node) for node in nodes([table, select["cte_map"]])}
        return [
            path
            for path in walk(select)
            if path.node["type"] == "COLUMN_REF"
            and id(path.node) not in apart
            and self.is_read_by(path.node)
        ]

    def is_output(self, path: NodePath, select: Tree) -> bool:
        """Return True for a whole expression of ORDER BY that is also selected, under the same name."""
        is_selected = any(
            self.is_whole(item) and item["alias"].lower() in {"", self.name}
            for item in select["select_list"]
        )
        if not is_selected or not self.is_whole(path.node):
            return False
        return [node["type"] for node in path.within[1:-1]] == ["ORDER_MODIFIER"]


def _can_call(path: NodePath, select: Tree) -> bool:
    """Return True if a call may stand in the place of a column: in a value or a condition of the query node itself."""
    around = path.within[1:]
    top = around[0] if around else path.node
    if (
        any(map(_is_apart, around))
        or top is select["having"]
        or top is select["qualify"]
    ):
        return False
    if top is select["where_clause"]:
        return True
    if any(top is modifier for modifier in select["modifiers"]):
        return top["type"] == "ORDER_MODIFIER" and not is_grouped(select)
    is_whole = not around
    return is_whole or not is_grouped(select) or any(map(is_aggregate_function, around))


def _is_apart(node: Tree) -> bool:
    """Return True for a part that may not evaluate a call, or that other changes of the plan have already passed."""
    is_ordered = bool((node.get("order_bys") or {}).get("orders"))
    is_other = node["type"] in _APART or node.get("class") in SCOPES
    return is_other or is_ordered or bool(node.get("filter"))


def _call(column: Tree, item: Tree, table: str) -> None:
    """Put the call in the place of a column, or of a field of the column."""
    names = column["column_names"]
    fields = names[2:] if names[0].lower() == table else names[1:]
    made = {**copy.deepcopy(item), "alias": ""}
    for field in fields:
        extracted = constant("struct_extract(1, 'x')")
        extracted["arguments"][0]["expression"] = made
        extracted["arguments"][1]["expression"] = _text(field)
        made = extracted
    replace_node(column, {**made, "alias": column["alias"]})


def _text(value: str) -> Tree:
    quoted = value.replace("'", "''")
    return constant(f"'{quoted}'")
