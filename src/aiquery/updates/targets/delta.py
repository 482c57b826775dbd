"""A Delta table: DuckDB reads it, ``deltalake`` writes it."""

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

VIEW = "aiquery_delta"


class DeltaTarget(BaseTarget):
    """Reads and writes one table by path."""

    def __init__(
        self, con: Connection, path: str, assignments: Assignments, pending: PendingRows
    ) -> None:
        """Add the column for ``refresh_changed``; the table must exist. Raises ``ConfigError``."""
        self._table = open_table(path)
        columns = [field.name for field in self._table.schema().fields]
        if pending.refresh_changed and RECORDED not in columns:
            self._add_recorded_column()
        name = SOURCE if pending.source else Path(path).name
        super().__init__(con, VIEW, f'"{name}"', assignments, pending)
        self._reader.raw.register(VIEW, to_dataset(self._table))

    def _add_recorded_column(self) -> None:
        import deltalake

        text = deltalake.schema.PrimitiveType("string")
        self._table.alter.add_columns(deltalake.Field(RECORDED, text))

    def commit(self, answers: pa.Table) -> dict[str, int]:
        """Write answers as one version. After a write conflict it is merged again, without new requests."""
        from deltalake.exceptions import CommitFailedError

        retry_on_conflict(
            lambda: self._merge(answers),
            CommitFailedError,
            ATTEMPTS,
            self._table.update_incremental,
        )
        return {}

    def count_left(self) -> int:
        """Count the rows of the newest version that still need an answer."""
        self._table.update_incremental()
        self.con.raw.register(VIEW, to_dataset(self._table))
        return super().count_left()

    def _merge(self, answers: pa.Table) -> None:
        keys = self._pending.keys
        condition = " AND ".join(f't."{key}" = a."{key}"' for key in keys)
        merge: Any = self._table.merge(
            answers, condition, source_alias="a", target_alias="t"
        )
        values = {f'"{name}"': f'a."{name}"' for name in answers.column_names}
        changes = {
            f'"{name}"': f'a."{name}"'
            for name in answers.column_names
            if name not in keys
        }
        merge = merge.when_matched_update(changes)
        if self._pending.source:
            merge = merge.when_not_matched_insert(values)
        merge.execute()
