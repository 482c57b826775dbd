"""Queries that need one passing row of each group: DISTINCT, DISTINCT ON, and the subqueries of IN."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiquery.engines.duckdb.planning.candidates import (
    RestrictedNode,
    read_by_calls,
)
from aiquery.engines.duckdb.planning.conditions import (
    join_all,
    only_if,
)
from aiquery.engines.duckdb.planning.limits import Sources
from aiquery.engines.duckdb.planning.order_keys import (
    find_modifier,
    make_window,
    resolve_key,
    resolve_order,
)
from aiquery.engines.duckdb.syntax import (
    NodePath,
    Tree,
    constant,
    has_limit,
    own_calls,
    pack,
    parse_query,
    replace_node,
    walk,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

Level = tuple[int, str | None]
"""Candidates of a group that are asked, and the table of the keys that had a passing row before; None: of no key."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """A query node that is also the source of its candidates, the keys of its groups, and the order within one."""

    path: NodePath
    keys: list[Tree]
    orders: list[Tree]


def find_groups(query: Tree, settled: set[int] | None = None) -> list[Group]:
    """Return the groups of a query, inner ones first; ``settled`` are ids of nodes whose candidates are chosen."""
    found = []
    for path in reversed(list(walk(query))):
        node = path.node
        if (
            node["type"] != "SELECT_NODE"
            or has_limit(node)
            or id(node) in (settled or set())
        ):
            continue
        group = _find_group(path)
        if group is None:
            continue
        if Sources(query, node, ()).is_only(node):
            found.append(group)
    return found


def _find_group(path: NodePath) -> Group | None:
    node = path.node
    if not own_calls(node["where_clause"] or {}) or node["qualify"]:
        return None
    orders: list[Tree] | None = []
    distinct = find_modifier(node, "distinct")
    if distinct is not None and distinct["distinct_on_targets"]:
        keys = distinct["distinct_on_targets"]
        orders = resolve_order(node) or None
    elif distinct is not None or _is_tested_for_members(path):
        keys = node["select_list"]
    else:
        return None
    resolved = [resolve_key({**key, "alias": ""}, node) for key in keys]
    known = [key for key in resolved if key is not None]
    if orders is None or len(known) < len(keys):
        return None
    return Group(path=path, keys=known, orders=orders)


def _is_tested_for_members(path: NodePath) -> bool:
    """Return True for the query of ``x IN (query)``, of whose equal rows one is enough."""
    around = path.within[-1] if path.within else {}
    return (
        around.get("class") == "SUBQUERY"
        and around["subquery_type"] == "ANY"
        and around["comparison_type"] == "COMPARE_EQUAL"
        and not path.node["modifiers"]
    )


@dataclass(frozen=True)
class GroupSource(RestrictedNode):
    """A query node of whose groups the first candidates are asked."""

    keys: list[Tree]
    orders: list[Tree]

    @classmethod
    def of(cls, group: Group) -> GroupSource:
        """Return the node of a group as a source."""
        node = group.path.node
        return cls(node, copy.deepcopy(node), group.keys, group.orders)

    def restrict(self, levels: Sequence[Level], skipped: str | None = None) -> None:
        """Let the node read the first candidates of each group: as many as the level says that the group reached.

        skipped  a table of candidates that are left out (``superfluous``)
        """
        replace_node(self.node, self._restricted(levels, skipped))

    def passing_keys(self, levels: Sequence[Level]) -> Tree:
        """Return a query of the keys that have a passing row."""
        made = self._restricted(levels)
        query = parse_query("SELECT DISTINCT 1 AS key")
        made["modifiers"] = query["modifiers"]
        made["select_list"] = [{**self._key(), "alias": "key"}]
        return made

    def first_passing(self, levels: Sequence[Level]) -> Tree:
        """Return a query of the position of each group's first passing row."""
        query = parse_query(
            "SELECT key, min(position) AS first FROM (SELECT 1) AS q GROUP BY key"
        )
        query["from_table"]["subquery"]["node"] = self._positioned(
            self._restricted(levels)
        )
        return query

    def superfluous(self, first: str) -> Tree:
        """Return a query of the candidates that are not needed beside the first passing row of their group.

        first  a table that ``first_passing`` made. Without an order, a group needs that row only.
        """
        comparison = ">" if self.orders else "<>"
        query = parse_query(
            "SELECT {'v0': q.key, 'v1': q.position} AS key FROM (SELECT 1) AS q "
            f"JOIN {first} AS f ON q.key = f.key WHERE q.position {comparison} f.first"
        )
        query["from_table"]["left"]["subquery"]["node"] = self._positioned(
            self._candidates()
        )
        return query

    def further_candidates(self, count: int, passed: str) -> Tree:
        """Return a query of the candidates behind the first ``count`` of the keys that are not in a table."""
        made = self._candidates()
        condition = constant(f"1 > {count} AND 2 NOT IN (SELECT key FROM {passed})")
        condition["children"][0]["left"] = self._position()
        condition["children"][1]["children"][0]["child"] = self._key()
        made["qualify"] = condition
        made["select_list"] = [constant("1")]
        return made

    def _candidates(self) -> Tree:
        made, _ = self.without_calls()
        made["modifiers"] = []
        return made

    def _positioned(self, query: Tree) -> Tree:
        """Let a query of candidates select their keys and their positions in their groups."""
        return {
            **query,
            "modifiers": [],
            "select_list": [
                {**self._key(), "alias": "key"},
                {**self._position(), "alias": "position"},
            ],
        }

    def _restricted(self, levels: Sequence[Level], skipped: str | None = None) -> Tree:
        made, asking = self.without_calls()
        first = constant("1 <= 2")
        first["left"] = self._position()
        first["right"] = self._reached(levels)
        if skipped is not None:
            others = constant(f"1 NOT IN (SELECT key FROM {skipped})")
            others["children"][0]["child"] = pack([self._key(), self._position()])
            first = join_all([first, others]) or first
        made["qualify"] = join_all([only_if(first, part) for part in asking])
        return made

    def _reached(self, levels: Sequence[Level]) -> Tree:
        """Return ``CASE WHEN key NOT IN (passed later) THEN more WHEN .. ELSE fewer END``."""
        made = constant(str(levels[0][0]))
        for count, passed in levels[1:]:
            chosen = constant(
                f"CASE WHEN 1 NOT IN (SELECT key FROM {passed}) THEN {count} ELSE 2 END"
            )
            check = chosen["case_checks"][0]
            check["when_expr"]["children"][0]["child"] = self._key()
            chosen["else_expr"] = made
            made = chosen
        return made

    def _key(self) -> Tree:
        """Return the keys as one value: two are equal where their NULLs are, as groups are."""
        return pack(copy.deepcopy(self.keys))

    def _position(self) -> Tree:
        orders = [*self.orders, *read_by_calls(self.written)]
        return make_window("rank", copy.deepcopy(self.keys), copy.deepcopy(orders))
