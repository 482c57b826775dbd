"""SHOW: the names of tables, views, schemas, catalogs and columns, with Spark's names of the result's columns."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sqlglot import exp

from aiquery.errors import StatementError
from aiquery.sql.databricks.source import find_word, parse_expression

if TYPE_CHECKING:
    from aiquery.sql.databricks.source import Source

_HERE = "database_name = {catalog} AND schema_name = {schema}"
_TABLES = """
SELECT CASE WHEN temporary THEN '' ELSE schema_name END AS namespace, table_name AS "tableName",
  temporary AS "isTemporary"
FROM (
  SELECT database_name, schema_name, table_name, temporary FROM duckdb_tables()
  WHERE NOT internal AND table_name <> 'aiquery_loaded_files'
  UNION ALL SELECT database_name, schema_name, view_name, temporary FROM duckdb_views() WHERE NOT internal
)
WHERE (temporary OR {here}) AND {matches} ORDER BY ALL"""
_VIEWS = """
SELECT CASE WHEN temporary THEN '' ELSE schema_name END AS namespace, view_name AS "viewName",
  temporary AS "isTemporary"
FROM duckdb_views() WHERE NOT internal AND (temporary OR {here}) AND {matches} ORDER BY ALL"""
_SCHEMAS = """
SELECT schema_name AS namespace FROM duckdb_schemas()
WHERE database_name = {catalog} AND schema_name NOT IN ('information_schema', 'pg_catalog') AND {matches}
ORDER BY ALL"""
_CATALOGS = """
SELECT database_name AS catalog FROM duckdb_databases() WHERE NOT internal AND {matches} ORDER BY ALL"""
_CURRENT = "SELECT current_database() AS catalog, current_schema() AS namespace"

_NAMES = {
    "TABLES": (_TABLES, "table_name"),
    "VIEWS": (_VIEWS, "view_name"),
    "SCHEMAS": (_SCHEMAS, "schema_name"),
    "DATABASES": (_SCHEMAS, "schema_name"),
    "CATALOGS": (_CATALOGS, "database_name"),
}


def read_show(source: Source) -> str:
    """Return the statement of DuckDB that answers a SHOW. Raises ``StatementError`` for one that is not known."""
    kind = source.words[1] if len(source.words) > 1 else ""
    if kind == "COLUMNS":
        return _show_columns(source.after(2))
    if source.words[1:3] == ("CURRENT", "NAMESPACE"):
        return _CURRENT
    if kind not in _NAMES:
        raise StatementError(f"SHOW {kind} is not supported on DuckDB.")
    rest = source.after(2)
    query, column = _NAMES[kind]
    catalog, schema = "current_database()", "current_schema()"
    if rest.words[:1] in {("IN",), ("FROM",)}:
        end = find_word(rest, "LIKE")
        parts = read_name(rest.between(1, end))
        rest = rest.after(end)
        name = exp.Literal.string(parts[-1]).sql("duckdb")
        if kind in {"SCHEMAS", "DATABASES"}:
            catalog = name
        else:
            schema = name
            catalog = _catalog_of(parts) or catalog
    here = _HERE.format(catalog=catalog, schema=schema)
    return query.format(catalog=catalog, here=here, matches=_matches(rest, column))


def _catalog_of(parts: list[str]) -> str:
    return exp.Literal.string(parts[-2]).sql("duckdb") if len(parts) > 1 else ""


def _show_columns(source: Source) -> str:
    if source.words[:1] not in {("IN",), ("FROM",)}:
        raise StatementError("SHOW COLUMNS: write SHOW COLUMNS IN table.")
    rest = source.after(1)
    end = find_word(rest, "IN", "FROM")
    parts = read_name(rest.between(0, end))
    if end < len(rest.tokens):
        parts = [*read_name(rest.after(end + 1)), parts[-1]]
    name = quote_parts(parts)
    return f"SELECT column_name AS col_name FROM (DESCRIBE {name})"


def quote_parts(parts: list[str]) -> str:
    """Return a name of several parts as DuckDB writes it."""
    return ".".join(
        exp.to_identifier(part, quoted=True).sql("duckdb") for part in parts
    )


def read_name(source: Source) -> list[str]:
    """Return the parts of a name. Raises ``StatementError`` for another expression."""
    tree = parse_expression(source)
    if not isinstance(tree, exp.Column):
        raise StatementError(f"{source.text} is not a name.")
    return [part.name for part in tree.parts]


def _matches(source: Source, column: str) -> str:
    """Return the condition of ``[LIKE] 'a*|b*'``: ``*`` is any text, ``|`` is or, and case does not matter."""
    tokens = source.after(1) if source.begins_with("LIKE") else source
    if not tokens.tokens:
        return "true"
    choices = tokens.tokens[0].text.split("|")
    pattern = "|".join(
        ".*".join(re.escape(part) for part in choice.strip().split("*"))
        for choice in choices
    )
    text = exp.Literal.string(f"(?i){pattern}").sql("duckdb")
    return f"regexp_full_match({column}, {text})"
