"""A table of a DuckDB database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

import duckdb
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
"""How often a commit is tried that another one got in the way of."""

ANSWERS = "aiquery_answers"


class DuckDBTarget(BaseTarget):
    """See ``slices.UpdateTarget``."""

    def __init__(
        self, con: Connection, target: str, assignments: Assignments, need: PendingRows
    ) -> None:
        """Add the column for ``refresh``, and make the table for ``source`` if there is none."""
        name = SOURCE if need.source else exp.to_table(target, dialect=DuckDBSQL).name
        super().__init__(con, target, f'"{name}"', assignments, need)
        self._target = target
        self._writer = con.cursor()
        if need.source:
            self._create()
        if need.refresh:
            self._writer.raw.execute(
                f"ALTER TABLE {target} ADD COLUMN IF NOT EXISTS {RECORDED} VARCHAR"
            )

    def commit(self, answers: pa.Table) -> dict[str, int]:
        """See ``UpdateTarget``. Another's commit in between is not lost: ours is tried again, and asks nothing."""
        raw = self._writer.raw
        raw.register(ANSWERS, answers)
        merge = merge_sql(
            self._target, ANSWERS, answers.column_names, self.assignments, self.need
        )
        retry_on_conflict(
            lambda: raw.execute(merge), duckdb.TransactionException, ATTEMPTS
        )
        raw.unregister(ANSWERS)
        return {}

    def close(self) -> None:
        """See ``BaseTarget``."""
        self._writer.close()
        super().close()

    def _create(self) -> None:
        keys = ", ".join(map(self.assignments.quoted, self.need.keys))
        self._writer.sql(
            f"CREATE TABLE IF NOT EXISTS {self._target} AS "
            f"SELECT {keys}, {self.assignments.values()} FROM {self.need.source} AS {SOURCE} LIMIT 0"
        )
