"""Change DuckDB settings while a statement runs, and restore them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import duckdb

from aiquery.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Settings:
    """The settings of one connection."""

    def __init__(self, raw: duckdb.DuckDBPyConnection) -> None:
        """Change nothing."""
        self._raw = raw
        self._changed: dict[str, bool] = {}

    @contextmanager
    def change(self, name: str, *, value: bool, needed: bool = True) -> Iterator[None]:
        """Change a setting while the block runs.

        A connection with ``lock_configuration`` rejects it: then a setting that is not ``needed`` stays as it is, and
        for one that is ``needed`` a ``ConfigError`` says what to do.
        """
        rows = self._raw.execute(f"SELECT current_setting('{name}')").fetchall()
        before = bool(rows[0][0])
        if (
            before is value
        ):  # in a notebook without widgets DuckDB rejects even switching its bar off
            yield
            return
        try:
            self._raw.execute(f"SET {name} = {value}")
        except duckdb.InvalidInputException as error:
            if "locked" not in str(error):
                raise
            if needed:
                raise ConfigError(
                    f"the result needs {name} = {value}, and the connection has lock_configuration; SET it before you "
                    "lock."
                ) from None
            yield
            return
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
