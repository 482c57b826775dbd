"""DuckDB's dialect of sqlglot without the functions of another vendor that share our names.

Those functions (AI_CLASSIFY, AI_AGG, ..) have other arguments; ours parse as any function.
"""

from __future__ import annotations

from typing import Any

from sqlglot.dialects import DuckDB


def without_ai(functions: dict[str, Any]) -> dict[str, Any]:
    """Return a dialect's functions without another vendor's AI functions."""
    names = [name for name in functions if not name.startswith("AI_")]
    return {name: functions[name] for name in names}


class DuckDBSQL(DuckDB):
    """DuckDB's dialect, without another vendor's AI functions."""

    class Parser(DuckDB.Parser):
        """DuckDB's parser."""

        FUNCTIONS = without_ai(DuckDB.Parser.FUNCTIONS)
