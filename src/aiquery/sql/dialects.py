"""sqlglot's dialects without the functions of another vendor that share our names.

Those functions (AI_CLASSIFY, AI_AGG, ..) have other arguments; ours parse as any function.
"""

from __future__ import annotations

from typing import Any

from sqlglot.dialects import Databricks, DuckDB


def _without_ai(functions: dict[str, Any]) -> dict[str, Any]:
    names = [name for name in functions if not name.startswith("AI_")]
    return {name: functions[name] for name in names}


class DuckDBSQL(DuckDB):
    """DuckDB's dialect, without another vendor's AI functions."""

    class Parser(DuckDB.Parser):
        """DuckDB's parser."""

        FUNCTIONS = _without_ai(DuckDB.Parser.FUNCTIONS)


class DatabricksSQL(Databricks):
    """Databricks' dialect, without another vendor's AI functions."""

    class Parser(Databricks.Parser):
        """Databricks' parser."""

        FUNCTIONS = _without_ai(Databricks.Parser.FUNCTIONS)
