"""A table of a DuckDB database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb
from sqlglot import exp

from aiquery.engines.write_conflicts import retry_on_conflict
from aiquery.sql.dialects import DuckDBSQL
from aiquery.updates.assignments import RECORDED
from aiquery.updates.merge import merge_sql
from aiquery.updates.pending_rows import SOURCE
from aiquery.updates.targets.base import BaseTarget

if TYPE_CHECKING:
    import pyarrow as pa

    from aiquery.engines.duckdb.connection import Connection
    from aiquery.updates.assignments import Assignments
    from aiquery.updates.pending_rows import PendingRows

ATTEMPTS = 8
"""How often a commit is attempted while other writers commit."""

ANSWERS = "aiquery_answers"


class DuckDBTarget(BaseTarget):
    """Reads and writes one table."""

    def __init__(
        self,
        con: Connection,
        target: str,
        assignments: Assignments,
        pending: PendingRows,
    ) -> None:
        """Create the table for ``source`` if there is none, and add the column for ``refresh_changed``."""
        name = (
            SOURCE if pending.source else exp.to_table(target, dialect=DuckDBSQL).name
        )
        super().__init__(con, target, f'"{name}"', assignments, pending)
        self._target = target
        self._writer = con.cursor()
        if pending.source:
            self._create()
        if pending.refresh_changed:
            self._writer.raw.execute(
                f"ALTER TABLE {target} ADD COLUMN IF NOT EXISTS {RECORDED} VARCHAR"
            )

    def commit(self, answers: pa.Table) -> dict[str, int]:
        """Write answers. After a write conflict the merge is attempted again, without new requests."""
        raw = self._writer.raw
        raw.register(ANSWERS, answers)
        columns = answers.column_names
        merge = merge_sql(
            self._target, ANSWERS, columns, self.assignments, self._pending
        )
        self._writer.create_macros(merge)
        retry_on_conflict(
            lambda: raw.execute(merge), duckdb.TransactionException, ATTEMPTS
        )
        raw.unregister(ANSWERS)
        return {}

    def close(self) -> None:
        """Close every cursor."""
        self._writer.close()
        super().close()

    def _create(self) -> None:
        keys = ", ".join(map(self.assignments.quote, self._pending.keys))
        self._writer.sql(
            f"CREATE TABLE IF NOT EXISTS {self._target} AS "
            f"SELECT {keys}, {self.assignments.select_list()} "
            f"FROM {self._pending.source} AS {SOURCE} LIMIT 0"
        )
