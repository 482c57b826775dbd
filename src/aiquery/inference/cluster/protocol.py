"""All messages between workers and coordinator: about permits (``messages``), and about runs."""

from __future__ import annotations

from array import array

import msgspec

from aiquery.inference.cluster.messages import (
    BudgetExhausted,
    BudgetSettled,
    CapabilitiesLearned,
    CooldownStarted,
    LimitsObserved,
    Message,
    PermitReleased,
    PermitRequest,
    PermitsGranted,
    QuotaGranted,
    RequestFailure,
    Subscribe,
    TurnEnded,
    TurnGranted,
    TurnRequest,
)
from aiquery.tracking.attempts import Block
from aiquery.tracking.record import RunRecord  # noqa: TC001  read by msgspec


class Columns(msgspec.Struct, array_like=True):
    """A ``Block`` of attempts; its numbers are 64-bit floats."""

    names: list[str]
    keys: bytes
    numbers: bytes

    def block(self) -> Block:
        """Return the block."""
        numbers = array("d")
        numbers.frombytes(self.numbers)
        return Block(self.names, self.keys, numbers)


class RunReport(Message):
    """The runs of a worker's tasks.

    runs        how they stand now
    attempts    new attempts
    run_ids     run ids by the run numbers of the attempts
    history     settings that say where the runs are stored; read by the sink only
    number      identifies the report: see ``Ack``
    """

    runs: list[RunRecord]
    attempts: list[Columns]
    run_ids: dict[int, str]
    history: str = ""
    number: int = 0


class Ack(Message):
    """The report with this number is stored."""

    number: int


FromWorker = (
    Subscribe
    | PermitRequest
    | PermitReleased
    | BudgetSettled
    | LimitsObserved
    | TurnRequest
    | TurnEnded
    | RequestFailure
    | RunReport
)
FromCoordinator = (
    PermitsGranted
    | QuotaGranted
    | CooldownStarted
    | TurnGranted
    | CapabilitiesLearned
    | BudgetExhausted
    | RequestFailure
    | Ack
)
FROM_WORKER = msgspec.msgpack.Decoder(list[FromWorker])
FROM_COORDINATOR = msgspec.msgpack.Decoder(list[FromCoordinator])
