"""DESCRIBE: the columns of a table, a view or a query, with Spark's names of the types."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from aiquery.sql.databricks.source import parse, parse_expression
from aiquery.sql.databricks.statements.show import quote_parts, read_name

if TYPE_CHECKING:
    from aiquery.sql.databricks.source import Source

_COLUMNS = """
SELECT column_name AS col_name, databricks__type_name(column_type) AS data_type,
  (SELECT any_value(c.comment) FROM duckdb_columns() AS c
   WHERE c.column_name = d.column_name AND c.table_name = {table} AND c.schema_name = {schema}) AS comment
FROM (DESCRIBE {name}) AS d"""
_DETAILS = """
UNION ALL BY NAME
SELECT unnest(['', '# Detailed Table Information', 'Catalog', 'Database', 'Table', 'Type', 'Provider', 'Comment'])
    AS col_name,
  unnest(['', '', database_name, schema_name, name, kind, 'duckdb', coalesce(comment, '')]) AS data_type,
  '' AS comment
FROM (
  SELECT database_name, schema_name, table_name AS name, 'MANAGED' AS kind, comment FROM duckdb_tables()
  UNION ALL SELECT database_name, schema_name, view_name, 'VIEW', comment FROM duckdb_views()
)
WHERE name = {table} AND schema_name = {schema}"""
_QUERY = """
SELECT column_name AS col_name, databricks__type_name(column_type) AS data_type, NULL::VARCHAR AS comment
FROM (DESCRIBE {query})"""
_SCHEMA = """
SELECT unnest(['Catalog Name', 'Namespace Name']) AS info_name, unnest([database_name, schema_name]) AS info_value
FROM duckdb_schemas() WHERE database_name = current_database() AND schema_name = {schema}"""

_OPTIONS = {"EXTENDED", "FORMATTED"}


def read_describe(source: Source) -> str | exp.Describe:
    """Return the statement of DuckDB that answers a DESCRIBE, or the tree of one of a query."""
    rest = source.after(1)
    words = rest.words
    if words[:1] in {("SCHEMA",), ("DATABASE",)}:
        schema = parse_expression(rest.after(1)).name
        return _SCHEMA.format(schema=exp.Literal.string(schema).sql("duckdb"))
    if words[:1] == ("TABLE",):
        rest = rest.after(1)
    if words[:1] == ("QUERY",):
        return exp.Describe(this=parse(rest.after(1)))
    if rest.words[:1] in {("SELECT",), ("WITH",), ("FROM",), ("VALUES",), ("TABLE",)}:
        return exp.Describe(this=parse(rest))
    is_extended = rest.word(0) in _OPTIONS
    parts = read_name(rest.after(1) if is_extended else rest)
    return _describe_table(parts, is_extended=is_extended)


def _describe_table(parts: list[str], *, is_extended: bool) -> str:
    schema = "current_schema()"
    if len(parts) > 1:
        schema = exp.Literal.string(parts[-2]).sql("duckdb")
    table = exp.Literal.string(parts[-1]).sql("duckdb")
    text = _COLUMNS + (_DETAILS if is_extended else "")
    return text.format(name=quote_parts(parts), table=table, schema=schema)


def describe_query(query: str) -> str:
    """Return the statement of DuckDB that describes the columns of one of its queries."""
    return _QUERY.format(query=query)
