"""The views and macros of a database whose queries call AI functions.

They are stored as the user wrote them. A statement that reads one is planned with the query in its place.
"""

from __future__ import annotations

import re
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING

import duckdb

from aiquery import registry
from aiquery.engines.duckdb.query_parts import find_view_query
from aiquery.engines.duckdb.syntax import (
    Tree,
    base_name,
    find_calls,
    mentions_ai,
    nodes,
    parse,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable

    from aiquery.engines.duckdb.dialect_macros import DialectMacros

_CHANGES = re.compile(
    r"(?:^|[;\n])\s*(?:create\b[^;]{0,60}?\b(?:view|macro|function|schema)"
    r"|drop|alter|attach|detach|use|import|load|set)\b",
    re.IGNORECASE,
)
"""A statement that may change a definition, or what a name stands for."""

_VIEWS = """
SELECT view_name, sql, (SELECT list(column_name ORDER BY column_index) FROM duckdb_columns() AS c
    WHERE c.table_name = v.view_name AND c.schema_name = v.schema_name AND c.database_name = v.database_name)
FROM duckdb_views() AS v
WHERE NOT internal AND (temporary OR schema_name = current_schema() AND database_name = current_database())
    AND view_name NOT IN (SELECT table_name FROM duckdb_tables())
"""
_MACROS = """
SELECT function_name, function_type, parameters, macro_definition FROM duckdb_functions()
WHERE function_type IN ('macro', 'table_macro') AND NOT internal AND macro_definition IS NOT NULL
"""


OWN_PREFIX = "aiquery_"
"""The names of our own table functions, which read the history of runs."""


@dataclass(frozen=True)
class View:
    """A view: the names of its columns, if they are not those of its query, and its query."""

    columns: list[str]
    query: Tree


@dataclass(frozen=True)
class Macro:
    """A macro: the names of its parameters, and its expression, or its query if it is one of tables."""

    parameters: list[str]
    body: Tree


class Definitions:
    """The views and macros with AI calls that one connection sees.

    The connections of a ``family`` share their database: each of them tells the others when a definition may change.
    """

    def __init__(
        self, raw: duckdb.DuckDBPyConnection, dialect_macros: DialectMacros
    ) -> None:
        """Read nothing. ``dialect_macros`` are created for definitions that call them."""
        self._raw = raw
        self._dialect_macros = dialect_macros
        self.family: weakref.WeakSet[Definitions] = weakref.WeakSet([self])
        self.is_current = False
        self._views: dict[str, View] = {}
        self._macros: dict[str, Macro] = {}
        self._names: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def join(self, other: Definitions) -> None:
        """Join the family of another connection to the same database."""
        self.family = other.family
        self.family.add(self)

    def note(self, text: str) -> None:
        """Take note of a statement that is about to run."""
        if _CHANGES.search(text):
            for one in self.family:
                one.is_current = False

    def are_read_by(self, text: str) -> bool:
        """Return True if a text may read one of them; fast."""
        if not self.is_current:
            self.load()
        return self._pattern is not None and self._pattern.search(text) is not None

    def has(self, name: str) -> bool:
        """Return True if a name is one of them, whether its query is known or not."""
        return name.lower() in self._names

    def view(self, name: str) -> View | None:
        """Return a view with AI calls as it was when ``load`` read it; None if a name is none."""
        return self._views.get(name.lower())

    def macro(self, name: str) -> Macro | None:
        """Return a macro with AI calls as it was when ``load`` read it; None if a name is none."""
        return self._macros.get(name.lower())

    def load(self) -> None:
        """Read all definitions."""
        try:
            views = self._raw.execute(_VIEWS).fetchall()
            macros = self._raw.execute(_MACROS).fetchall()
        except duckdb.TransactionException:
            return  # it was aborted: the statement itself raises that
        self.is_current = True
        for text in [*(row[1] for row in views), *(row[3] for row in macros)]:
            self._dialect_macros.create_for(text or "")
        own = [
            (name.lower(), kind, text)
            for name, kind, text in [
                *((name, "view", text) for name, text, _ in views),
                *((name, kind, text) for name, kind, _, text in macros),
            ]
            if base_name(name) not in registry.functions()
            and not name.startswith(OWN_PREFIX)
        ]
        trees = _asking_trees(own)
        self._names = set(trees)
        words = "|".join(map(re.escape, self._names))
        self._pattern = re.compile(rf"\b({words})\b", re.IGNORECASE) if words else None
        self._views = {
            name.lower(): View(columns=_given_columns(text, columns or []), query=tree)
            for name, text, columns in views
            if (tree := _only(trees.get(name.lower()))) is not None
        }
        self._macros = {
            name.lower(): Macro(
                parameters=[one.lower() for one in parameters], body=tree
            )
            for name, _, parameters, _ in macros
            if (tree := _only(trees.get(name.lower()))) is not None
        }


def _given_columns(text: str, columns: list[str]) -> list[str]:
    """Return the names of a view's columns if its statement gives them: ``CREATE VIEW v (a, b) AS``."""
    head = re.split(r"\bAS\b", text, maxsplit=1, flags=re.IGNORECASE)[0]
    return columns if head.rstrip().endswith(")") else []


def _only(trees: list[Tree | None] | None) -> Tree | None:
    """Return the definition of a name that has one; None if it has several, or its text is not understood."""
    return trees[0] if trees is not None and len(trees) == 1 else None


def _asking_trees(texts: list[tuple[str, str, str]]) -> dict[str, list[Tree | None]]:
    """Return the definitions that call AI functions, directly or through others, by name."""
    found: dict[str, list[Tree | None]] = {}
    while True:
        mentions = _mentions(found)
        parsed = [
            (name, _parse(kind, text))
            for name, kind, text in texts
            if name not in found and mentions(text)
        ]
        asking = [
            (name, tree) for name, tree in parsed if tree is None or _asks(tree, found)
        ]
        if not asking:
            return found
        for name, tree in asking:
            found.setdefault(name, []).append(tree)


def _mentions(names: Iterable[str]) -> Callable[[str], bool]:
    words = "|".join(map(re.escape, names))
    pattern = re.compile(rf"\b({words})\b", re.IGNORECASE)
    return lambda text: (
        mentions_ai(text) or (bool(words) and pattern.search(text) is not None)
    )


def _asks(tree: Tree, found: Container[str]) -> bool:
    return bool(find_calls(tree)) or any(
        str(node.get("table_name") or node.get("function_name") or "").lower() in found
        for node in nodes(tree)
    )


def _parse(kind: str, text: str) -> Tree | None:
    """Return the query of a view or table macro, or the expression of a macro."""
    if kind == "view":
        return find_view_query(text)
    if kind == "table_macro":
        return parse(text)
    query = parse(f"SELECT {text}")
    return None if query is None else query["select_list"][0]
