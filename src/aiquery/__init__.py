"""ai_query() and the AI functions of Databricks SQL as open software that runs anywhere.

``connect()`` opens a DuckDB database with the functions; ``register(con)`` gives them to a connection that exists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiquery.errors import (
    AIQueryError,
    ArgumentError,
    ConfigError,
    RowError,
    StatementError,
)

if TYPE_CHECKING:
    from aiquery.embedding import Embedding
    from aiquery.engines.duckdb.connection import Connection
    from aiquery.reporting.progress import show_progress
    from aiquery.tracking.active import last_run, on_progress
    from aiquery.updates import update

__version__ = "0.1.0"

__all__ = [
    "AIQueryError",
    "ArgumentError",
    "ConfigError",
    "Embedding",
    "RowError",
    "StatementError",
    "__version__",
    "connect",
    "last_run",
    "on_progress",
    "register",
    "show_progress",
    "update",
]


def __getattr__(name: str) -> Any:
    if name == "Embedding":
        from aiquery.embedding import Embedding  # late: numpy and Arrow are heavy

        return Embedding
    if name == "update":
        from aiquery.updates import update

        return update
    if name == "show_progress":
        from aiquery.reporting.progress import show_progress

        return show_progress
    if name == "last_run":
        from aiquery.tracking.active import last_run

        return last_run
    if name == "on_progress":
        from aiquery.tracking.active import on_progress

        return on_progress
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def connect(path: str = ":memory:", config: Any = None, **options: Any) -> Connection:
    """Open a DuckDB database with the AI functions; see ``aiquery.engines.duckdb.connection.connect``."""
    from aiquery.engines.duckdb.connection import (
        connect as open_database,
    )  # late: DuckDB and Arrow are heavy

    return open_database(path, config, **options)


def register(connection: Any, config: Any = None) -> None:
    """Give a connection that exists (``duckdb.DuckDBPyConnection``, ``SparkSession``) the AI functions.

    connection   of any engine; DuckDB's cursors are registered one by one
    config       a path, a mapping, or a ``Config``; see ``aiquery.config.settings`` for where it is found otherwise

    Plain ``connection.sql(...)`` is then always right; ``connect().sql(...)`` also plans. Raises ``ConfigError`` for a
    configuration that cannot be used and ``TypeError`` for a connection of no engine.
    """
    from aiquery import config as configuration
    from aiquery import registry
    from aiquery.reporting.progress import enable_progress_if_interactive

    enable_progress_if_interactive()
    loaded = configuration.load(config)
    for engine in registry.engines().values():
        if engine.accepts(connection):
            engine.register(connection, loaded)
            return
    known = ", ".join(registry.engines())
    raise TypeError(
        f"aiquery.register takes a connection of {known}, not {type(connection).__name__}."
    )
