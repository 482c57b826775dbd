"""Resolve the names in a query on one connection: views, macros, Python variables, and built-in functions."""

from __future__ import annotations

import functools
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiquery import registry
from aiquery.engines.duckdb.query_parts import find_view_query
from aiquery.engines.duckdb.syntax import (
    Tree,
    base_name,
    built_in_functions,
    find_all_ctes,
    nodes,
    parse,
    print_query,
    read_tables,
)
from aiquery.engines.duckdb.variables import run_with
from aiquery.sql.databricks.functions import PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterable

    import duckdb

    from aiquery.engines.duckdb.definitions import Definitions

PYTHON = "python_arrow_scan"
"""The source of a view of a registered Arrow object; that of a pandas frame is ``pandas_scan``."""

_FRAMES = ("pandas.", "polars.", "numpy")
_ARROW = frozenset({"Table", "RecordBatch", "FileSystemDataset", "UnionDataset"})


class Catalog:
    """The names of one connection, looked up for one statement.

    readable_again   registered objects that can be read more than once
    results          relations of earlier statements, which can be too
    variables        Python variables of the caller that the statement may name
    definitions      the views and macros with AI calls
    """

    def __init__(
        self,
        raw: duckdb.DuckDBPyConnection,
        readable_again: Iterable[str],
        results: Iterable[Any],
        variables: dict[str, Any],
        definitions: Definitions,
    ) -> None:
        """Look nothing up before it is needed."""
        self._raw = raw
        self.variables = variables
        self.definitions = definitions
        self._readable_again = {name.lower() for name in readable_again}
        self._results = {id(one) for one in results}
        self._views: dict[str, str] | None = None
        self._macros: dict[str, list[str]] | None = None
        self._cached: tuple[Tree, list[Tree] | None] | None = None
        self._side_effects: set[str] = set()
        self._scalars: set[str] = set()

    def expand(self, query: Tree) -> list[Tree] | None:
        """Return the query, and those of the views and macros that it reads through; None where one is unknown.

        None also means that something would be read that can be read only once. It is looked up once for a query.
        """
        if self._cached is None or self._cached[0] is not query:
            self._cached = query, self._expand(query)
        return self._cached[1]

    def _expand(self, query: Tree) -> list[Tree] | None:
        found = [query]
        open_ = [query]
        seen: set[str] = set()
        while open_:
            texts = self._texts(open_.pop(), seen)
            trees = None if texts is None else [_tree(text) for text in texts]
            if trees is None or None in trees:
                return None
            known = [tree for tree in trees if tree is not None]
            found += known
            open_ += known
        return found

    def repeats(self, name: str) -> bool:
        """Return True if a function always returns the same and has no side effect."""
        if _is_ours(name):
            return True
        kind = built_in_functions().get(name)
        if kind is not None and kind.volatile:
            return False
        known = name in self._load_macros() or name in self._scalars or kind is not None
        return known and name not in self._side_effects

    def keeps_order(self) -> bool:
        """Return True if DuckDB reads the rows of a table in their order, which is its default."""
        return bool(
            self._raw.execute(
                "SELECT current_setting('preserve_insertion_order')"
            ).fetchall()[0][0]
        )

    def is_macro(self, name: str) -> bool:
        """Return True if a name is a macro of the user."""
        return not _is_ours(name) and name in self._load_macros()

    def hides_calls(self, query: Tree) -> bool:
        """Return True if a planned query reads a view or macro whose calls are not in it."""
        defined = {name for name, _ in find_all_ctes(query)}
        functions = {
            str(node["function_name"]).lower()
            for node in nodes(query)
            if node.get("class") == "FUNCTION"
        }
        return any(
            map(self.definitions.has, (read_tables(query) - defined) | functions)
        )

    def macro_queries(self, name: str) -> list[Tree | None]:
        """Return the definitions of a macro of the user; None for one that is not known."""
        if _is_ours(name):
            return []
        return [_tree(text) for text in self._load_macros().get(name, ())]

    def columns(self, query: Tree) -> set[str]:
        """Return the names of a query's columns, in lower case. Raises DuckDB's error if it cannot be bound."""
        sql = f"DESCRIBE {print_query(query)}"
        rows = run_with(self.variables, self._raw.execute, sql).fetchall()
        return {str(row[0]).lower() for row in rows}

    def is_view(self, name: str) -> bool:
        """Return True if a view has this name, in any schema."""
        return name in self._all_views()

    def has_table(self, name: str) -> bool:
        """Return True if a table or view has this name, in any schema."""
        return name in self._all_views() or self._is_table(name)

    def _is_table(self, name: str) -> bool:
        sql = "SELECT 1 FROM duckdb_tables() WHERE lower(table_name) = ?"
        return bool(self._raw.execute(sql, [name]).fetchall())

    # --- names -> texts ----------------------------------------------------------------------------------------------

    def _texts(self, query: Tree, seen: set[str]) -> list[str] | None:
        """Return the texts of the views and macros that a query names and that were not seen yet."""
        defined = {name for name, _ in find_all_ctes(query)}
        texts: list[str] = []
        for node in nodes(query):
            if node["type"] == "BASE_TABLE":
                name = node["table_name"].lower()
                if name in defined or f"table {name}" in seen:
                    continue
                seen.add(f"table {name}")
                text = self._of_table(node["table_name"])
                if text is None:
                    return None
                texts += text
            elif node.get("class") == "FUNCTION" and not node["is_operator"]:
                name = str(node["function_name"]).lower()
                if f"function {name}" not in seen:
                    seen.add(f"function {name}")
                    texts += self._of_function(name)
        return texts

    def _of_table(self, name: str) -> list[str] | None:
        """Return the text of a view, nothing for what can be read twice, None for what cannot, or is not known."""
        view = self._all_views().get(name.lower())
        if view is not None:
            if PYTHON in view:
                return [] if name.lower() in self._readable_again else None
            return [view]
        return (
            [] if self._is_table(name.lower()) or self._can_read_again(name) else None
        )

    def _can_read_again(self, name: str) -> bool:
        """Return True if a Python variable, or a file, can be read again."""
        if name not in self.variables:
            return is_file(name)
        value = self.variables[name]
        return id(value) in self._results or can_read_again(value)

    def _of_function(self, name: str) -> list[str]:
        return [] if _is_ours(name) else self._load_macros().get(name, [])

    def _all_views(self) -> dict[str, str]:
        if self._views is None:
            rows = self._raw.execute(
                "SELECT view_name, sql FROM duckdb_views() WHERE NOT internal"
            ).fetchall()
            self._views = {name.lower(): text or "" for name, text in rows}
        return self._views

    def _load_macros(self) -> dict[str, list[str]]:
        if self._macros is None:
            self._macros = {}
            rows = self._raw.execute(
                "SELECT function_name, function_type, macro_definition, stability, internal FROM duckdb_functions()"
            ).fetchall()
            for name, kind, text, stability, internal in rows:
                if (
                    internal and name.lower() in built_in_functions()
                ):  # a Python function counts as internal too
                    continue
                if kind in {"macro", "table_macro"} and text:
                    self._macros.setdefault(name.lower(), []).append(
                        text if kind == "table_macro" else f"SELECT {text}"
                    )
                elif stability == "VOLATILE":
                    self._side_effects.add(name.lower())
                else:
                    self._scalars.add(name.lower())
        return self._macros


def _is_ours(name: str) -> bool:
    """Return True for an AI function, and for a macro of Databricks SQL: it reads no table and has no side effect."""
    return base_name(name) in registry.functions() or name.startswith(PREFIX)


def can_read_again(value: Any) -> bool:
    """Return True if DuckDB can read a Python object more than once, with the same result."""
    kind = type(value)
    if isinstance(value, dict | list):
        return True
    if kind.__module__.startswith("pyarrow"):
        return kind.__name__ in _ARROW
    return f"{kind.__module__}.".startswith(_FRAMES)


def is_file(name: str) -> bool:
    """Return True if a name is a path, or a pattern of paths, of files that can be read again."""
    if not any(mark in name for mark in "./\\*"):
        return False
    try:
        mode = Path(name).stat().st_mode
    except OSError:
        return not name.startswith("/dev/")
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode)


@functools.lru_cache(maxsize=256)
def _tree(text: str) -> Tree | None:
    """Return the query of a view or macro from its text in the catalog."""
    query = parse(text)
    if query is not None:
        return query
    return find_view_query(text)
