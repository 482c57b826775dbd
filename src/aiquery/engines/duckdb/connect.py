"""Open a DuckDB database with the AI functions."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import duckdb

from aiquery import config as configuration
from aiquery.engines.duckdb.connection import Connection
from aiquery.reporting.progress import enable_progress_if_interactive

if TYPE_CHECKING:
    from collections.abc import Mapping


def connect(
    path: str | os.PathLike[str] = ":memory:",
    config: configuration.ConfigLike | None = None,
    budget: Mapping[str, float | str] | None = None,
    *,
    read_only: bool = False,
    duckdb_config: Mapping[str, str | bool | int | float | list[str]] | None = None,
) -> Connection:
    """Open a DuckDB database with the AI functions: the implementation of ``aiquery.connect``."""
    loaded = configuration.load(config).with_budget(**budget or {})
    enable_progress_if_interactive()
    raw = duckdb.connect(
        os.fspath(path), read_only=read_only, config=dict(duckdb_config or {})
    )
    return Connection(raw, loaded)
