"""Databricks SQL on DuckDB: what sqlglot does not translate, one file per area."""
