"""ai_query() and the AI functions of Databricks SQL as open software that runs anywhere.

``connect()`` opens a DuckDB database with the functions; ``register(con)`` adds them to an existing connection.
Importing the package changes nothing in the process, and imports no heavy library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiquery.errors import (
    AIQueryError,
    ArgumentError,
    ConfigError,
    RowError,
    StatementError,
)
from aiquery.late import load_late

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    import duckdb
    from pyspark.sql import SparkSession

    from aiquery.config import ConfigLike
    from aiquery.embedding import Embedding
    from aiquery.engines.duckdb.connection import Connection
    from aiquery.estimate import Estimate
    from aiquery.reporting.progress import show_progress
    from aiquery.tracking.active import last_run, on_progress
    from aiquery.tracking.run import Progress
    from aiquery.updates import UpdateResult, update

__version__ = "0.1.0"

__all__ = [
    "AIQueryError",
    "ArgumentError",
    "ConfigError",
    "Connection",
    "Embedding",
    "Estimate",
    "Progress",
    "RowError",
    "StatementError",
    "UpdateResult",
    "__version__",
    "connect",
    "last_run",
    "on_progress",
    "register",
    "show_progress",
    "update",
]

_LATE = {
    "Connection": "aiquery.engines.duckdb.connection",
    "Embedding": "aiquery.embedding",
    "Estimate": "aiquery.estimate",
    "Progress": "aiquery.tracking.run",
    "UpdateResult": "aiquery.updates",
    "last_run": "aiquery.tracking.active",
    "on_progress": "aiquery.tracking.active",
    "show_progress": "aiquery.reporting.progress",
    "update": "aiquery.updates",
}
"""Public names by module. A module is imported when its name is used: numpy, DuckDB and Arrow are heavy."""


if not TYPE_CHECKING:  # a type checker would accept every name
    __getattr__ = load_late(__name__, _LATE)


def connect(
    path: str | os.PathLike[str] = ":memory:",
    config: ConfigLike | None = None,
    budget: Mapping[str, float | str] | None = None,
    *,
    read_only: bool = False,
    duckdb_config: Mapping[str, str | bool | int | float | list[str]] | None = None,
) -> Connection:
    """Open a DuckDB database with the AI functions.

    Parameters
    ----------
    path
        A database file, or ``:memory:``.
    config
        A mapping, the path of a TOML file, JSON text, or a ``Config``. Default: the file that ``AIQUERY_CONFIG`` names,
        ``./aiquery.toml``, or ``config.toml`` in the user's configuration folder.
    budget
        Settings of ``[budget]``, e.g. ``{"max_cost_usd": 5}``: a limit for all statements of connections with this
        configuration together.
    read_only
        Open the file for reading only.
    duckdb_config
        Settings of DuckDB, e.g. ``{"threads": 4}``.

    Returns
    -------
    Connection
        A DuckDB connection whose ``sql`` and ``execute`` plan statements with AI functions. It is for one thread at a
        time; ``cursor()`` makes further ones.

    Raises
    ------
    ConfigError
        The configuration cannot be used.

    Examples
    --------
    >>> import aiquery
    >>> con = aiquery.connect(config={"endpoints": {"m": {"provider": "fake"}}})
    >>> con.sql("SELECT ai_query('m', 'hi') AS answer").fetchall()
    [('echo: hi',)]
    >>> con.close()
    """
    from aiquery.engines.duckdb.connect import connect as open_database

    return open_database(
        path, config, budget, read_only=read_only, duckdb_config=duckdb_config
    )


def register(
    connection: duckdb.DuckDBPyConnection | SparkSession,
    config: ConfigLike | None = None,
) -> None:
    """Add the AI functions to an existing connection.

    A plain DuckDB connection gives correct results, but does not plan: it sends requests for 2,048 rows at a time, and
    raises DuckDB's exceptions with our texts. ``aiquery.connect`` plans whole statements.

    Parameters
    ----------
    connection
        A ``duckdb.DuckDBPyConnection``, one of its cursors, or a ``SparkSession``. Functions belong to a DuckDB
        connection, so each cursor is registered.
    config
        As for ``connect``.

    Raises
    ------
    ConfigError
        The configuration cannot be used.
    TypeError
        The connection is not one of a known engine.

    Examples
    --------
    >>> import duckdb, aiquery
    >>> con = duckdb.connect()
    >>> aiquery.register(con, {"endpoints": {"m": {"provider": "fake"}}})
    >>> con.sql("SELECT ai_query('m', 'hi') AS answer").fetchall()
    [('echo: hi',)]
    """
    from aiquery import config as configuration
    from aiquery import registry
    from aiquery.reporting.progress import enable_progress_if_interactive

    loaded = configuration.load(config)
    for engine in registry.engines().values():
        if engine.accepts(connection):
            enable_progress_if_interactive()
            engine.register(connection, loaded)
            return
    known = ", ".join(registry.engines())
    raise TypeError(
        f"aiquery.register takes a connection of {known}, not {type(connection).__name__}."
    )
