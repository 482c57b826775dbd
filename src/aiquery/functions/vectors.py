"""Embeddings as they travel, base64 of 32-bit floats, and as Arrow columns and arrays: in batches, never by float."""

from __future__ import annotations

from base64 import b64decode
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

FLOAT = np.dtype("<f4")


def floats(packed: str) -> list[float]:
    """Return one vector as Python floats."""
    return np.frombuffer(b64decode(packed), FLOAT).tolist()  # type: ignore[no-any-return]


def length(packed: str) -> int:
    """Return how many floats a vector has."""
    return len(b64decode(packed)) // FLOAT.itemsize


def matrix(packed: Sequence[str]) -> npt.NDArray[np.float32]:
    """Return vectors of one length as the rows of a matrix."""
    data = b"".join(map(b64decode, packed))
    return np.frombuffer(data, FLOAT).reshape(len(packed), -1)


def column(packed: Sequence[str | None]) -> pa.Array:
    """Return vectors as a list array of 32-bit floats; None becomes NULL."""
    raw = [b"" if vector is None else b64decode(vector) for vector in packed]
    offsets = np.zeros(len(raw) + 1, np.int32)
    np.cumsum([len(vector) // FLOAT.itemsize for vector in raw], out=offsets[1:])
    values = pa.array(np.frombuffer(b"".join(raw), FLOAT))
    nulls = pa.array([vector is None for vector in packed], pa.bool_())
    return pa.ListArray.from_arrays(pa.array(offsets), values, mask=nulls)
