"""The tables that ``aiquery update`` writes: DuckDB, Delta, Postgres and Spark."""
