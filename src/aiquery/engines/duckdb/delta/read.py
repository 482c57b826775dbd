"""Delta tables for DuckDB, through the library ``deltalake``."""

from __future__ import annotations

import functools
import operator
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
        raise ConfigError(
            "Delta tables need the extra 'delta': pip install 'aiquery[delta]'."
        ) from None
    try:
        return DeltaTable(path)
    except TableNotFoundError as error:
        raise ConfigError(f"{path!r} is no Delta table: {error}") from None


def readable(table: DeltaTable) -> Any:
    """Return what DuckDB scans. Raises ``ConfigError`` for features that would be read wrong."""
    from deltalake.exceptions import DeltaProtocolError

    try:
        return _with_right_bounds(table.to_pyarrow_dataset())
    except DeltaProtocolError as error:
        raise ConfigError(
            f"the Delta table {table.table_uri!r} cannot be read here: {error}"
        ) from None


def _with_right_bounds(dataset: Any) -> Any:
    """Leave out the statistics of a file that has not the column, for which deltalake says ``column >= null``.

    That is never true, so that ``IS NULL`` of a column that was added would find no row of the files before it.
    """
    from pyarrow import dataset as ds

    fragments = list(dataset.get_fragments())
    wrong = [
        i
        for i, fragment in enumerate(fragments)
        if "= null[" in str(fragment.partition_expression)
    ]
    for i in wrong:
        keys = ds.get_partition_keys(fragments[i].partition_expression)
        values = [
            ds.field(name).is_null() if v is None else ds.field(name) == v
            for name, v in keys.items()
        ]
        known = functools.reduce(operator.and_, values, ds.scalar(True))  # noqa: FBT003
        fragments[i] = dataset.format.make_fragment(
            fragments[i].path, fragments[i].filesystem, known
        )
    return (
        ds.FileSystemDataset(
            fragments, dataset.schema, dataset.format, dataset.filesystem
        )
        if wrong
        else dataset
    )
