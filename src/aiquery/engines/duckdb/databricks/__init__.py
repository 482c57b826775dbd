"""Databricks SQL on a DuckDB connection: what a statement needs beyond its translation."""
