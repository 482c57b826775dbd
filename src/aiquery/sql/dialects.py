"""sqlglot's dialects, in which our functions are any function.

sqlglot knows functions of another vendor that have the same names and other arguments (AI_CLASSIFY, AI_AGG, ..).
"""

from __future__ import annotations

from typing import Any

from sqlglot.dialects import Databricks, DuckDB


def _without_ai(functions: dict[str, Any]) -> dict[str, Any]:
    return {
        name: build for name, build in functions.items() if not name.startswith("AI_")
    }


class DuckDBSQL(DuckDB):
    """What DuckDB understands."""

    class Parser(DuckDB.Parser):
        """DuckDB's, without another vendor's AI functions."""

        FUNCTIONS = _without_ai(DuckDB.Parser.FUNCTIONS)


class DatabricksSQL(Databricks):
    """What Databricks understands."""

    class Parser(Databricks.Parser):
        """Databricks', without another vendor's AI functions."""

        FUNCTIONS = _without_ai(Databricks.Parser.FUNCTIONS)
