"""The session of one DuckDB connection, and the calls that its statements bound.

DuckDB folds a Python function of constants when it plans a statement. That is where a call is bound: ``bind`` returns a
handle, a constant of the plan, with which the function that runs per chunk finds the call. The mode of a statement
(run, prefetch, plan) travels in its handles, so another statement on another cursor cannot be confused with it.
"""

from __future__ import annotations

import itertools
import os
import threading
import time
import weakref
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Literal

import duckdb
import msgspec

from aiquery import clients, evaluate, registry
from aiquery.engines.duckdb.interrupt import plain_waits
from aiquery.engines.duckdb.syntax import UNASKED
from aiquery.errors import AIQueryError, ArgumentError, copy_error
from aiquery.inference.query_context import POLL_S, QueryContext
from aiquery.sql.redact import redact_statement
from aiquery.tracking import active

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from aiquery.config.settings import Config
    from aiquery.estimate import RequestCounter
    from aiquery.inference.client import Client
    from aiquery.interfaces import BoundCall
    from aiquery.tracking.run import RowCounter, RunStats

MAX_WAITING_BYTES = 64 * 1024 * 1024
"""Requests that a prefetch pass may have waiting, in bytes; above it the pass waits for the endpoint."""

LABELS = "labels"
LABELS_ARE_JSON = "labels are JSON"
"""A constant that may be a list or the text of a JSON document, and the flag that it is of DuckDB's type JSON."""

MAX_ERRORS = 100
"""Errors of a statement that are remembered: DuckDB may end the statement with any of them."""


class Mode(Enum):
    """What a statement does with its calls."""

    RUN = "run"
    """Send the requests and wait for the answers."""
    PREFETCH = "prefetch"
    """Send the requests without waiting; every answer is NULL for now."""
    WAVE = "wave"
    """Send the requests and wait, as for the statement's own rows; a failed row is NULL for now."""
    COUNT = "count"
    """Send nothing, count the requests; every answer is NULL."""
    PLAN = "plan"
    """Send nothing: EXPLAIN, PREPARE."""
    NULL = "null"
    """Send nothing, every answer is NULL: a call that depends on another answer, during a prefetch pass."""


class PlanningError(AIQueryError):
    """Raised by a call of a statement that is only planned; DuckDB then leaves the call unfolded."""


@dataclass(kw_only=True, eq=False)
class Statement:
    """One statement of ``Connection.sql``: its context, its current mode, and its errors by message.

    text, dialect   what the user wrote
    is_prefetched   every request of it was submitted by the prefetch pass
    failed          the errors of rows during a wave; None outside of one
    """

    context: QueryContext
    number: int
    text: str = ""
    dialect: Literal["duckdb", "databricks"] = "duckdb"
    mode: Mode = Mode.RUN
    is_prefetched: bool = False
    failed: list[AIQueryError] | None = None
    counter: RequestCounter | None = None
    errors: dict[str, AIQueryError] = field(default_factory=dict)
    interrupted: bool = False

    def find_error(self, text: str) -> AIQueryError | None:
        """Return the error that DuckDB's text contains; not one that TRY caught, or of a branch that was not taken."""
        for message, error in self.errors.items():
            if message in text:
                return error
        return None

    def is_ended_by(self, error: duckdb.Error) -> bool:
        """Return True for an error of ours, and for an interrupt; any other is DuckDB's own about a query."""
        text = str(error)
        is_stopped = (
            self.interrupted
            or isinstance(error, duckdb.InterruptException)
            or "KeyboardInterrupt" in text
        )
        return is_stopped or self.find_error(text) is not None


@dataclass(kw_only=True, frozen=True, eq=False)
class StatementCall:
    """A call as one statement bound it."""

    call: BoundCall
    context: QueryContext
    mode: Mode
    statement: Statement | None
    digest: str

    def row_counter(self) -> RowCounter | None:
        """Return the counter of the call's rows; None in a wave, and if the prefetch pass counted them."""
        stats = self.context.stats
        in_wave = self.statement is not None and self.statement.failed is not None
        if stats is None or in_wave:
            return None
        is_prefetched = self.statement is not None and self.statement.is_prefetched
        if self.mode is Mode.RUN and is_prefetched and self.call.template.cacheable:
            return None
        return stats.row_counter(self.digest)


class Session:
    """One connection or cursor: its configuration, its client, and its bound calls by handle.

    ``parent_run`` is the run that its statements are counted for, if they are parts of a larger one.
    """

    def __init__(self, config: Config) -> None:
        """Join the client that connections of this configuration share."""
        self.config = config
        self.token = f"s{next(_numbers)}"
        self.calls: dict[str, StatementCall] = {}
        self.parent_run: RunStats | None = None
        self._shared = clients.SharedClient.join(config)
        self._local = threading.local()
        self._active: Statement | None = None
        self._open_ended_run: RunStats | None = None
        self._lock = threading.Lock()
        _sessions[self.token] = self

    @property
    def client(self) -> Client:
        """The client of this configuration in this process; a forked child has its own."""
        if self._shared.pid != os.getpid():
            self._shared = clients.SharedClient.join(self.config)
        return self._shared.client

    @property
    def statement(self) -> Statement | None:
        """The statement that this thread executes; None outside of ``Connection.sql``."""
        return getattr(self._local, "statement", None)

    @contextmanager
    def executing(
        self,
        context: QueryContext,
        text: str = "",
        dialect: Literal["duckdb", "databricks"] = "duckdb",
    ) -> Iterator[Statement]:
        """Execute one statement in this thread: the calls that are bound in the block belong to it."""
        number = next(_numbers)
        statement = Statement(
            context=context, number=number, text=text, dialect=dialect
        )
        self._local.statement = statement
        self._active = statement
        try:
            yield statement
        except BaseException as error:
            self._end(statement, error)
            raise
        else:
            if (
                statement.is_prefetched
            ):  # the statement may have ended before it needed all answers
                self.client.cancel(context)
            self._end(statement, None)
        finally:
            self._local.statement = None
            self._active = None
            self._forget_calls(statement)

    def _forget_calls(self, statement: Statement) -> None:
        """Forget the calls of a statement that has ended; a prepared one is executed later."""
        for handle, bound in list(self.calls.items()):
            if bound.statement is statement and bound.mode is not Mode.PLAN:
                del self.calls[handle]

    def bind(self, function: str, constants: str) -> str:
        """Bind a call and return its handle; equal calls of one statement share one."""
        statement = self.statement
        if statement is None:
            plain_waits.watch_signals(self)
        number = 0 if statement is None else statement.number
        mode = Mode.RUN if statement is None else statement.mode
        if function.endswith(UNASKED):
            mode = Mode.NULL
        digest = blake2b(f"{function} {constants}".encode(), digest_size=8).hexdigest()
        handle = f"{self.token}/{number}/{mode.value}/{digest}"
        if statement is None or handle not in self.calls:
            self.calls[handle] = self._bind(
                function, constants, statement, mode, digest
            )
        return handle

    def _bind(
        self,
        function: str,
        constants: str,
        statement: Statement | None,
        mode: Mode,
        digest: str,
    ) -> StatementCall:
        call = self.bind_constants(function, constants)
        # A plain statement is bound again each time it runs: its failed requests are sent again.
        context = QueryContext() if statement is None else statement.context
        if mode in {Mode.RUN, Mode.PREFETCH, Mode.WAVE}:
            self.track(context, statement)
        return StatementCall(
            call=call, context=context, mode=mode, statement=statement, digest=digest
        )

    def track(self, context: QueryContext, statement: Statement | None) -> RunStats:
        """Give a context that is about to send requests its run, and return it."""
        with self._lock:  # DuckDB executes a prepared statement on several threads
            if context.stats is None:
                context.stats = self.parent_run or self._begin_run(statement)
            return context.stats

    def _begin_run(self, statement: Statement | None) -> RunStats:
        if statement is not None:
            text = redact_statement(statement.text, self.config, statement.dialect)
            return active.begin(self.client, "duckdb", text)
        if self._open_ended_run is None:
            self._open_ended_run = active.begin(
                self.client, "duckdb", None, open_ended=True
            )
        return self._open_ended_run

    def _end(self, statement: Statement, error: BaseException | None) -> None:
        stats = statement.context.stats
        if stats is not None and stats is not self.parent_run:
            active.end(stats, error)

    def bind_constants(self, function: str, constants: str) -> BoundCall:
        """Bind the constants and check the endpoint. Raises every error that is possible before a request.

        DuckDB calls it twice for each call of a statement and pass: for the handle, and for the type of the column.
        """
        arguments = msgspec.json.decode(constants)
        is_json = arguments.pop(LABELS_ARE_JSON, False)
        if is_json and arguments[LABELS] is not None:
            arguments[LABELS] = msgspec.json.encode(arguments[LABELS]).decode()
        try:
            call = registry.functions()[function.removesuffix(UNASKED)].bind(
                arguments, self.config
            )
            clients.check_call(call, self.config)
        except AIQueryError as error:
            self.remember_error(error)
            raise
        return call

    def remember_error(
        self, error: AIQueryError, statement: Statement | None = None
    ) -> None:
        """Remember an error of ours: DuckDB passes on only its text."""
        statement = statement or self.statement or self._active
        if statement is None:
            return
        statement.errors.pop(str(error), None)
        statement.errors[str(error)] = copy_error(error)
        if len(statement.errors) > MAX_ERRORS:
            del statement.errors[next(iter(statement.errors))]

    def evaluate(
        self, bound: StatementCall, columns: list[pa.Array]
    ) -> pa.Array | None:
        """Return the JSON texts of one chunk; None if every value is NULL for now."""
        if bound.mode is Mode.PLAN:
            bound = self._execute_prepared(bound)
        if bound.mode is Mode.NULL:
            return None
        if bound.mode is Mode.COUNT:
            if bound.statement is not None and bound.statement.counter is not None:
                bound.statement.counter.add(bound.call, columns)
            return None
        if bound.mode is Mode.PREFETCH and not bound.call.template.cacheable:
            return None
        batch = evaluate.submit_batch(
            bound.call,
            columns,
            self.client,
            bound.context,
            keep=bound.mode is not Mode.PREFETCH,
            row_counter=bound.row_counter(),
        )
        if bound.mode is Mode.PREFETCH:
            self._limit_waiting(bound.context)
            return None
        if bound.statement is not None:
            return batch.column(to_json_texts, failed=bound.statement.failed)
        with plain_waits.wait():
            return batch.column(to_json_texts)

    def _execute_prepared(self, bound: StatementCall) -> StatementCall:
        """Return the call of a prepared statement that is executed: its plan holds the handle of the PREPARE."""
        executed = self._active
        if executed is bound.statement:
            raise PlanningError("a statement that is only planned sends no request.")
        context = QueryContext() if executed is None else executed.context
        self.track(context, executed)
        return StatementCall(
            call=bound.call,
            context=context,
            mode=Mode.RUN,
            statement=executed,
            digest=bound.digest,
        )

    def _limit_waiting(self, context: QueryContext) -> None:
        """Wait while too many requests wait for the endpoint."""
        while self.client.waiting_bytes > MAX_WAITING_BYTES:
            context.check()
            if context.stopped_by is not None:
                return
            time.sleep(POLL_S / 10)

    def interrupt(self) -> None:
        """Cancel the requests that this connection's statements wait for."""
        for bound in list(self.calls.values()):
            if bound.statement is not None:
                bound.statement.interrupted = True
            self.client.cancel(bound.context)

    def close(self) -> None:
        """Leave the shared client; a second call does nothing."""
        if _sessions.pop(self.token, None) is not None:
            if self._open_ended_run is not None:
                active.end(self._open_ended_run)
            self._shared.leave()


_numbers = itertools.count(1)
_sessions: weakref.WeakValueDictionary[str, Session] = weakref.WeakValueDictionary()


def find_session(token: str) -> Session:
    """Return the session of a token or handle. Raises ``ArgumentError`` if it was closed."""
    session = _sessions.get(token.partition("/")[0])
    if session is None:
        raise ArgumentError(
            "this connection's functions were unregistered; call aiquery.register(con) again."
        )
    return session


def to_json_texts(values: Any, _sql_type: object) -> Any:
    """Return each value as JSON text; ``from_json`` in the macro makes a value of the column's type of it.

    Built from buffers: ``pa.array`` of a list imports pandas if it is installed, which takes seconds.
    """
    import numpy as np
    import pyarrow as pa

    if isinstance(values, pa.Array):
        texts = _vectors_to_json(values)
    else:
        texts = [msgspec.json.encode(value) for value in values]
    offsets = np.zeros(len(texts) + 1, np.int32)
    np.cumsum([len(text) for text in texts], out=offsets[1:])
    data = pa.py_buffer(b"".join(texts))
    return pa.StringArray.from_buffers(len(texts), pa.py_buffer(offsets), data)


def _vectors_to_json(vectors: pa.Array) -> list[bytes]:
    """Return lists of floats as JSON texts. No float becomes a Python object, and none gets more digits than it has."""
    import orjson

    floats = vectors.values.to_numpy()
    ends = vectors.offsets.to_numpy()
    texts = []
    for i, is_valid in enumerate(vectors.is_valid().to_pylist()):
        if is_valid:
            vector = floats[ends[i] : ends[i + 1]]
            texts.append(orjson.dumps(vector, option=orjson.OPT_SERIALIZE_NUMPY))
        else:
            texts.append(b"null")
    return texts
