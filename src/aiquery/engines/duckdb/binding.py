"""Session: what one DuckDB connection knows of us, and the calls that its statements bound.

DuckDB folds a Python function of constants when it plans a statement. That is where a call is bound: ``bind`` returns a
handle, a constant of the plan, which the function that runs per chunk looks up here. So the mode of a statement (run,
collect, plan) travels with its plan, and another statement on another cursor is never confused with it.
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
from typing import TYPE_CHECKING, Any

import msgspec

from aiquery import clients, evaluate, registry
from aiquery.engines.duckdb.interrupt import watch_interrupts
from aiquery.engines.duckdb.syntax import UNASKED
from aiquery.errors import AIQueryError, ArgumentError
from aiquery.inference.query_context import POLL_S, QueryContext
from aiquery.sql.redact import redact_statement
from aiquery.tracking import active as watch

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from aiquery.config.settings import Config
    from aiquery.estimate import Counting
    from aiquery.inference.client import Client
    from aiquery.interfaces import BoundCall
    from aiquery.tracking.run import RowCounter, RunStats

AHEAD_BYTES = 64 * 1024 * 1024
"""How many bytes of requests a collect pass may have waiting before it lets the endpoint catch up."""

LABELS, LABELS_ARE_JSON = "labels", "labels are JSON"
"""A constant that may be a list or the text of a JSON document, and what says that it is of DuckDB's type JSON."""

REMEMBERED = 100
"""Errors of a statement of which the last ones are kept: one of them may be what DuckDB ends it with."""


class Mode(Enum):
    """What a statement does with its calls."""

    RUN = "run"
    """Ask, wait, answer."""
    COLLECT = "collect"
    """Ask without waiting; every answer is NULL for now."""
    COUNT = "count"
    """Ask nothing, count what would be asked; every answer is NULL."""
    PLAN = "plan"
    """Ask nothing: EXPLAIN, PREPARE."""
    UNASKED = "unasked"
    """Ask nothing, every answer is NULL: a call that depends on another answer, while requests are collected."""


class Planning(AIQueryError):
    """Raised instead of asking while a statement is only planned; DuckDB then leaves the call unfolded."""


@dataclass(eq=False)
class Statement:
    """One statement of ``Connection.sql``: its scope, its mode now, and what went wrong inside it, by its message.

    ``text`` is what the user wrote; ``collected`` says whether all that it asks was handed in.
    """

    context: QueryContext
    number: int
    text: str = ""
    mode: Mode = Mode.RUN
    collected: bool = False
    counting: Counting | None = None
    errors: dict[str, AIQueryError] = field(default_factory=dict)
    interrupted: bool = False

    def error_in(self, text: str) -> AIQueryError | None:
        """Return the error of ours that DuckDB tells of: not one that TRY took, or of a branch that was not taken."""
        return next(
            (error for message, error in self.errors.items() if message in text), None
        )


@dataclass(frozen=True, eq=False)
class BoundColumn:
    """A call as one statement bound it."""

    call: BoundCall
    context: QueryContext
    mode: Mode
    statement: Statement | None
    digest: str


@dataclass(eq=False)
class Session:
    """One connection (or cursor): configuration, run, and bound calls by handle.

    ``within`` is what its statements are counted for, where they are parts of something larger.
    """

    config: Config
    token: str = ""
    bound: dict[str, BoundColumn] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Join the run that this configuration shares, and be found by token."""
        self._shared = clients.SharedClient.join(self.config)
        self.token = f"s{next(_numbers)}"
        self._local = threading.local()
        self._active: Statement | None = None
        self._stats: RunStats | None = None
        self._counting = threading.Lock()
        self.within: RunStats | None = None
        _sessions[self.token] = self

    @property
    def client(self) -> Client:
        """The run of this configuration in this process; a forked child has its own."""
        if self._shared.pid != os.getpid():
            self._shared = clients.SharedClient.join(self.config)
        return self._shared.client

    @property
    def statement(self) -> Statement | None:
        """The statement that this thread is executing, None outside ``Connection.sql``."""
        return getattr(self._local, "statement", None)

    @contextmanager
    def executing(self, context: QueryContext, text: str = "") -> Iterator[Statement]:
        """Bind what is bound meanwhile, in this thread, in the name of one statement."""
        statement = Statement(context, next(_numbers), text)
        self._local.statement = self._active = statement
        try:
            yield statement
        except BaseException as error:
            self._end(statement, error)
            raise
        else:
            self._end(statement, None)
        finally:
            self._local.statement = self._active = None
            done = [
                h
                for h, b in self.bound.items()
                if b.statement is statement and b.mode is not Mode.PLAN
            ]
            for handle in done:
                del self.bound[handle]

    def bind(self, function: str, constants: str) -> str:
        """Bind a call and return its handle; equal calls of one statement share one."""
        watch_interrupts(self)
        statement = self.statement
        unasked = function.endswith(UNASKED)
        digest = blake2b(f"{function} {constants}".encode(), digest_size=8).hexdigest()
        number, mode = (
            (statement.number, statement.mode) if statement else (0, Mode.RUN)
        )
        mode = Mode.UNASKED if unasked else mode
        handle = f"{self.token}/{number}/{mode.value}/{digest}"
        if statement is None or handle not in self.bound:
            call = self.check(function, constants)
            # A plain statement binds anew each time it runs: what failed in the last one is asked again in this one.
            context = statement.context if statement else QueryContext()
            if mode in {Mode.RUN, Mode.COLLECT}:
                self._count(context, statement)
            self.bound[handle] = BoundColumn(call, context, mode, statement, digest)
        return handle

    def _count(self, context: QueryContext, statement: Statement | None) -> None:
        """Let a scope that is about to ask have an account: its statement's, or the one of all that are not ours."""
        with self._counting:  # DuckDB runs a prepared statement on several threads
            if context.stats is None:
                context.stats = self.within or self._begin(statement)

    def _begin(self, statement: Statement | None) -> RunStats:
        if statement is not None:
            return watch.begin(
                self.client, "duckdb", redact_statement(statement.text, self.config)
            )
        if self._stats is None:
            self._stats = watch.begin(self.client, "duckdb", None, open_ended=True)
        return self._stats

    def _end(self, statement: Statement, error: BaseException | None) -> None:
        stats = statement.context.stats
        if stats is not None and stats is not self.within:
            watch.end(stats, error)

    def check(self, function: str, constants: str) -> BoundCall:
        """Bind the constants and check the endpoint; every error is raised before any call is made."""
        arguments = msgspec.json.decode(constants)
        if arguments.pop(LABELS_ARE_JSON, False) and arguments[LABELS] is not None:
            arguments[LABELS] = msgspec.json.encode(arguments[LABELS]).decode()
        try:
            call = registry.functions()[function.removesuffix(UNASKED)].bind(
                arguments, self.config
            )
            clients.check_call(call, self.config)
        except AIQueryError as error:
            self.fail(error)
            raise
        return call

    def fail(self, error: AIQueryError, statement: Statement | None = None) -> None:
        """Remember our own error: DuckDB hands on only its text."""
        statement = statement or self.statement or self._active
        if statement is None:
            return
        statement.errors.pop(str(error), None)
        statement.errors[str(error)] = error
        if len(statement.errors) > REMEMBERED:
            del statement.errors[next(iter(statement.errors))]

    def evaluate(self, bound: BoundColumn, columns: list[pa.Array]) -> pa.Array | None:
        """Return the JSON texts of one chunk, or None where nothing is waited for."""
        if bound.mode is Mode.PLAN:
            bound = self._executed(bound)
        if bound.mode is Mode.UNASKED:
            return None
        if bound.mode is Mode.COUNT:
            if bound.statement is not None and bound.statement.counting is not None:
                bound.statement.counting.add(bound.call, columns)
            return None
        if bound.mode is Mode.COLLECT and not bound.call.template.cacheable:
            return None
        row_counter = _row_counter(bound)
        asked = evaluate.submit_batch(
            bound.call,
            columns,
            self.client,
            bound.context,
            keep=bound.mode is Mode.RUN,
            row_counter=row_counter,
        )
        if bound.mode is Mode.COLLECT:
            self._let_catch_up(bound.context)
            return None
        return asked.column(json_texts)

    def _executed(self, bound: BoundColumn) -> BoundColumn:
        """Return what runs when a prepared statement is executed, whose plan holds the handle of its PREPARE."""
        active = self._active
        if active is bound.statement:
            raise Planning("a statement that is only planned asks nothing.")
        context = active.context if active else QueryContext()
        self._count(context, active)
        return BoundColumn(bound.call, context, Mode.RUN, active, bound.digest)

    def _let_catch_up(self, context: QueryContext) -> None:
        while self.client.waiting_bytes > AHEAD_BYTES:
            context.check()
            if context.stopped_by is not None:
                return
            time.sleep(POLL_S / 10)

    def interrupt(self) -> None:
        """Cancel what this connection's statements wait for."""
        for bound in list(self.bound.values()):
            if bound.statement is not None:
                bound.statement.interrupted = True
            self.client.cancel(bound.context)

    def close(self) -> None:
        """Leave the shared run; once, however often it is called."""
        if _sessions.pop(self.token, None) is not None:
            if self._stats is not None:
                watch.end(self._stats)
            self._shared.leave()


def _row_counter(bound: BoundColumn) -> RowCounter | None:
    """Return where the rows of a chunk are counted; none where the collect pass counted them."""
    if bound.context.stats is None or (
        bound.mode is Mode.RUN
        and bound.statement is not None
        and bound.statement.collected
        and bound.call.template.cacheable
    ):
        return None
    return bound.context.stats.row_counter(bound.digest)


_numbers = itertools.count(1)
_sessions: weakref.WeakValueDictionary[str, Session] = weakref.WeakValueDictionary()


def session(token: str) -> Session:
    """Return the session behind a token or handle."""
    found = _sessions.get(token.partition("/")[0])
    if found is None:
        raise ArgumentError(
            "this connection's functions were unregistered; call aiquery.register(con) again."
        )
    return found


def json_texts(values: Any, _kind: object) -> Any:
    """Return each value as JSON text; ``from_json`` in the macro turns it into a value of the column's type.

    Built from buffers: ``pa.array`` of a list imports pandas wherever it is installed, which takes seconds.
    """
    import numpy as np
    import pyarrow as pa

    texts = (
        _vector_texts(values)
        if isinstance(values, pa.Array)
        else [msgspec.json.encode(value) for value in values]
    )
    offsets = np.zeros(len(texts) + 1, np.int32)
    np.cumsum([len(text) for text in texts], out=offsets[1:])
    return pa.StringArray.from_buffers(
        len(texts), pa.py_buffer(offsets), pa.py_buffer(b"".join(texts))
    )


def _vector_texts(vectors: pa.Array) -> list[bytes]:
    """Return lists of floats as JSON texts; no float becomes a Python object, and none gets more digits than it has."""
    import orjson

    floats, ends = vectors.values.to_numpy(), vectors.offsets.to_numpy()
    known = vectors.is_valid().to_pylist()
    option = orjson.OPT_SERIALIZE_NUMPY
    return [
        orjson.dumps(floats[ends[i] : ends[i + 1]], option=option) if valid else b"null"
        for i, valid in enumerate(known)
    ]
