"""The dialects of SQL that a connection takes, and how each is parsed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from aiquery.engines.duckdb.databricks.parse import parse_databricks_statements
from aiquery.engines.duckdb.statements import parse_statements, too_deep
from aiquery.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiquery.engines.duckdb.statements import ParsedStatement

Dialect = Literal["duckdb", "databricks"]


def parse_text(
    text: str, dialect: Dialect, *, may_ask: bool, declared: Iterable[str]
) -> list[ParsedStatement]:
    """Return the statements of a text.

    may_ask   it may call AI functions, directly or through views and macros
    declared  the session variables of Databricks SQL

    Raises ``ArgumentError`` for an unknown dialect, and ``StatementError`` with the position of an error.
    """
    with too_deep():
        match dialect:
            case "duckdb":
                return list(parse_statements(text, may_ask=may_ask))
            case "databricks":
                return parse_databricks_statements(
                    text, may_ask=may_ask, declared=declared
                )
    raise ArgumentError(
        f"dialect {dialect!r} is not known; use 'duckdb' or 'databricks'."
    )
