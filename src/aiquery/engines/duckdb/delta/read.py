"""Read Delta tables on DuckDB, through the library ``deltalake``."""

from __future__ import annotations

import functools
import operator
from typing import TYPE_CHECKING, Any

from aiquery.errors import ConfigError

if TYPE_CHECKING:
    from deltalake import DeltaTable


def open_table(path: str) -> DeltaTable:
    """Open the newest version of a table. Raises ``ConfigError`` if there is no table, or the extra is missing."""
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
        raise ConfigError(f"{path!r} is not a Delta table: {error}") from None


def open_dataset(path: str) -> Any:
    """Return the newest version of a table as a dataset that DuckDB scans. Raises ``ConfigError``."""
    return to_dataset(open_table(path))


def to_dataset(table: DeltaTable) -> Any:
    """Return a table as a dataset. Raises ``ConfigError`` for features that would be read incorrectly."""
    from deltalake.exceptions import DeltaProtocolError

    try:
        return _drop_wrong_statistics(table.to_pyarrow_dataset())
    except DeltaProtocolError as error:
        raise ConfigError(
            f"the Delta table {table.table_uri!r} cannot be read here: {error}"
        ) from None


def _drop_wrong_statistics(dataset: Any) -> Any:
    """Drop the statistics of files without a column, for which deltalake returns ``column >= null``.

    That is never true, so ``IS NULL`` of a column that was added later would find no row of earlier files.
    """
    from pyarrow import dataset as ds

    fragments = list(dataset.get_fragments())
    wrong = [
        i
        for i, fragment in enumerate(fragments)
        if "= null[" in str(fragment.partition_expression)
    ]
    if not wrong:
        return dataset
    for i in wrong:
        fragment = fragments[i]
        keys = ds.get_partition_keys(fragment.partition_expression)
        conditions = [_equals(ds.field(name), value) for name, value in keys.items()]
        true = ds.scalar(True)  # noqa: FBT003  Arrow's signature
        known = functools.reduce(operator.and_, conditions, true)
        fragments[i] = dataset.format.make_fragment(
            fragment.path, fragment.filesystem, known
        )
    return ds.FileSystemDataset(
        fragments, dataset.schema, dataset.format, dataset.filesystem
    )


def _equals(field: Any, value: Any) -> Any:
    return field.is_null() if value is None else field == value
