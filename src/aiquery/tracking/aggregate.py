"""What the tasks of one Spark execution did, gathered into one run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from aiquery.tracking.record import RunRecord, UsageBreakdown
from aiquery.tracking.run import ErrorSummary, Progress, RunStats, usd

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiquery.tracking.run import State

REMEMBERED = 100
"""Executions whose tasks may still be heard of; of what is heard later a new run is made."""

_SUMS = (
    "rows",
    "requests",
    "cache_hits",
    "failed",
    "attempts",
    "retries",
    "tokens_in",
    "tokens_cached",
    "tokens_out",
)


class RunAggregator:
    """The runs of one application. A task's account is named EXECUTION/ANYTHING.

    An execution that has Spark's number goes on until ``end``: another of its tasks may begin. Any other is over when
    its tasks are.
    """

    def __init__(self, origin: str) -> None:
        """``origin`` names the application."""
        self._origin = origin
        self._executions: dict[str, _Execution] = {}

    def run_of(self, stats: str, started_at: float) -> str:
        """Return the name of the run that a task's account belongs to."""
        return self._execution(stats, started_at).name

    def place_of(self, run: str) -> str:
        """Return where a run is kept: as the tasks of its execution said."""
        return next(
            (one.place for one in self._executions.values() if one.name == run), ""
        )

    def take(self, kept: Iterable[RunRecord], place: str = "") -> list[RunRecord]:
        """Take in how tasks stand, and where they are kept; return the runs that this changes."""
        changed = []
        for one in kept:
            execution = self._execution(one.progress.run, one.progress.started_at)
            execution.place = place
            execution.take(one)
            changed.append(execution)
        return self._kept(changed)

    def lose(self, all_stats: Iterable[str]) -> list[RunRecord]:
        """Take in that the process of these tasks, which run, went away; return the runs that this changes."""
        changed = []
        for stats in all_stats:
            execution = self._executions.get(_key(stats))
            if execution is not None and stats in execution.open:
                execution.lose(stats)
                changed.append(execution)
        return self._kept(changed)

    def unended(self) -> list[str]:
        """Return the executions of which no task runs now, and which nobody ended."""
        return [
            key
            for key, execution in self._executions.items()
            if execution.may_be_over()
        ]

    def end(self, executions: Iterable[str]) -> list[RunRecord]:
        """Take in that these are over; return the runs that this changes."""
        found = [self._executions[key] for key in executions if key in self._executions]
        for execution in found:
            execution.over = True
        return self._kept(found)

    def _kept(self, changed: list[_Execution]) -> list[RunRecord]:
        return [execution.kept(self._origin) for execution in dict.fromkeys(changed)]

    def _execution(self, stats: str, started_at: float) -> _Execution:
        key = _key(stats)
        if key not in self._executions:
            if len(self._executions) == REMEMBERED:
                over = (
                    known
                    for known, execution in self._executions.items()
                    if execution.is_over()
                )
                del self._executions[next(over, next(iter(self._executions)))]
            name = RunStats("spark", None, started_at).name
            self._executions[key] = _Execution(name, over=not key.isdecimal())
        return self._executions[key]


def _key(stats: str) -> str:
    return stats.partition("/")[0]


class _Execution:
    def __init__(self, name: str, *, over: bool) -> None:
        self.name, self.over = name, over
        self.place = ""
        self._lost: dict[str, RunRecord] = {}  # may be heard of again
        self._ended: RunRecord | None = None
        self.open: dict[str, RunRecord] = {}

    def is_over(self) -> bool:
        return self.over and not self.open

    def may_be_over(self) -> bool:
        return (
            not self.over
            and not self.open
            and (bool(self._lost) or self._ended is not None)
        )

    def take(self, kept: RunRecord) -> None:
        task = kept.progress.run
        self._lost.pop(task, None)
        if kept.progress.state == "running":
            self.open[task] = kept
        else:
            self.open.pop(task, None)
            self._ended = kept if self._ended is None else together([self._ended, kept])

    def lose(self, task: str) -> None:
        kept = self.open.pop(task)
        self._lost[task] = msgspec.structs.replace(
            kept, progress=msgspec.structs.replace(kept.progress, state="stopped")
        )

    def kept(self, origin: str) -> RunRecord:
        ended = [] if self._ended is None else [self._ended]
        whole = together(
            [*self._lost.values(), *ended, *self.open.values()]
        )  # another task may have done it again
        goes_on = {} if self.over else {"state": "running", "rows_total": None}
        whole.progress, whole.origin = (
            msgspec.structs.replace(whole.progress, run=self.name, **goes_on),
            origin,
        )
        return whole


def together(parts: list[RunRecord]) -> RunRecord:
    """Return several runs as one: from the first beginning to the last end."""
    all_ = [part.progress for part in parts]
    started = min(p.started_at for p in all_)
    states = [p.state for p in all_]
    state: State = "running" if "running" in states else states[-1]
    totals = [p.rows_total for p in all_ if p.rows_total is not None]
    progress = Progress(
        all_[-1].run, all_[-1].engine, all_[-1].statement, state, started,
        max(p.started_at + p.seconds for p in all_) - started,
        rows_total=sum(totals) if len(totals) == len(all_) and state != "running" else None,
        in_flight=0, cost_usd=usd(p.cost_usd for p in all_),
        **{name: sum(getattr(p, name) for p in all_) for name in _SUMS},
    )  # fmt: skip
    errors = [part.error for part in parts if part.error]
    return RunRecord(
        progress, errors[-1] if errors else None, _parts(parts), _errors(parts)
    )


def _parts(parts: list[RunRecord]) -> list[UsageBreakdown]:
    found: dict[tuple[str, str], UsageBreakdown] = {}
    for part in (one for kept in parts for one in kept.parts):
        known = found.get((part.endpoint, part.function))
        if known is None:
            found[part.endpoint, part.function] = msgspec.structs.replace(
                part, endings=dict(part.endings)
            )
            continue
        for name in (
            "attempts",
            "tokens_in",
            "tokens_cached",
            "tokens_out",
            "truncated",
            "size",
        ):
            setattr(known, name, getattr(known, name) + getattr(part, name))
        known.cost_usd = usd([known.cost_usd, part.cost_usd])
        for ending, count in part.endings.items():
            known.endings[ending] = known.endings.get(ending, 0) + count
    return list(found.values())


def _errors(parts: list[RunRecord]) -> dict[str, ErrorSummary]:
    found: dict[str, ErrorSummary] = {}
    for part in parts:
        for kind, seen in part.errors.items():
            known = found.setdefault(kind, ErrorSummary(example=seen.example))
            known.attempts += seen.attempts
            known.requests += seen.requests
    return found
