"""Reads the header of a GGUF file: its settings, and where its tensors are.

The package ``gguf`` reads them too, but takes 1 to 8 seconds for the vocabulary of a model. The
format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from aiquery.errors import ModelFileError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

MAGIC = b"GGUF"
_MIN_VERSION = 2
"""Version 1 had 32-bit lengths, and llama.cpp no longer reads it."""

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?"} | {
    10: "Q",
    11: "q",
    12: "d",
}
_STRING = 8
_ARRAY = 9
_DTYPES: dict[int, Any] = {0: np.dtype("<f4"), 1: np.dtype("<f2")}
"""The types of tensors that NumPy reads: F32 and F16."""

_ALIGNMENT = 32

_NUMBER_BYTES = 2
"""Of a number in a slot's state."""


@dataclass(frozen=True)
class TensorInfo:
    """Where a tensor is: its shape (rows first), its type, and its offset from the first tensor."""

    shape: tuple[int, ...]
    kind: int
    offset: int


class _Cursor:
    """Reads little-endian values one after another."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data = data
        self.position = len(MAGIC)

    def read(self, code: str) -> Any:
        (value,) = struct.unpack_from("<" + code, self.data, self.position)
        self.position += struct.calcsize("<" + code)
        return value

    def read_text(self) -> str:
        length = self.read("Q")
        end = self.position + length
        if end > len(self.data):
            raise struct.error("a text ends behind the file")
        text = self.data[self.position : end].decode("utf-8", "replace")
        self.position = end
        return text

    def read_value(self, kind: int) -> Any:
        if kind == _STRING:
            return self.read_text()
        if kind != _ARRAY:
            return self.read(_SCALARS[kind])
        item = self.read("I")
        count = self.read("Q")
        if item in (_STRING, _ARRAY):
            return [self.read_value(item) for _ in range(count)]
        array = np.frombuffer(
            self.data, "<" + _SCALARS[item], count, offset=self.position
        )
        self.position += array.nbytes
        return array.tolist()


class GGUFFile:
    """The settings and tensors of a GGUF file."""

    def __init__(self, path: Path) -> None:
        """Read the header. Raises ``ModelFileError``."""
        self.path = path
        self.settings: dict[str, Any] = {}
        self.tensors: dict[str, TensorInfo] = {}
        check_gguf(path)
        try:
            with (
                path.open("rb") as file,
                mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
            ):
                self._read_header(_Cursor(data))
        except (struct.error, KeyError, ValueError, OSError) as error:
            raise ModelFileError(
                f"model file {path} could not be loaded: its header is damaged ({error})"
            ) from None

    def _read_header(self, cursor: _Cursor) -> None:
        version = cursor.read("I")
        if version < _MIN_VERSION:
            raise ValueError(f"version {version} of GGUF is not supported")
        tensors = cursor.read("Q")
        settings = cursor.read("Q")
        for _ in range(settings):
            name = cursor.read_text()
            self.settings[name] = cursor.read_value(cursor.read("I"))
        for _ in range(tensors):
            name = cursor.read_text()
            dimensions = [cursor.read("Q") for _ in range(cursor.read("I"))]
            kind = cursor.read("I")
            shape = tuple(reversed(dimensions))
            self.tensors[name] = TensorInfo(shape, kind, cursor.read("Q"))
        alignment = self.settings.get("general.alignment", _ALIGNMENT)
        self._start = -(-cursor.position // alignment) * alignment

    @property
    def architecture(self) -> str:
        """The architecture, e.g. ``bert`` or ``llama``."""
        return str(self.settings.get("general.architecture", ""))

    def get(self, name: str) -> Any:
        """Return a setting of the architecture, e.g. ``context_length``; None if it is missing."""
        return self.settings.get(f"{self.architecture}.{name}")

    def is_float(self) -> bool:
        """Return True if NumPy can read every tensor."""
        return all(tensor.kind in _DTYPES for tensor in self.tensors.values())

    def read_tensor(self, name: str) -> npt.NDArray[np.float32]:
        """Return a tensor. One of 32-bit floats is not copied: it stays in the file."""
        info = self.tensors[name]
        array: Any = np.memmap(
            self.path,
            dtype=_DTYPES[info.kind],
            mode="r",
            offset=self._start + info.offset,
            shape=info.shape,
        )
        return np.asarray(array, np.float32)


def check_gguf(path: Path) -> None:
    """Raise ``ModelFileError`` if the file cannot be read or does not begin as a GGUF file does.

    A file with another suffix is not opened: a statement must not find out which files exist.
    """
    if path.suffix.lower() != ".gguf":
        raise ModelFileError(f"model file {path}: its name must end with .gguf.")
    try:
        with path.open("rb") as file:
            magic = file.read(len(MAGIC))
    except OSError as error:
        raise ModelFileError(
            f"model file {path} cannot be read: {error.strerror or error}"
        ) from None
    if magic != MAGIC:
        raise ModelFileError(
            f"model file {path} is not GGUF; convert it with llama.cpp."
        )


def read_gguf(path: Path) -> GGUFFile:
    """Return the header of a file, which is read again only after the file has changed."""
    try:
        changed = path.stat().st_mtime_ns
    except OSError:
        changed = 0  # the check in GGUFFile says why it cannot be read
    return _read_gguf(path, changed)


@lru_cache(maxsize=8)
def _read_gguf(path: Path, changed: int) -> GGUFFile:
    del changed
    return GGUFFile(path)


def count_state_bytes(file: GGUFFile) -> int:
    """Return the memory of a token in a slot, in bytes: at most, as some layers may store less."""
    heads = np.max(file.get("attention.head_count") or 1)
    kv_heads = np.max(file.get("attention.head_count_kv") or heads)
    width = file.get("embedding_length") // heads
    keys = file.get("attention.key_length") or width
    values = file.get("attention.value_length") or width
    return int(file.get("block_count") * kv_heads * (keys + values) * _NUMBER_BYTES)
