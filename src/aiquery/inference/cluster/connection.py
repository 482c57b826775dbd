"""A connection between worker and coordinator: lists of messages in msgpack, each list after its length."""

from __future__ import annotations

import asyncio
import struct
from typing import Any, Generic, TypeVar

import msgspec

Message = TypeVar("Message")
_ENCODER = msgspec.msgpack.Encoder()
_LENGTH = struct.Struct(">I")
MAX_BYTES = 1 << 26
MAX_MESSAGES = 1_000
"""Messages in one list: a new worker receives many failures, each with its text."""


class Connection(Generic[Message]):
    """Sends and receives. Messages that are sent in one turn of the loop go together."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        decoder: msgspec.msgpack.Decoder[list[Message]],
    ) -> None:
        """Take a connection; ``decoder`` reads the messages of the other side."""
        self._reader = reader
        self._writer = writer
        self._decoder = decoder
        self._outgoing: list[Any] = []

    def send(self, message: Any) -> None:
        """Send a message soon."""
        if not self._outgoing:
            asyncio.get_running_loop().call_soon(self._flush)
        self._outgoing.append(message)

    async def receive(self) -> list[Message]:
        """Return the next messages. Raises ``OSError`` at the end, or on malformed messages."""
        try:
            (length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
            if length > MAX_BYTES:
                raise ConnectionError(f"a message of {length} bytes")
            return self._decoder.decode(await self._reader.readexactly(length))
        except asyncio.IncompleteReadError as error:
            raise ConnectionError("the other side closed the connection") from error
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise ConnectionError(f"a message of another version: {error}") from error

    def close(self) -> None:
        """Send the outgoing messages and close."""
        self._flush()
        self._writer.close()

    def abort(self) -> None:
        """Close at once."""
        self._writer.transport.abort()

    def _flush(self) -> None:
        outgoing = self._outgoing
        self._outgoing = []
        if self._writer.is_closing():
            return
        for start in range(0, len(outgoing), MAX_MESSAGES):
            data = _ENCODER.encode(outgoing[start : start + MAX_MESSAGES])
            self._writer.write(_LENGTH.pack(len(data)) + data)
