"""The rows that need an answer, as SQL for every engine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from aiquery.updates.assignments import RECORDED

if TYPE_CHECKING:
    from aiquery.config.settings import Config
    from aiquery.updates.assignments import Assignments

SOURCE = "source"
"""The name of the rows of ``source`` in the expressions and in ``where``."""


@dataclass(kw_only=True, frozen=True, slots=True)
class PendingRows:
    """The arguments of ``aiquery.update`` that select rows."""

    keys: list[str]
    where: str | None
    source: str | None
    refresh_changed: bool = False

    def with_condition(self, where: str) -> PendingRows:
        """Return a copy with another ``where``."""
        return replace(self, where=where)

    def from_sql(
        self, target: str, name: str, assignments: Assignments, config: Config
    ) -> str:
        """Return ``FROM .. WHERE ..`` for the rows that need an answer, read under ``name``."""
        quote = assignments.quote
        conditions = [f"{name}.{quote(key)} IS NOT NULL" for key in self.keys]
        made_from = (
            assignments.made_from(config, name) if self.refresh_changed else None
        )
        if self.source is None:
            conditions += self._needed(made_from, f"{name}.{RECORDED}")
            return f"FROM {target} AS {name} WHERE {' AND '.join(conditions)}"
        matches = [
            f"{name}.{quote(key)} = aiquery_target.{quote(key)}" for key in self.keys
        ]
        if made_from is not None:
            matches.append(f"aiquery_target.{RECORDED} = {made_from}")
        if self.where:
            conditions.append(f"({self.where})")
        answered = (
            f"SELECT 1 FROM {target} AS aiquery_target WHERE {' AND '.join(matches)}"
        )
        conditions.append(f"NOT EXISTS ({answered})")
        return f"FROM {self.source} AS {name} WHERE {' AND '.join(conditions)}"

    def _needed(self, made_from: str | None, recorded: str) -> list[str]:
        if made_from is None:
            return [f"({self.where})"] if self.where else []
        if self.where is None:
            return [f"({recorded} IS NULL OR {recorded} <> {made_from})"]
        return [f"(({self.where}) OR {recorded} <> {made_from})"]
