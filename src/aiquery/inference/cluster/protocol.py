"""All that coordinator and members say to each other: about permits (``messages``), and what tasks did."""

from __future__ import annotations

from array import array

import msgspec

from aiquery.inference.cluster.messages import (
    Ask,
    Closed,
    Failed,
    Grant,
    Halt,
    Hello,
    Join,
    Keep,
    Learned,
    Message,
    Over,
    Paid,
)
from aiquery.tracking.attempts import Block
from aiquery.tracking.record import Kept  # noqa: TC001  read by msgspec


class Columns(msgspec.Struct, array_like=True):
    """A ``Block`` of attempts, whose numbers are 64-bit floats."""

    names: list[str]
    keys: bytes
    numbers: bytes

    def block(self) -> Block:
        """Return it as it was."""
        numbers = array("d")
        numbers.frombytes(self.numbers)
        return Block(self.names, self.keys, numbers)


class Told(Message):
    """What tasks did: how their runs stand, and new attempts, whose account numbers mean ``accounts``.

    ``place`` says where runs of their configuration are kept; only the sink reads it.
    """

    runs: list[Kept]
    attempts: list[Columns]
    accounts: dict[int, str]
    place: str = ""
    number: int = 0


class Heard(Message):
    """What was told under this number is kept."""

    number: int


FromMember = Hello | Join | Ask | Over | Paid | Learned | Failed | Told
FromCoordinator = Grant | Keep | Closed | Halt | Failed | Heard
FROM_MEMBER = msgspec.msgpack.Decoder(list[FromMember])
FROM_COORDINATOR = msgspec.msgpack.Decoder(list[FromCoordinator])
