"""Attempts as Arrow tables: how the ledger's blocks are kept, and what is read back. No price is NaN."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from aiquery.requests.request import KEY_BYTES
from aiquery.tracking.attempts import ACCOUNT, ENDINGS, WIDTH

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from aiquery.tracking.attempts import Block

_NAME = pa.dictionary(pa.int32(), pa.string())
SCHEMA = pa.schema([
    ("endpoint", _NAME), ("function", _NAME), ("key", pa.binary(KEY_BYTES)), ("ending", _NAME),
    ("error", _NAME), ("status", pa.int16()), ("started_at", pa.float64()), ("latency_s", pa.float32()),
    ("queued_s", pa.float32()), ("tokens_in", pa.int32()), ("tokens_cached", pa.int32()),
    ("tokens_out", pa.int32()), ("cost_usd", pa.float64()), ("rows", pa.int32()), ("truncated", pa.int32()),
])  # fmt: skip


def tables(block: Block) -> Iterator[tuple[int, pa.Table]]:
    """Yield the attempts of each account in a block, by its number."""
    numbers = np.frombuffer(block.numbers, dtype=np.float64).reshape(-1, WIDTH)
    keys = np.frombuffer(block.keys, dtype=f"V{KEY_BYTES}")
    all_stats = numbers[:, ACCOUNT]
    for stats in np.unique(all_stats):
        mine = all_stats == stats
        yield int(stats), _table(block.names, keys[mine], numbers[mine].T)


def _table(
    names: Sequence[str], keys: npt.NDArray[Any], columns: npt.NDArray[Any]
) -> pa.Table:
    """Return the rows of a block as a table, built from buffers: ``pa.array`` imports pandas, which takes seconds."""
    (
        name,
        ending,
        started,
        latency,
        queued,
        status,
        t_in,
        cached,
        out,
        cost,
        rows,
        cut,
        function,
        error,
        _,
        _,
    ) = columns
    texts, endings = _texts(names), _texts(ENDINGS)

    def named(numbers: npt.NDArray[Any], values: pa.Array) -> pa.Array:
        return pa.DictionaryArray.from_arrays(_array(numbers, pa.int32()), values)

    plain = {
        "key": _buffer(pa.binary(KEY_BYTES), keys), "status": status, "started_at": started, "latency_s": latency,
        "queued_s": queued, "tokens_in": t_in, "tokens_cached": cached, "tokens_out": out, "cost_usd": cost,
        "rows": rows, "truncated": cut, "endpoint": named(name, texts), "function": named(function, texts),
        "ending": named(ending, endings), "error": named(error, texts),
    }  # fmt: skip
    arrays = [
        found
        if isinstance(found := plain[field.name], pa.Array)
        else _array(found, field.type)
        for field in SCHEMA
    ]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def _array(numbers: npt.NDArray[Any], kind: pa.DataType) -> pa.Array:
    return _buffer(kind, numbers.astype(kind.to_pandas_dtype()))


def _buffer(kind: pa.DataType, values: npt.NDArray[Any]) -> pa.Array:
    return pa.Array.from_buffers(
        kind, len(values), [None, pa.py_buffer(np.ascontiguousarray(values))]
    )


def _texts(texts: Sequence[str]) -> pa.Array:
    encoded = [text.encode() for text in texts]
    ends = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    return pa.StringArray.from_buffers(
        len(texts), pa.py_buffer(ends), pa.py_buffer(b"".join(encoded))
    )


def packed(table: pa.Table) -> bytes:
    """Return a table as bytes."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(
        sink, SCHEMA, options=pa.ipc.IpcWriteOptions(compression="zstd")
    ) as writer:
        writer.write_table(table)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def unpacked(blobs: Sequence[bytes]) -> pa.Table:
    """Return what was packed, one after the other."""
    read = [pa.ipc.open_stream(blob).read_all() for blob in blobs]
    return (
        pa.concat_tables([table.unify_dictionaries() for table in read])
        if read
        else SCHEMA.empty_table()
    )
