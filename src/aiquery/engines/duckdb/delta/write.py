"""Statements that write a Delta table: DuckDB evaluates the rows, ``deltalake`` commits them as one version."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sqlglot import exp

from aiquery.engines.duckdb.delta.merge import DeltaMerge, make_merge, to_merge
from aiquery.engines.duckdb.delta.read import open_table
from aiquery.errors import StatementError
from aiquery.sql.delta_paths import SCHEMA

if TYPE_CHECKING:
    import pyarrow as pa

_WRITES = exp.Create | exp.Insert | exp.Update | exp.Merge | exp.Delete


def find_write(tree: exp.Expr) -> DeltaWrite | DeltaMerge | None:
    """Return the write of a statement to a Delta path; None for other statements.

    Raises ``StatementError`` for a statement that is not supported.
    """
    if not isinstance(tree, _WRITES):
        return None
    target = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
    if not isinstance(target, exp.Table) or target.db.lower() != SCHEMA:
        return None
    if isinstance(tree, exp.Merge):
        return make_merge(tree)
    if isinstance(tree, exp.Update | exp.Delete):
        return make_merge(to_merge(tree))
    query = tree.args.get("expression")
    if not isinstance(query, exp.Query | exp.Values):
        raise StatementError(
            f"{SCHEMA}.`{target.name}` is created and added to from a query: .. AS SELECT .."
        )
    if isinstance(tree, exp.Create):
        return DeltaWrite(path=target.name, mode=_create_mode(tree), query=query)
    columns = []
    if isinstance(tree.this, exp.Schema):
        columns = [column.name for column in tree.this.expressions]
    mode: Literal["overwrite", "append"] = (
        "overwrite" if tree.args.get("overwrite") else "append"
    )
    return DeltaWrite(path=target.name, mode=mode, query=query, columns=columns)


@dataclass(kw_only=True, frozen=True, slots=True)
class DeltaWrite:
    """A table that a statement creates or adds to from the rows of ``query``.

    ``columns`` are those that an INSERT names, perhaps none; None for a CREATE.
    """

    path: str
    mode: Literal["error", "ignore", "overwrite", "append"]
    query: exp.Expr
    columns: list[str] | None = None

    def commit(self, rows: pa.Table) -> None:
        """Commit rows as one version. The rows of an INSERT go by position, or to the columns that it names."""
        import deltalake

        schema_mode: Any = None
        if self.mode == "overwrite" and self.columns is None:
            schema_mode = "overwrite"
        elif self.columns:
            schema_mode = "merge"  # the other columns are NULL
        deltalake.write_deltalake(
            self.path, self._rename(rows), mode=self.mode, schema_mode=schema_mode
        )

    def _rename(self, rows: pa.Table) -> pa.Table:
        if self.columns is None:
            return rows
        columns = self.columns
        if not columns:
            columns = [field.name for field in open_table(self.path).schema().fields]
        if len(columns) != rows.num_columns:
            raise StatementError(
                f"INSERT INTO {SCHEMA}.`{self.path}` takes {len(columns)} columns, the query has {rows.num_columns}."
            )
        return rows.rename_columns(columns)


def _create_mode(tree: exp.Create) -> Literal["error", "ignore", "overwrite"]:
    if tree.args.get("exists"):
        return "ignore"
    return "overwrite" if tree.args.get("replace") else "error"
