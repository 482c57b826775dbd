"""The loop of an update: read rows, evaluate several slices concurrently, commit in order."""

from __future__ import annotations

import functools
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from aiquery.updates.assignments import FAILED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    from aiquery.updates.result import UpdateResult

AHEAD = 3
"""Slices that are evaluated concurrently: while one waits for its slowest reply, the next ones are in flight."""


class CommitPolicy(NamedTuple):
    """Commit after this many rows or seconds, whichever comes first."""

    rows: int
    seconds: float


class UpdateTarget(Protocol):
    """A table whose rows are updated in slices."""

    def read_pending(self) -> Iterator[pa.Table]:
        """Yield the rows that need an answer in slices: the key, and the columns that the expressions read."""

    def answer(self, rows: pa.Table) -> pa.Table:
        """Return keys, new values, and a column of failed rows of a slice. Several threads call it concurrently."""

    def commit(self, answers: pa.Table) -> dict[str, int]:
        """Write in one transaction; return the table's messages about rejected rows, and the numbers of these."""

    def cancel(self) -> None:
        """End all calls of ``answer`` at once."""

    def stopped(self) -> str | None:
        """Return the limit of the budget that was reached; None if none was."""

    def count_left(self) -> int:
        """Count the rows that still need an answer."""

    def close(self) -> None:
        """Close the connections of the target."""


def run_update(
    target: UpdateTarget, columns: list[str], result: UpdateResult, policy: CommitPolicy
) -> None:
    """Answer and commit all pending rows; ``columns`` are those that are set.

    After an error, or Ctrl-C, answers so far are committed before the error is raised.
    """
    committer = _Committer(target, columns, result, policy)
    with ThreadPoolExecutor(AHEAD) as pool:
        try:
            for answers in _answer_slices(target, pool):
                committer.add(answers)
        finally:
            committer.commit()


def _answer_slices(
    target: UpdateTarget, pool: ThreadPoolExecutor
) -> Iterator[pa.Table]:
    """Yield the answers of each slice, in order; read no more rows once the budget is reached."""
    in_flight: deque[Future[pa.Table]] = deque()
    try:
        for rows in target.read_pending():
            in_flight.append(pool.submit(target.answer, rows))
            if len(in_flight) >= AHEAD:
                yield _take_oldest(in_flight)
            if target.stopped() is not None:
                break
        while in_flight:
            yield _take_oldest(in_flight)
    finally:
        if in_flight:
            for future in in_flight:
                future.cancel()
            target.cancel()


def _take_oldest(in_flight: deque[Future[pa.Table]]) -> pa.Table:
    """Return the answers of the oldest slice. It stays in flight during the wait, so that Ctrl-C cancels it too."""
    answers = in_flight[0].result()
    in_flight.popleft()
    return answers


@dataclass
class _Committer:
    """Answers that wait to be committed together."""

    target: UpdateTarget
    columns: list[str]
    result: UpdateResult
    policy: CommitPolicy
    _tables: list[pa.Table] = field(default_factory=list)
    _rows: int = 0
    _since: float = field(default_factory=time.monotonic)

    def add(self, answers: pa.Table) -> None:
        has_failed = pc.fill_null(answers[FAILED], fill_value=True)
        answered = answers.filter(pc.invert(has_failed)).drop_columns([FAILED])
        self.result.failed += len(answers) - len(answered)
        if self.target.stopped() is not None:
            # NULL may be a row beyond the budget: the next update requests these rows.
            answered = answered.filter(pc.invert(_has_null(answered, self.columns)))
        self._tables.append(answered)
        self._rows += len(answered)
        elapsed_s = time.monotonic() - self._since
        if self._rows >= self.policy.rows or elapsed_s >= self.policy.seconds:
            self.commit()

    def commit(self) -> None:
        tables = self._tables
        self._tables = []
        self._rows = 0
        self._since = time.monotonic()
        if not any(len(table) for table in tables):
            return
        answers = pa.concat_tables(tables)
        rejected = self.target.commit(answers)
        self.result.count_rejected(rejected)
        self.result.commits += 1
        self.result.updated += len(answers) - sum(rejected.values())


def _has_null(answers: pa.Table, columns: list[str]) -> pa.ChunkedArray:
    masks = [pc.is_null(answers[name]) for name in columns]
    return functools.reduce(pc.or_, masks)
