"""The run history as tables in SQL: aiquery_runs(), aiquery_attempts(run), aiquery_usage(by => ..)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from aiquery.engines.duckdb.binding import find_session
from aiquery.errors import AIQueryError, StoreFailed
from aiquery.reporting import tables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import duckdb

_PREFIX = "_aiquery_"
_TYPES = {
    "string": "VARCHAR",
    "int16": "SMALLINT",
    "int32": "INTEGER",
    "int64": "BIGINT",
    "float": "FLOAT",
    "double": "DOUBLE",
    "timestamp[us, tz=UTC]": "TIMESTAMPTZ",
}
_ARGUMENTS = {"runs": "", "attempts": "run", "usage": "\"by\" := 'day'"}


def create_functions(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the Python functions, one per table: each returns its rows as one list."""
    text: Any = "VARCHAR"
    options: Any = {"type": "arrow", "null_handling": "special", "side_effects": True}
    for name, schema in tables.SCHEMAS.items():
        rows: Any = f"{_duckdb_type(pa.struct(schema))}[]"
        connection.create_function(
            _PREFIX + name, _reader(name), [text, text], rows, **options
        )


def _duckdb_type(arrow_type: pa.DataType) -> str:
    """Return DuckDB's name of a type. To ask DuckDB for it takes an empty table, which imports pandas."""
    if pa.types.is_list(arrow_type):
        return f"{_duckdb_type(arrow_type.value_type)}[]"
    if pa.types.is_struct(arrow_type):
        fields = ", ".join(
            f'"{field.name}" {_duckdb_type(field.type)}' for field in arrow_type
        )
        return f"STRUCT({fields})"
    return _TYPES[str(arrow_type)]


def macros_sql(token: str) -> Iterator[str]:
    """Yield the statements that create the tables of the connection with ``token``."""
    for name, argument in _ARGUMENTS.items():
        value = argument.partition(" ")[0] or "NULL"
        rows = f"unnest({_PREFIX}{name}('{token}', {value}::VARCHAR))"
        yield (
            f"CREATE OR REPLACE TEMP MACRO aiquery_{name}({argument}) AS TABLE "
            f"SELECT unpacked.* FROM (SELECT {rows} AS unpacked)"
        )


def _reader(name: str) -> Callable[[pa.ChunkedArray, pa.ChunkedArray], pa.Array]:
    def read(tokens: pa.ChunkedArray, arguments: pa.ChunkedArray) -> pa.Array:
        session = find_session(tokens[0].as_py())
        argument = arguments[0].as_py()
        try:
            table = session.client.read_history(
                lambda store: tables.make_table(name, store, argument)
            )
        except StoreFailed as error:
            raise AIQueryError(f"runs cannot be read: {error}") from error
        except AIQueryError as error:
            session.remember_error(error)
            raise
        rows = pa.array([], pa.struct(table.schema))
        if len(table):
            rows = table.to_struct_array().combine_chunks()
        return pa.ListArray.from_arrays([0, len(rows)], rows)

    return read
