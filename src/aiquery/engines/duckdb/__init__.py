"""DuckDB: the functions on any connection, and a connection of ours that also plans."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aiquery.config.settings import Config


class DuckDBEngine:
    """The engine as the rest of aiquery sees it; nothing heavy is imported before it is used."""

    name = "duckdb"

    def accepts(self, connection: Any) -> bool:
        """Say whether ``connection`` is a ``duckdb.DuckDBPyConnection``."""
        return type(connection).__module__.split(".")[0] in {"duckdb", "_duckdb"}

    def register(self, connection: Any, config: Config) -> None:
        """Give ``connection`` the functions."""
        from aiquery.engines.duckdb.registration import register

        register(connection, config)


ENGINE = DuckDBEngine()
