"""Delta tables for DuckDB, through the library ``deltalake``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiquery.errors import ConfigError

if TYPE_CHECKING:
    from deltalake import DeltaTable


def open_table(path: str) -> DeltaTable:
    """Open the newest version of a table. Raises ``ConfigError`` where there is none, or the extra is missing."""
    try:
        from deltalake import DeltaTable
        from deltalake.exceptions import TableNotFoundError
    except ImportError:
        raise ConfigError("Delta tables need the extra 'delta': pip install 'aiquery[delta]'.") from None
    try:
        return DeltaTable(path)
    except TableNotFoundError as error:
        raise ConfigError(f"{path!r} is no Delta table: {error}") from None


def readable(table: DeltaTable) -> Any:  # noqa: ANN401  a pyarrow dataset
    """Return what DuckDB scans. Raises ``ConfigError`` for features that would be read wrong."""
    from deltalake.exceptions import DeltaProtocolError

    try:
        return table.to_pyarrow_dataset()
    except DeltaProtocolError as error:
        raise ConfigError(f"the Delta table {table.table_uri!r} cannot be read here: {error}") from None
