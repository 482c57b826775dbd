"""Names of Delta tables by path in SQL: FROM delta.`/data/tickets`."""

from __future__ import annotations

from sqlglot import exp

SCHEMA = "delta"
"""What a path follows in SQL: FROM delta.`/data/tickets`."""


def view_of(path: str) -> str:
    """Return the name under which DuckDB knows the table while a statement runs."""
    return f"{SCHEMA}.{path}"


def as_view(node: exp.Table) -> exp.Table:
    """Return a table of a path as the view that stands for it, any other table as it is."""
    if node.db.lower() != SCHEMA:
        return node
    view = exp.to_table(
        exp.to_identifier(view_of(node.name), quoted=True).sql("duckdb"),
        dialect="duckdb",
    )
    view.set("alias", node.args.get("alias"))
    return view


def find_paths(tree: exp.Expr) -> tuple[str, ...]:
    """Return the paths of the views in a statement."""
    names = {table.name for table in tree.find_all(exp.Table)}
    return tuple(
        sorted(
            name.removeprefix(f"{SCHEMA}.")
            for name in names
            if name.startswith(f"{SCHEMA}.")
        )
    )
