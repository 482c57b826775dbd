"""Which rows need an answer, as SQL that every engine understands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiquery.updates.assignments import RECORDED

if TYPE_CHECKING:
    from aiquery.config.settings import Config
    from aiquery.updates.assignments import Assignments

SOURCE = "source"
"""What the expressions and ``where`` may call the rows of ``source``."""


@dataclass(frozen=True, slots=True)
class PendingRows:
    """See ``aiquery.update``."""

    keys: list[str]
    where: str | None
    source: str | None
    refresh: str | None

    def rows(
        self, target: str, name: str, assignments: Assignments, config: Config
    ) -> str:
        """Return ``FROM .. WHERE ..``: the rows that need an answer, read under ``name``."""
        q = assignments.quoted
        present = [f"{name}.{q(key)} IS NOT NULL" for key in self.keys]
        made_from = assignments.made_from(config, name) if self.refresh else None
        if self.source is None:
            needed = self._needed(made_from, f"{name}.{RECORDED}")
            return f"FROM {target} AS {name} WHERE {' AND '.join([*present, *needed])}"
        same = " AND ".join(
            f"{name}.{q(key)} = aiquery_target.{q(key)}" for key in self.keys
        )
        done = (
            f"{same} AND aiquery_target.{RECORDED} = {made_from}" if made_from else same
        )
        missing = f"NOT EXISTS (SELECT 1 FROM {target} AS aiquery_target WHERE {done})"
        where = [f"({self.where})"] if self.where else []
        return f"FROM {self.source} AS {name} WHERE {' AND '.join([*present, *where, missing])}"

    def _needed(self, made_from: str | None, recorded: str) -> list[str]:
        if made_from is None:
            return [f"({self.where})"] if self.where else []
        if self.where is None:
            return [f"({recorded} IS NULL OR {recorded} <> {made_from})"]
        return [f"(({self.where}) OR {recorded} <> {made_from})"]
