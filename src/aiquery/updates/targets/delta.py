"""A Delta table: DuckDB reads it, ``deltalake`` commits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiquery.engines.duckdb.delta.merge import ATTEMPTS
from aiquery.engines.duckdb.delta.read import open_table, to_dataset
from aiquery.engines.write_conflicts import retry_on_conflict
from aiquery.updates.assignments import RECORDED
from aiquery.updates.pending_rows import SOURCE
from aiquery.updates.targets.base import BaseTarget

if TYPE_CHECKING:
    import pyarrow as pa

    from aiquery.engines.duckdb.connection import Connection
    from aiquery.updates.assignments import Assignments
    from aiquery.updates.pending_rows import PendingRows


class DeltaTarget(BaseTarget):
    """See ``slices.UpdateTarget``."""

    def __init__(
        self, con: Connection, path: str, assignments: Assignments, need: PendingRows
    ) -> None:
        """Add the column for ``refresh``; the table must exist."""
        self._table = open_table(path)
        if need.refresh and RECORDED not in self._columns():
            import deltalake

            self._table.alter.add_columns(
                deltalake.Field(RECORDED, deltalake.schema.PrimitiveType("string"))
            )
        name = SOURCE if need.source else Path(path).name
        super().__init__(con, "aiquery_delta", f'"{name}"', assignments, need)
        self._reader.raw.register("aiquery_delta", to_dataset(self._table))

    def commit(self, answers: pa.Table) -> dict[str, int]:
        """See ``UpdateTarget``. Another's commit in between is not lost: ours is tried again, and asks nothing."""
        from deltalake.exceptions import CommitFailedError

        retry_on_conflict(
            lambda: self._merge(answers),
            CommitFailedError,
            ATTEMPTS,
            self._table.update_incremental,
        )
        return {}

    def left(self) -> int:
        """See ``BaseTarget``."""
        self._table.update_incremental()
        self.con.raw.register("aiquery_delta", to_dataset(self._table))
        return super().left()

    def _columns(self) -> list[str]:
        return [field.name for field in self._table.schema().fields]

    def _merge(self, answers: pa.Table) -> None:
        same = " AND ".join(f't."{key}" = a."{key}"' for key in self.need.keys)
        written = [name for name in answers.column_names if name not in self.need.keys]
        merge: Any = self._table.merge(
            answers, same, source_alias="a", target_alias="t"
        )
        merge = merge.when_matched_update(
            {f'"{name}"': f'a."{name}"' for name in written}
        )
        if self.need.source:
            merge = merge.when_not_matched_insert(
                {f'"{name}"': f'a."{name}"' for name in answers.column_names}
            )
        merge.execute()
