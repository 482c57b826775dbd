"""Decompresses the body of a reply piece by piece, never to more bytes than there is room for.

``gzip`` and ``deflate`` are built in. ``br`` and ``zstd`` need the packages ``brotli`` (1.2) and, before Python 3.14,
``backports.zstd``: requests do not ask for them, but some servers send them.
"""

from __future__ import annotations

import importlib
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

_GZIP_MAGIC = b"\x1f\x8b"
_RAW = -zlib.MAX_WBITS
_ZSTD_MODULES = ("compression.zstd", "backports.zstd")


class UnknownEncoding(Exception):
    """The body has an encoding that cannot be decompressed here."""


class DoesNotDecompress(Exception):
    """The body is not of the encoding that its header names."""


class Decompressor(Protocol):
    """Decompresses the pieces of one body."""

    @property
    def is_complete(self) -> bool:
        """True if the body may end here."""

    def decompress(self, piece: bytes, room: int) -> bytes:
        """Return what a piece holds, ``room`` bytes at most. Raises ``DoesNotDecompress``."""


def find_decompressor(header: bytes) -> Decompressor | None:
    """Return what decompresses a body with this Content-Encoding; None for a plain body.

    Raises ``UnknownEncoding``.
    """
    names = [name.strip() for name in header.decode("latin-1").lower().split(",")]
    names = [name for name in names if name not in {"", "identity"}]
    if not names:
        return None
    kind = _KINDS.get(names[0]) if len(names) == 1 else None
    if kind is None:
        raise UnknownEncoding(
            f"content encoding {', '.join(names)!r}, which the request does not accept"
        )
    return kind()


class _Gzip:
    """gzip of one member or several; zeros may follow."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(16 + zlib.MAX_WBITS)

    @property
    def is_complete(self) -> bool:
        return self._member.eof

    def decompress(self, piece: bytes, room: int) -> bytes:
        found = bytearray()
        while piece and len(found) < room:
            if self._member.eof:
                piece = piece.lstrip(b"\0")
                if not piece or not _GZIP_MAGIC.startswith(piece[:2]):
                    break  # other bytes after the body are no part of it
                self._member = zlib.decompressobj(16 + zlib.MAX_WBITS)
            try:
                found += self._member.decompress(piece, room - len(found))
            except zlib.error as error:
                raise DoesNotDecompress(str(error)) from None
            piece = self._member.unused_data
        return bytes(found)


class _Deflate:
    """deflate: with zlib's frame as the standard says, or raw as some servers send it."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj()
        self._is_known = False
        self._first = b""

    @property
    def is_complete(self) -> bool:
        return self._stream.eof

    def decompress(self, piece: bytes, room: int) -> bytes:
        if self._stream.eof:
            return b""
        try:
            found = self._stream.decompress(piece, room)
        except zlib.error as error:
            if self._is_known:
                raise DoesNotDecompress(str(error)) from None
            return self._restart_raw(piece, room)
        self._first += piece[:2]
        self._is_known = self._is_known or bool(found)
        return found

    def _restart_raw(self, piece: bytes, room: int) -> bytes:
        self._is_known = True
        self._stream = zlib.decompressobj(_RAW)
        return self.decompress(self._first + piece, room)


class _Bounded:
    """A decompressor of another library, which takes the highest number of bytes of its output."""

    def __init__(self, stream: Any, decompress: str, error: type[Exception]) -> None:
        self._stream = stream
        self._decompress = getattr(stream, decompress)
        self._error = error

    @property
    def is_complete(self) -> bool:
        is_finished = getattr(self._stream, "is_finished", None)
        return bool(is_finished() if is_finished else self._stream.eof)

    def decompress(self, piece: bytes, room: int) -> bytes:
        if self.is_complete:
            return b""
        try:
            found: bytes = self._decompress(piece, room)
        except self._error as error:
            raise DoesNotDecompress(str(error)) from None
        return found


def _open_brotli() -> Decompressor:
    with suppress(ImportError):
        brotli: Any = importlib.import_module("brotli")
        stream = brotli.Decompressor()
        if hasattr(stream, "can_accept_more_data"):  # 1.2: its output can be limited
            return _Bounded(stream, "process", brotli.error)
    raise UnknownEncoding(
        "content encoding 'br', which needs the package brotli (1.2 or newer): pip install brotli"
    )


def _open_zstd() -> Decompressor:
    for name in _ZSTD_MODULES:
        with suppress(ImportError):
            zstd: Any = importlib.import_module(name)
            return _Bounded(zstd.ZstdDecompressor(), "decompress", zstd.ZstdError)
    raise UnknownEncoding(
        "content encoding 'zstd', which needs the package backports.zstd: pip install backports.zstd"
    )


_KINDS: dict[str, Callable[[], Decompressor]] = {
    "gzip": _Gzip,
    "x-gzip": _Gzip,
    "deflate": _Deflate,
    "br": _open_brotli,
    "zstd": _open_zstd,
}
