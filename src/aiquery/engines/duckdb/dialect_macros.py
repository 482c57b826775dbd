"""The macros of Databricks SQL on one connection: each is created when a statement first calls it."""

from __future__ import annotations

from typing import Any

import duckdb

from aiquery.engines.duckdb.snapshot import is_in_transaction
from aiquery.sql.databricks.functions import (
    PREFIX,
    PYTHON,
    create_macro,
    find_macros,
    find_python_functions,
)
from aiquery.sql.databricks.python.registry import FUNCTIONS


class DialectMacros:
    """Macros that belong to a connection, and end with it."""

    def __init__(self, raw: duckdb.DuckDBPyConnection) -> None:
        """Create nothing."""
        self._raw = raw
        self._created: set[str] = set()

    def create_for(self, sql: str) -> None:
        """Create the macros that a text calls: a statement of Databricks SQL, or one that was made from it."""
        if PREFIX not in sql.lower():
            return
        called = find_macros(sql)
        missing = [name for name in called if name not in self._created]
        if not missing:
            return
        for name in missing:
            for function in find_python_functions(name):
                create_function(self._raw, function)
            self._raw.execute(create_macro(name))
        if not is_in_transaction(self._raw):  # a rollback would undo the macros
            self._created.update(missing)


def create_function(raw: duckdb.DuckDBPyConnection, name: str) -> None:
    """Create a Python function, which belongs to the whole database, unless a connection has created it."""
    # The lookup takes 10 ms. Without it, the error for one that exists would end a transaction of the user.
    exists = "SELECT 1 FROM duckdb_functions() WHERE function_name = ?"
    if is_in_transaction(raw) and raw.execute(exists, [f"{PYTHON}{name}"]).fetchall():
        return
    made = FUNCTIONS[name]
    types: Any = [raw.dtype(kind) for kind in made.parameters]
    returns: Any = raw.dtype(made.returns)
    try:
        raw.create_function(f"{PYTHON}{name}", made.function, types, returns)
    except duckdb.Error as error:
        if "already" not in str(error):
            raise
