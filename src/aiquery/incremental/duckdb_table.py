"""A table of a DuckDB database."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import duckdb
from sqlglot import exp

from aiquery.engines.duckdb.dialects import DuckDBSQL
from aiquery.incremental.assignments import RECORDED
from aiquery.incremental.duckdb_rows import DuckDBRows
from aiquery.incremental.need import SOURCE

if TYPE_CHECKING:
    import pyarrow as pa

    from aiquery.engines.duckdb.connect import Connection
    from aiquery.incremental.assignments import Assignments
    from aiquery.incremental.need import Need

ATTEMPTS = 8
"""How often a commit is tried that another one got in the way of."""

WAIT_S = 0.05


class TableRows(DuckDBRows):
    """See ``slices.Rows``."""

    def __init__(self, con: Connection, target: str, assignments: Assignments, need: Need) -> None:
        """Add the column for ``refresh``, and make the table for ``source`` if there is none."""
        name = SOURCE if need.source else exp.to_table(target, dialect=DuckDBSQL).name
        super().__init__(con, target, f'"{name}"', assignments, need)
        self._target = target
        self._writer = con.cursor()
        if need.source:
            self._create()
        if need.refresh:
            self._writer.raw.execute(f"ALTER TABLE {target} ADD COLUMN IF NOT EXISTS {RECORDED} VARCHAR")

    def commit(self, answers: pa.Table) -> None:
        """See ``Rows``. Another's commit in between is not lost: ours is tried again, and asks nothing."""
        raw = self._writer.raw
        raw.register("aiquery_answers", answers)
        for attempt in range(ATTEMPTS):
            try:
                raw.execute(self._merge(answers.column_names))
            except duckdb.TransactionException:
                if attempt == ATTEMPTS - 1:
                    raise
                time.sleep(WAIT_S * 2**attempt)
            else:
                break
        raw.unregister("aiquery_answers")

    def close(self) -> None:
        """See ``DuckDBRows``."""
        self._writer.close()
        super().close()

    def _merge(self, columns: list[str]) -> str:
        q = self.assignments.quoted
        same = " AND ".join(f"t.{q(key)} = a.{q(key)}" for key in self.need.keys)
        written = [q(name) for name in columns if name not in self.need.keys]
        update = ", ".join(f"{name} = coalesce(a.{name}, t.{name})" for name in written)
        names = ", ".join(map(q, columns))
        values = ", ".join(f"a.{q(name)}" for name in columns)
        insert = f"WHEN NOT MATCHED THEN INSERT ({names}) VALUES ({values})" if self.need.source else ""
        return (
            f"MERGE INTO {self._target} AS t USING aiquery_answers AS a ON {same} "
            f"WHEN MATCHED THEN UPDATE SET {update} {insert}"
        )

    def _create(self) -> None:
        keys = ", ".join(map(self.assignments.quoted, self.need.keys))
        self._writer.sql(
            f"CREATE TABLE IF NOT EXISTS {self._target} AS "
            f"SELECT {keys}, {self.assignments.selected()} FROM {self.need.source} AS {SOURCE} LIMIT 0"
        )
