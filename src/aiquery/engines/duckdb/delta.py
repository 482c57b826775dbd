"""Delta tables for DuckDB, through the library ``deltalake``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sqlglot import exp

from aiquery.errors import ConfigError, StatementError

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable

SCHEMA = "delta"
"""What a path follows in SQL: FROM delta.`/data/tickets`."""


@dataclass(frozen=True, slots=True)
class Written:
    """A table that a statement makes or adds to from the rows of ``query``."""

    path: str
    mode: Literal["error", "ignore", "overwrite", "append"]
    query: exp.Expr


def view_of(path: str) -> str:
    """Return the name under which DuckDB knows the table while a statement runs."""
    return f"{SCHEMA}.{path}"


def as_view(node: exp.Table) -> exp.Table:
    """Return a table of a path as the view that stands for it, any other table as it is."""
    if node.db.lower() != SCHEMA:
        return node
    view = exp.to_table(exp.to_identifier(view_of(node.name), quoted=True).sql("duckdb"), dialect="duckdb")
    view.set("alias", node.args.get("alias"))
    return view


def paths_read(tree: exp.Expr) -> tuple[str, ...]:
    """Return the paths of the views in a statement."""
    names = {table.name for table in tree.find_all(exp.Table)}
    return tuple(sorted(name.removeprefix(f"{SCHEMA}.") for name in names if name.startswith(f"{SCHEMA}.")))


def written(tree: exp.Expr) -> Written | None:
    """Return what a statement writes to a path, if it does. Raises ``StatementError`` for what is not done here."""
    if not isinstance(tree, exp.Create | exp.Insert | exp.Update | exp.Merge | exp.Delete):
        return None
    target = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
    if not isinstance(target, exp.Table) or target.db.lower() != SCHEMA:
        return None
    query = tree.args.get("expression")
    if not isinstance(tree, exp.Create | exp.Insert) or not isinstance(query, exp.Query):
        raise StatementError(
            f"on DuckDB, {SCHEMA}.`{target.name}` can be made and added to from a query; to change rows of it use "
            f"aiquery update {SCHEMA}:{target.name}"
        )
    if isinstance(tree, exp.Insert):
        return Written(target.name, "overwrite" if tree.args.get("overwrite") else "append", query)
    if tree.args.get("exists"):
        return Written(target.name, "ignore", query)
    return Written(target.name, "overwrite" if tree.args.get("replace") else "error", query)


def write(path: str, mode: Literal["error", "ignore", "overwrite", "append"], rows: pa.Table) -> None:
    """Commit rows as one version."""
    import deltalake

    deltalake.write_deltalake(path, rows, mode=mode, schema_mode="overwrite" if mode == "overwrite" else None)


def open_table(path: str) -> DeltaTable:
    """Open the newest version of a table. Raises ``ConfigError`` where there is none, or the extra is missing."""
    try:
        from deltalake import DeltaTable
        from deltalake.exceptions import TableNotFoundError
    except ImportError:
        raise ConfigError("Delta tables need the extra 'delta': pip install 'aiquery[delta]'.") from None
    try:
        return DeltaTable(path)
    except TableNotFoundError as error:
        raise ConfigError(f"{path!r} is no Delta table: {error}") from None


def readable(table: DeltaTable) -> Any:  # noqa: ANN401  a pyarrow dataset
    """Return what DuckDB scans. Raises ``ConfigError`` for features that would be read wrong."""
    from deltalake.exceptions import DeltaProtocolError

    try:
        return table.to_pyarrow_dataset()
    except DeltaProtocolError as error:
        raise ConfigError(f"the Delta table {table.table_uri!r} cannot be read here: {error}") from None
