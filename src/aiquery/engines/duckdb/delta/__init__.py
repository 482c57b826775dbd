"""Delta tables on DuckDB: read, merge and write."""
