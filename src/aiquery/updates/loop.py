"""The loop of an update: read rows, ask about several slices at once, commit in order."""

from __future__ import annotations

import functools
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from aiquery.updates.assignments import FAILED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    from aiquery.updates.result import UpdateResult

AHEAD = 3
"""Slices that are asked about at once: while the slowest reply of one is waited for, the next are on their way."""


class UpdateTarget(Protocol):
    """A table whose rows are asked about in slices."""

    def pending(self) -> Iterator[pa.Table]:
        """Yield the rows that need an answer, a slice at a time: the key, and what the expressions read."""

    def answer(self, rows: pa.Table) -> pa.Table:
        """Ask about a slice and return keys, new values, and which rows failed; called from several threads at once."""

    def commit(self, answers: pa.Table) -> dict[str, int]:
        """Write in one transaction; return what the table said of rows that it refused, and of how many."""

    def cancel(self) -> None:
        """Let whoever is in ``answer`` end at once."""

    def stopped(self) -> str | None:
        """Name the limit of the budget that was reached, if any."""


def run(
    rows: UpdateTarget,
    columns: list[str],
    report: UpdateResult,
    every: int,
    seconds: float,
) -> None:
    """Ask about all pending rows, and commit after ``every`` rows or ``seconds``, whichever comes first.

    ``columns`` are those that are set.

    What was answered when something fails, or when Ctrl-C is pressed, is committed before the error goes on.
    """
    gathered = _Gathered(rows, columns, report, every, seconds)
    with ThreadPoolExecutor(AHEAD) as pool:
        try:
            for answers in _answered(rows, pool):
                gathered.add(answers)
        finally:
            gathered.commit()


def _answered(rows: UpdateTarget, pool: ThreadPoolExecutor) -> Iterator[pa.Table]:
    """Yield the answers of each slice, in order; stop reading once the budget is reached."""
    flying: deque[Future[pa.Table]] = deque()
    try:
        for batch in rows.pending():
            flying.append(pool.submit(rows.answer, batch))
            if len(flying) >= AHEAD:
                yield flying.popleft().result()
            if rows.stopped() is not None:
                break
        while flying:
            yield flying.popleft().result()
    finally:
        if flying:
            for future in flying:
                future.cancel()
            rows.cancel()


class _Gathered:
    """Answers that wait to be committed together."""

    def __init__(
        self,
        rows: UpdateTarget,
        columns: list[str],
        report: UpdateResult,
        every: int,
        seconds: float,
    ) -> None:
        self._rows = rows
        self._columns = columns
        self._report = report
        self._every = every
        self._seconds = seconds
        self._tables: list[pa.Table] = []
        self._since = time.monotonic()

    def add(self, answers: pa.Table) -> None:
        answered = answers.filter(
            pc.invert(pc.fill_null(answers[FAILED], fill_value=True))
        ).drop_columns([FAILED])
        self._report.failed += len(answers) - len(answered)
        if (
            self._rows.stopped() is not None
        ):  # NULL may stand for what was not asked: the next run does these rows
            answered = answered.filter(pc.invert(_any_null(answered, self._columns)))
        self._tables.append(answered)
        if (
            sum(map(len, self._tables)) >= self._every
            or time.monotonic() - self._since >= self._seconds
        ):
            self.commit()

    def commit(self) -> None:
        tables, self._tables, self._since = self._tables, [], time.monotonic()
        answers = pa.concat_tables(tables) if tables else None
        if answers is not None and len(answers):
            refused = self._rows.commit(answers)
            self._report.refuse(refused)
            self._report.commits += 1
            self._report.updated += len(answers) - sum(refused.values())


def _any_null(answers: pa.Table, columns: list[str]) -> pa.ChunkedArray:
    masks = [pc.is_null(answers[name]) for name in columns]
    return functools.reduce(pc.or_, masks)
