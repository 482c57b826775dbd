"""Names of Delta tables by path in SQL: FROM delta.`/data/tickets`."""

from __future__ import annotations

from sqlglot import exp

SCHEMA = "delta"
"""The schema of a path in SQL: FROM delta.`/data/tickets`."""


def view_of(path: str) -> str:
    """Return the name of the table's view in DuckDB while a statement runs."""
    return f"{SCHEMA}.{path}"


def as_view(node: exp.Table) -> exp.Table:
    """Replace a table by path by its view; return any other table unchanged."""
    if node.db.lower() != SCHEMA:
        return node
    view = exp.to_table(
        exp.to_identifier(view_of(node.name), quoted=True).sql("duckdb"),
        dialect="duckdb",
    )
    view.set("alias", node.args.get("alias"))
    return view


def find_paths(tree: exp.Expr) -> tuple[str, ...]:
    """Return the paths of the tables that a statement names."""
    tables = tree.find_all(exp.Table)
    return tuple(sorted({one.name for one in tables if one.db.lower() == SCHEMA}))
