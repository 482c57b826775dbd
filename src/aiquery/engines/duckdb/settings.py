"""Change DuckDB settings while a statement runs, and restore them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import duckdb

if TYPE_CHECKING:
    from collections.abc import Iterator


class Settings:
    """The settings of one connection."""

    def __init__(self, raw: duckdb.DuckDBPyConnection) -> None:
        """Change nothing."""
        self._raw = raw
        self._changed: dict[str, bool] = {}

    @contextmanager
    def change(self, name: str, *, value: bool) -> Iterator[None]:
        """Change a setting while the block runs."""
        rows = self._raw.execute(f"SELECT current_setting('{name}')").fetchall()
        before = bool(rows[0][0])
        if (
            before is value
        ):  # in a notebook without widgets DuckDB rejects even switching its bar off
            yield
            return
        self._raw.execute(f"SET {name} = {value}")
        self._changed[name] = before
        try:
            yield
        finally:
            self.restore()

    def restore(self) -> None:
        """Restore all settings. In an aborted transaction DuckDB runs no statement: the next call does it."""
        for name, value in list(self._changed.items()):
            try:
                self._raw.execute(f"SET {name} = {value}")
            except duckdb.TransactionException:
                return
            del self._changed[name]
