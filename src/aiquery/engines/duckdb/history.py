"""What was kept of runs, as tables in SQL: aiquery_runs(), aiquery_attempts(run), aiquery_usage(by => ..)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from aiquery.engines.duckdb.binding import session
from aiquery.errors import AIQueryError, StoreFailed
from aiquery.reporting import tables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import duckdb

_READ = "_aiquery_"
_TYPES = {
    "string": "VARCHAR", "int16": "SMALLINT", "int32": "INTEGER", "int64": "BIGINT", "float": "FLOAT",
    "double": "DOUBLE", "timestamp[us, tz=UTC]": "TIMESTAMPTZ",
}  # fmt: skip
_ARGUMENTS = {"runs": "", "attempts": "run", "usage": "\"by\" := 'day'"}


def create_functions(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the Python functions, one per table: each returns its rows as one list."""
    text: Any = "VARCHAR"
    options: Any = {"type": "arrow", "null_handling": "special", "side_effects": True}
    for name, schema in tables.SCHEMAS.items():
        rows: Any = f"{_type(pa.struct(schema))}[]"
        connection.create_function(
            _READ + name, _reader(name), [text, text], rows, **options
        )


def _type(kind: pa.DataType) -> str:
    """Return DuckDB's name of a type; to ask DuckDB for it takes an empty table, which imports pandas."""
    if pa.types.is_list(kind):
        return f"{_type(kind.value_type)}[]"
    if pa.types.is_struct(kind):
        fields = ", ".join(f'"{field.name}" {_type(field.type)}' for field in kind)
        return f"STRUCT({fields})"
    return _TYPES[str(kind)]


def macros(token: str) -> Iterator[str]:
    """Yield the statements that make the tables of the connection behind ``token``."""
    for name, argument in _ARGUMENTS.items():
        given = argument.partition(" ")[0] or "NULL"
        yield (
            f"CREATE OR REPLACE TEMP MACRO aiquery_{name}({argument}) AS TABLE "
            f"SELECT unpacked.* FROM (SELECT unnest({_READ}{name}('{token}', {given}::VARCHAR)) AS unpacked)"
        )


def _reader(name: str) -> Callable[[pa.ChunkedArray, pa.ChunkedArray], pa.Array]:
    def read(tokens: pa.ChunkedArray, arguments: pa.ChunkedArray) -> pa.Array:
        owner, argument = session(tokens[0].as_py()), arguments[0].as_py()
        try:
            table = owner.client.read_history(
                lambda store: tables.table(name, store, argument)
            )
        except StoreFailed as error:
            raise AIQueryError(f"runs cannot be read: {error}") from error
        except AIQueryError as error:
            owner.fail(error)
            raise
        rows = (
            table.to_struct_array().combine_chunks()
            if len(table)
            else pa.array([], pa.struct(table.schema))
        )
        return pa.ListArray.from_arrays([0, len(rows)], rows)

    return read
