"""Attempts as Arrow tables: made from the ledger's blocks, and encoded for the run store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from aiquery.requests.request import KEY_BYTES
from aiquery.tracking.attempts import ENDINGS, RUN_NUMBER, WIDTH

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from aiquery.tracking.attempts import Block

_NAME = pa.dictionary(pa.int32(), pa.string())
SCHEMA = pa.schema(
    [
        ("endpoint", _NAME),
        ("function", _NAME),
        ("key", pa.binary(KEY_BYTES)),
        ("ending", _NAME),
        ("error", _NAME),
        ("status", pa.int16()),
        ("started_at", pa.float64()),
        ("latency_s", pa.float32()),
        ("queued_s", pa.float32()),
        ("tokens_in", pa.int32()),
        ("tokens_cached", pa.int32()),
        ("tokens_out", pa.int32()),
        ("cost_usd", pa.float64()),
        ("rows", pa.int32()),
        ("truncated", pa.int32()),
    ]
)
"""Columns of ``aiquery_attempts``. A NaN as ``cost_usd`` stands for an endpoint without a price."""

_NUMBERS = (
    "endpoint",
    "ending",
    "started_at",
    "latency_s",
    "queued_s",
    "status",
    "tokens_in",
    "tokens_cached",
    "tokens_out",
    "cost_usd",
    "rows",
    "truncated",
    "function",
    "error",
)
"""The numbers of an attempt in a block, in their order."""


def tables_by_run(block: Block) -> Iterator[tuple[int, pa.Table]]:
    """Yield the attempts of each run in a block, by run number."""
    numbers = np.frombuffer(block.numbers, dtype=np.float64).reshape(-1, WIDTH)
    keys = np.frombuffer(block.keys, dtype=f"V{KEY_BYTES}")
    run_numbers = numbers[:, RUN_NUMBER]
    for run_number in np.unique(run_numbers):
        is_mine = run_numbers == run_number
        yield (
            int(run_number),
            _make_table(block.names, keys[is_mine], numbers[is_mine].T),
        )


def _make_table(
    names: Sequence[str], keys: npt.NDArray[Any], numbers: npt.NDArray[Any]
) -> pa.Table:
    """Build a table from buffers: ``pa.array`` imports pandas, which takes seconds."""
    columns = dict(zip(_NUMBERS, numbers, strict=False))
    texts = _make_texts(names)
    dictionaries = dict.fromkeys(("endpoint", "function", "error"), texts)
    dictionaries["ending"] = _make_texts(ENDINGS)
    arrays = []
    for field in SCHEMA:
        if field.name == "key":
            arrays.append(_wrap_buffer(field.type, keys))
        elif field.name in dictionaries:
            indices = _make_array(columns[field.name], pa.int32())
            values = dictionaries[field.name]
            arrays.append(pa.DictionaryArray.from_arrays(indices, values))
        else:
            arrays.append(_make_array(columns[field.name], field.type))
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def _make_array(numbers: npt.NDArray[Any], arrow_type: pa.DataType) -> pa.Array:
    return _wrap_buffer(arrow_type, numbers.astype(arrow_type.to_pandas_dtype()))


def _wrap_buffer(arrow_type: pa.DataType, values: npt.NDArray[Any]) -> pa.Array:
    buffer = pa.py_buffer(np.ascontiguousarray(values))
    return pa.Array.from_buffers(arrow_type, len(values), [None, buffer])


def _make_texts(texts: Sequence[str]) -> pa.Array:
    encoded = [text.encode() for text in texts]
    ends = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    data = pa.py_buffer(b"".join(encoded))
    return pa.StringArray.from_buffers(len(texts), pa.py_buffer(ends), data)


def encode_table(table: pa.Table) -> bytes:
    """Return a table as bytes."""
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_stream(sink, SCHEMA, options=options) as writer:
        writer.write_table(table)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def decode_tables(blobs: Sequence[object]) -> tuple[pa.Table, int]:
    """Return encoded tables as one, and the number of those that are damaged and left out."""
    tables = []
    for blob in blobs:
        table = _decode_table(blob)
        if table is not None:
            tables.append(table.unify_dictionaries())
    unreadable = len(blobs) - len(tables)
    return pa.concat_tables([SCHEMA.empty_table(), *tables]), unreadable


def _decode_table(blob: object) -> pa.Table | None:
    try:
        table = pa.ipc.open_stream(blob).read_all()
        table.validate(full=True)
        return table.cast(SCHEMA)
    except (pa.ArrowException, TypeError, ValueError, OSError):
        return None
