"""A connection of coordinator and member: lists of messages in msgpack, each list after its length."""

from __future__ import annotations

import asyncio
import struct
from typing import Any, Generic, TypeVar

import msgspec

Message = TypeVar("Message")
_ENCODER = msgspec.msgpack.Encoder()
_LENGTH = struct.Struct(">I")
MOST_BYTES = 1 << 26
MOST_MESSAGES = 1_000
"""In one list: a new worker is told of many failures, each with its text."""


class Connection(Generic[Message]):
    """Sends and receives; what is said in one turn of the loop goes together."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        hears: msgspec.msgpack.Decoder[list[Message]],
    ) -> None:
        """``hears`` reads what the other side may say."""
        self._reader = reader
        self._writer = writer
        self._hears = hears
        self._out: list[Any] = []

    def send(self, message: Any) -> None:
        """Send soon."""
        if not self._out:
            asyncio.get_running_loop().call_soon(self._flush)
        self._out.append(message)

    async def receive(self) -> list[Message]:
        """Return the next messages. Raises ``OSError`` when there are no more, or on nonsense."""
        try:
            (length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
            if length > MOST_BYTES:
                raise ConnectionError(f"a message of {length} bytes")
            return self._hears.decode(await self._reader.readexactly(length))
        except asyncio.IncompleteReadError as error:
            raise ConnectionError("the other side hung up") from error
        except msgspec.MsgspecError as error:
            raise ConnectionError(
                f"no message that this version knows: {error}"
            ) from error

    def close(self) -> None:
        """Hang up, once everything is said."""
        self._flush()
        self._writer.close()

    def abort(self) -> None:
        """Hang up at once."""
        self._writer.transport.abort()

    def _flush(self) -> None:
        out, self._out = self._out, []
        if self._writer.is_closing():
            return
        for start in range(0, len(out), MOST_MESSAGES):
            data = _ENCODER.encode(out[start : start + MOST_MESSAGES])
            self._writer.write(_LENGTH.pack(len(data)) + data)
