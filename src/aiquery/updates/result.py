"""The result of an update."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiquery.renamed import rename_attributes

if TYPE_CHECKING:
    from collections.abc import Mapping


@rename_attributes(refused="rejected")
@dataclass(kw_only=True, slots=True)
class UpdateResult:
    """The figures of one update.

    Attributes
    ----------
    updated
        Rows that got an answer, and were committed.
    failed
        Rows whose request failed for good, that the budget did not allow, or whose answer the table rejected;
        they are unchanged.
    left
        Rows that still need an answer.
    rejected
        The table's messages about answers that it rejected, and the numbers of these.
    stopped
        The limit of the budget that was reached; None if none was.
    commits
        Transactions (for a Delta table: versions).
    requests
        Attempts that were sent; 0 on Spark, whose UI counts them.
    cost_usd
        Their cost; 0 without a price, and on Spark.
    """

    updated: int = 0
    failed: int = 0
    left: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    stopped: str | None = None
    commits: int = 0
    requests: int = 0
    cost_usd: float = 0.0

    def count_rejected(self, messages: Mapping[str, int]) -> None:
        """Count rows whose answer the table rejected, by its message."""
        for message, rows in messages.items():
            self.rejected[message] = self.rejected.get(message, 0) + rows
            self.failed += rows

    def __str__(self) -> str:
        """Return one line."""
        cost = f", {self.cost_usd:.4f} USD" if self.cost_usd else ""
        end = f" Stopped: {self.stopped} is reached." if self.stopped else ""
        return (
            f"{self.updated:,} rows updated in {self.commits:,} commits, {self.failed:,} failed, {self.left:,} left; "
            f"{self.requests:,} requests{cost}.{end}"
        )
