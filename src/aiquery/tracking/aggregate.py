"""Merge the runs of the tasks of one Spark execution into one run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from aiquery.tracking.record import RunRecord, UsageBreakdown
from aiquery.tracking.run import ErrorSummary, Progress, RunStats, sum_usd

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiquery.tracking.run import State

MAX_EXECUTIONS = 100
"""Executions that are remembered; a later report of a forgotten one makes a new run."""

_FIGURES = (
    "rows",
    "requests",
    "cache_hits",
    "failed",
    "attempts",
    "retries",
    "tokens_in",
    "tokens_cached",
    "tokens_out",
    "not_stored",
)
_USAGE_FIGURES = (
    "attempts",
    "tokens_in",
    "tokens_cached",
    "tokens_out",
    "truncated",
    "size",
)


class RunAggregator:
    """The runs of one Spark application. The run id of a task is EXECUTION/ANYTHING.

    An execution with Spark's number lasts until ``end``: another of its tasks may begin. Any other is over when its
    tasks are.
    """

    def __init__(self, application: str) -> None:
        """``application`` is the identifier of the Spark application."""
        self._application = application
        self._executions: dict[str, _Execution] = {}

    def run_of(self, task: str, started_at: float) -> str:
        """Return the id of the run that a task belongs to."""
        return self._execution(task, started_at).run_id

    def history_of(self, run: str) -> str:
        """Return the settings that say where a run is stored, as its tasks reported them."""
        for execution in self._executions.values():
            if execution.run_id == run:
                return execution.history
        return ""

    def add(self, records: Iterable[RunRecord], history: str = "") -> list[RunRecord]:
        """Add how tasks are now, and where they are stored; return the runs that this changes."""
        changed = []
        for record in records:
            progress = record.progress
            execution = self._execution(progress.run, progress.started_at)
            execution.history = history
            execution.add(record)
            changed.append(execution)
        return self._merge(changed)

    def mark_lost(self, tasks: Iterable[str]) -> list[RunRecord]:
        """Record that the process of these tasks ended; return the runs that this changes."""
        changed = []
        for task in tasks:
            execution = self._executions.get(_execution_name(task))
            if execution is not None and task in execution.running:
                execution.mark_lost(task)
                changed.append(execution)
        return self._merge(changed)

    def open_executions(self) -> list[str]:
        """Return the executions that have not ended, of which no task runs now."""
        return [name for name, one in self._executions.items() if one.may_be_over()]

    def end(self, executions: Iterable[str]) -> list[RunRecord]:
        """Record that executions are over; return the runs that this changes."""
        ended = [
            self._executions[name] for name in executions if name in self._executions
        ]
        for execution in ended:
            execution.has_ended = True
        return self._merge(ended)

    def _merge(self, changed: list[_Execution]) -> list[RunRecord]:
        return [
            execution.merge(self._application) for execution in dict.fromkeys(changed)
        ]

    def _execution(self, task: str, started_at: float) -> _Execution:
        name = _execution_name(task)
        if name not in self._executions:
            if len(self._executions) == MAX_EXECUTIONS:
                self._forget_one()
            run_id = RunStats("spark", None, started_at).run_id
            has_number = name.isdecimal()
            self._executions[name] = _Execution(run_id, has_ended=not has_number)
        return self._executions[name]

    def _forget_one(self) -> None:
        """Forget the oldest execution that is over; if none is, the oldest."""
        over = (name for name, one in self._executions.items() if one.is_over())
        oldest = next(iter(self._executions))
        del self._executions[next(over, oldest)]


def _execution_name(task: str) -> str:
    return task.partition("/")[0]


class _Execution:
    """One Spark execution: its tasks that run, that were lost, and the sum of those that ended."""

    def __init__(self, run_id: str, *, has_ended: bool) -> None:
        self.run_id = run_id
        self.has_ended = has_ended
        self.history = ""
        self.running: dict[str, RunRecord] = {}
        self._lost: dict[str, RunRecord] = {}
        self._ended: RunRecord | None = None

    def is_over(self) -> bool:
        return self.has_ended and not self.running

    def may_be_over(self) -> bool:
        if self.has_ended or self.running:
            return False
        return bool(self._lost) or self._ended is not None

    def add(self, record: RunRecord) -> None:
        task = record.progress.run
        self._lost.pop(task, None)  # a task that was lost may report again
        if record.progress.state == "running":
            self.running[task] = record
            return
        self.running.pop(task, None)
        if self._ended is None:
            self._ended = record
        else:
            self._ended = merge_records([self._ended, record])

    def mark_lost(self, task: str) -> None:
        record = self.running.pop(task)
        progress = msgspec.structs.replace(record.progress, state="stopped")
        self._lost[task] = msgspec.structs.replace(record, progress=progress)

    def merge(self, application: str) -> RunRecord:
        ended = [] if self._ended is None else [self._ended]
        # The lost tasks come first: another task may have done their work again.
        merged = merge_records([*self._lost.values(), *ended, *self.running.values()])
        progress = msgspec.structs.replace(merged.progress, run=self.run_id)
        if not self.has_ended:
            progress = msgspec.structs.replace(
                progress, state="running", rows_total=None
            )
        merged.progress = progress
        merged.origin = application
        return merged


def merge_records(records: list[RunRecord]) -> RunRecord:
    """Return several runs as one, from the first start to the last end."""
    all_progress = [record.progress for record in records]
    last = all_progress[-1]
    started_at = min(one.started_at for one in all_progress)
    ended_at = max(one.started_at + one.seconds for one in all_progress)
    is_running = any(one.state == "running" for one in all_progress)
    state: State = "running" if is_running else last.state
    totals = [one.rows_total for one in all_progress if one.rows_total is not None]
    is_total_known = len(totals) == len(all_progress) and not is_running
    figures = {
        name: sum(getattr(one, name) for one in all_progress) for name in _FIGURES
    }
    progress = Progress(
        run=last.run,
        engine=last.engine,
        statement=last.statement,
        state=state,
        started_at=started_at,
        seconds=ended_at - started_at,
        rows_total=sum(totals) if is_total_known else None,
        in_flight=0,
        cost_usd=sum_usd(one.cost_usd for one in all_progress),
        **figures,
    )
    errors = [record.error for record in records if record.error]
    return RunRecord(
        progress=progress,
        error=errors[-1] if errors else None,
        parts=_merge_usage(records),
        errors=_merge_errors(records),
    )


def _merge_usage(records: list[RunRecord]) -> list[UsageBreakdown]:
    merged: dict[tuple[str, str], UsageBreakdown] = {}
    for part in (part for record in records for part in record.parts):
        names = (part.endpoint, part.function)
        if names in merged:
            _add_usage(merged[names], part)
        else:
            merged[names] = msgspec.structs.replace(part, endings=dict(part.endings))
    return list(merged.values())


def _add_usage(total: UsageBreakdown, part: UsageBreakdown) -> None:
    for name in _USAGE_FIGURES:
        setattr(total, name, getattr(total, name) + getattr(part, name))
    total.cost_usd = sum_usd([total.cost_usd, part.cost_usd])
    for ending, count in part.endings.items():
        total.endings[ending] = total.endings.get(ending, 0) + count


def _merge_errors(records: list[RunRecord]) -> dict[str, ErrorSummary]:
    merged: dict[str, ErrorSummary] = {}
    for record in records:
        for kind, summary in record.errors.items():
            total = merged.setdefault(kind, ErrorSummary(example=summary.example))
            total.attempts += summary.attempts
            total.requests += summary.requests
    return merged
