"""Settings of DuckDB's that are changed while a statement runs, and left as they were."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import duckdb

if TYPE_CHECKING:
    from collections.abc import Iterator


class Settings:
    """The settings of one connection."""

    def __init__(self, raw: duckdb.DuckDBPyConnection) -> None:
        """Change nothing yet."""
        self._raw = raw
        self._changed: dict[str, bool] = {}

    @contextmanager
    def meanwhile(self, name: str, *, value: bool) -> Iterator[None]:
        """Change a setting while the block runs."""
        before = self._raw.execute(f"SELECT current_setting('{name}')").fetchall()[0][0]
        if (
            bool(before) is value
        ):  # in a notebook without widgets DuckDB refuses even to switch its bar off
            yield
            return
        self._raw.execute(f"SET {name} = {value}")
        self._changed[name] = not value
        try:
            yield
        finally:
            self.set_back()

    def set_back(self) -> None:
        """Leave settings as they were. Within an aborted transaction DuckDB takes no statement: then later."""
        for name, value in list(self._changed.items()):
            try:
                self._raw.execute(f"SET {name} = {value}")
            except duckdb.TransactionException:
                return
            del self._changed[name]
