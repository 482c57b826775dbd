"""What an update did."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(slots=True)
class UpdateResult:
    """Figures of one update.

    updated   rows that got an answer, and were committed
    failed    rows whose request failed for good, that the budget did not allow, or whose answer the table refused; they
              are as they were
    left      rows that still need an answer
    commits   transactions (of a Delta table: versions)
    requests  attempts that were sent; on Spark 0, there the UI counts them
    cost_usd  what they cost, 0 where no price is known, and on Spark
    stopped   the limit of the budget that was reached, None if none was
    refused   what the table said of answers that it refused, and of how many
    """

    updated: int = 0
    failed: int = 0
    left: int = 0
    commits: int = 0
    requests: int = 0
    cost_usd: float = 0.0
    stopped: str | None = None
    refused: dict[str, int] = field(default_factory=dict)

    def refuse(self, said: Mapping[str, int]) -> None:
        """Count rows whose answer the table refused."""
        for message, rows in said.items():
            self.refused[message] = self.refused.get(message, 0) + rows
            self.failed += rows

    def __str__(self) -> str:
        """Return one line."""
        money = f", {self.cost_usd:.4f} USD" if self.cost_usd else ""
        end = f" Stopped: {self.stopped} is reached." if self.stopped else ""
        return (
            f"{self.updated:,} rows updated in {self.commits:,} commits, {self.failed:,} failed, {self.left:,} left; "
            f"{self.requests:,} requests{money}.{end}"
        )
