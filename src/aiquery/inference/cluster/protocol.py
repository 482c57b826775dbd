"""All that coordinator and members say to each other: about permits (``messages``), and what tasks did."""

from __future__ import annotations

from array import array

import msgspec

from aiquery.inference.cluster.messages import (
    BudgetExhausted,
    BudgetSettled,
    CooldownStarted,
    Hello,
    LimitsObserved,
    Message,
    PermitReleased,
    PermitRequest,
    PermitsGranted,
    QuotaGranted,
    RequestFailure,
    Subscribe,
)
from aiquery.tracking.attempts import Block
from aiquery.tracking.record import RunRecord  # noqa: TC001  read by msgspec


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


class RunReport(Message):
    """What tasks did: how their runs stand, and new attempts, whose account numbers mean ``all_stats``.

    ``place`` says where runs of their configuration are kept; only the sink reads it.
    """

    runs: list[RunRecord]
    attempts: list[Columns]
    all_stats: dict[int, str]
    place: str = ""
    number: int = 0


class Ack(Message):
    """What was told under this number is kept."""

    number: int


FromWorker = (
    Hello
    | Subscribe
    | PermitRequest
    | PermitReleased
    | BudgetSettled
    | LimitsObserved
    | RequestFailure
    | RunReport
)
FromCoordinator = (
    PermitsGranted
    | QuotaGranted
    | CooldownStarted
    | BudgetExhausted
    | RequestFailure
    | Ack
)
FROM_WORKER = msgspec.msgpack.Decoder(list[FromWorker])
FROM_COORDINATOR = msgspec.msgpack.Decoder(list[FromCoordinator])
