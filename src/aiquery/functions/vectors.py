"""Converts embeddings from base64 of 32-bit floats to Arrow columns and arrays, in batches."""

from __future__ import annotations

from base64 import b64decode
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

FLOAT = np.dtype("<f4")


def to_floats(packed: str) -> list[float]:
    """Return one vector as Python floats."""
    return np.frombuffer(b64decode(packed), FLOAT).tolist()  # type: ignore[no-any-return]


def count_floats(packed: str) -> int:
    """Return the length of a vector."""
    return len(b64decode(packed)) // FLOAT.itemsize


def to_matrix(packed: Sequence[str]) -> npt.NDArray[np.float32]:
    """Return vectors of equal length as the rows of a matrix."""
    data = b"".join(map(b64decode, packed))
    floats = np.frombuffer(data, FLOAT)
    return floats.reshape(len(packed), -1)


def to_column(packed: Sequence[str | None]) -> pa.Array:
    """Return vectors as an Arrow list array of 32-bit floats. None becomes NULL."""
    raw = [b"" if vector is None else b64decode(vector) for vector in packed]
    lengths = [len(vector) // FLOAT.itemsize for vector in raw]
    offsets = np.zeros(len(raw) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    floats = np.frombuffer(b"".join(raw), FLOAT)
    is_null = [vector is None for vector in packed]
    mask = pa.array(is_null, pa.bool_())
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(floats), mask=mask)
