"""Statements that write a Delta table: DuckDB evaluates what they ask, ``deltalake`` commits it as one version."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sqlglot import exp

from aiquery.engines.duckdb.delta.merge import Merged, as_merge, merged
from aiquery.engines.duckdb.delta.read import open_table
from aiquery.errors import StatementError
from aiquery.sql.delta_paths import SCHEMA

if TYPE_CHECKING:
    import pyarrow as pa


def written(tree: exp.Expr) -> Written | Merged | None:
    """Return what a statement writes to a path, if it does. Raises ``StatementError`` for what is not done here."""
    if not isinstance(
        tree, exp.Create | exp.Insert | exp.Update | exp.Merge | exp.Delete
    ):
        return None
    target = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
    if not isinstance(target, exp.Table) or target.db.lower() != SCHEMA:
        return None
    if isinstance(tree, exp.Merge):
        return merged(tree)
    if isinstance(tree, exp.Update | exp.Delete):
        return merged(as_merge(tree))
    query = tree.args.get("expression")
    if not isinstance(query, exp.Query | exp.Values):
        raise StatementError(
            f"{SCHEMA}.`{target.name}` is made and added to from a query: .. AS SELECT .."
        )
    if isinstance(tree, exp.Create):
        return Written(target.name, _mode_of(tree), query)
    named = (
        [column.name for column in tree.this.expressions]
        if isinstance(tree.this, exp.Schema)
        else []
    )
    return Written(
        target.name,
        "overwrite" if tree.args.get("overwrite") else "append",
        query,
        named,
    )


@dataclass(frozen=True, slots=True)
class Written:
    """A table that a statement makes or adds to from the rows of ``query``."""

    path: str
    mode: Literal["error", "ignore", "overwrite", "append"]
    query: exp.Expr
    columns: list[str] | None = None
    """Of an INSERT: those it names, which may be none."""

    def commit(self, rows: pa.Table) -> None:
        """Commit rows as one version; those of an INSERT go by position, or to the columns that it names."""
        import deltalake

        replaces = self.mode == "overwrite" and self.columns is None
        schema: Any = (
            "overwrite" if replaces else "merge" if self.columns else None
        )  # merge: the others are NULL
        deltalake.write_deltalake(
            self.path, self._named(rows), mode=self.mode, schema_mode=schema
        )

    def _named(self, rows: pa.Table) -> pa.Table:
        if self.columns is None:
            return rows
        columns = self.columns or [
            field.name for field in open_table(self.path).schema().fields
        ]
        if len(columns) != rows.num_columns:
            raise StatementError(
                f"INSERT INTO {SCHEMA}.`{self.path}` takes {len(columns)} columns, the query has {rows.num_columns}."
            )
        return rows.rename_columns(columns)


def _mode_of(tree: exp.Create) -> Literal["error", "ignore", "overwrite"]:
    if tree.args.get("exists"):
        return "ignore"
    return "overwrite" if tree.args.get("replace") else "error"
