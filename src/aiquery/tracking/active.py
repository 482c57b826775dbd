"""The runs of this process, and the progress hooks: called every 0.2 s, and once when a run has ended."""

from __future__ import annotations

import atexit
import logging
import os
import queue
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from aiquery.errors import AIQueryError, Cancelled, DatabaseError, RowError
from aiquery.tracking.run import RunStats

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aiquery.tracking.run import Progress, State

    Hook = Callable[[Progress], object]

log = logging.getLogger("aiquery")
HOOK_INTERVAL_S = 0.2

LAST_CALL_S = 5.0
"""How long a run that has ended waits for its hooks, in seconds."""


class RunOwner(Protocol):
    """The client whose requests a run counts."""

    @property
    def is_on_loop(self) -> bool:
        """True on the loop's thread, which must not wait."""

    def begin(self, stats: RunStats) -> None:
        """Count and store a run."""

    def progress(self, stats: RunStats) -> Progress:
        """Return the figures of a run as they are now."""

    def flush_runs(self) -> object:
        """Store all runs soon."""


class ActiveRuns:
    """The runs of this process and the progress hooks, which are called on one thread, in order."""

    def __init__(self) -> None:
        """Start without a run."""
        self.sources: list[Callable[[], Progress | None]] = []
        """Return the last run of other processes that this one drives, e.g. of a Spark application."""
        self._hooks: list[Hook] = []
        self._open: list[tuple[RunOwner, RunStats]] = []
        self._last: tuple[RunOwner, RunStats] | None = None
        self._reset_thread()

    def _reset_thread(self) -> None:
        # Reentrant: the garbage collector may end a run while the lock is held.
        self._lock = threading.RLock()
        self._ended: queue.SimpleQueue[tuple[Progress, threading.Event] | None]
        self._ended = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._is_stopping = False

    def begin(
        self,
        owner: RunOwner,
        engine: str,
        statement: str | None,
        *,
        open_ended: bool = False,
    ) -> RunStats:
        """Begin a run; ``end`` ends it. Hooks are not called for ``open_ended`` runs."""
        stats = RunStats(engine, statement, time.time(), open_ended=open_ended)
        if "opentelemetry.trace" in sys.modules:  # the program uses it
            from aiquery.tracking.opentelemetry import remember_context

            remember_context(stats.run_id)
        owner.begin(stats)
        with self._lock:
            self._last = (owner, stats)
            self._open.append(self._last)
            if self._hooks:
                self._wake()
        return stats

    def end(self, stats: RunStats, error: BaseException | None = None) -> None:
        """End a run, store it soon, and call the hooks a last time before this returns."""
        with self._lock:
            ended = [pair for pair in self._open if pair[1] is stats]
            self._open = [pair for pair in self._open if pair[1] is not stats]
        redacted = None if error is None else redact_error(error)
        stats.end(_state_after(error), time.time(), redacted)
        for owner, _ in ended:
            progress = owner.progress(stats)
            owner.flush_runs()
            if self._hooks and not (stats.is_idle() or stats.open_ended):
                self._call_last(progress, wait=not owner.is_on_loop)

    def on_progress(self, hook: Hook) -> Callable[[], None]:
        """Add a hook, and return a function that removes it: see ``on_progress``."""
        with self._lock:
            self._hooks = [*self._hooks, hook]
        return lambda: self._remove(hook)

    def has_hooks(self) -> bool:
        """Return True if there is a hook."""
        return bool(self._hooks)

    def last_run(self) -> Progress | None:
        """Return the figures of the run that began last: see ``last_run``."""
        runs = [source() for source in self.sources]
        if self._last is not None:
            owner, stats = self._last
            runs.append(owner.progress(stats))
        found = [run for run in runs if run is not None]
        return max(found, key=_started_at, default=None)

    def forget(self) -> None:
        """Drop the parent's runs in a forked child, where the hooks' thread does not run."""
        self._open = []
        self._last = None
        self._reset_thread()

    def call_hooks(self, progress: Progress) -> None:
        """Call the hooks with the figures of a run."""
        for hook in self._hooks:
            try:
                hook(progress)
            except Exception:
                log.exception("an on_progress hook failed; it is removed")
                self._remove(hook)

    # ---

    def _wake(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._serve, name="aiquery-progress", daemon=True
            )
            self._thread.start()
            atexit.register(self._stop)
        self._ended.put(None)

    def _call_last(self, progress: Progress, *, wait: bool) -> None:
        """Call the hooks for a run that has ended, after all its earlier calls."""
        if (
            threading.current_thread() is self._thread
        ):  # a hook ran a statement of its own
            self.call_hooks(progress)
            return
        called = threading.Event()
        self._ended.put((progress, called))
        with self._lock:
            self._wake()
        if wait:
            called.wait(LAST_CALL_S)

    def _serve(self) -> None:
        while True:
            try:
                ended = self._ended.get(timeout=HOOK_INTERVAL_S if self._open else None)
            except queue.Empty:
                self._report_running()
                continue
            if ended is not None:
                progress, called = ended
                self.call_hooks(progress)
                called.set()
            elif self._is_stopping:
                return

    def _stop(self) -> None:
        """End the thread before the interpreter ends: a hook holds the variables of its module."""
        self._hooks = []
        self._is_stopping = True
        if self._thread is not None:
            self._ended.put(None)
            self._thread.join(LAST_CALL_S)

    def _report_running(self) -> None:
        for owner, stats in list(self._open):
            if stats.is_idle() or stats.open_ended:
                continue
            progress = owner.progress(stats)
            if progress.state == "running":
                self.call_hooks(progress)

    def _remove(self, hook: Hook) -> None:
        with self._lock:
            self._hooks = [other for other in self._hooks if other is not hook]


def _started_at(progress: Progress) -> float:
    return progress.started_at


active_runs = ActiveRuns()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=active_runs.forget)
begin = active_runs.begin
end = active_runs.end


def on_progress(hook: Hook) -> Callable[[], None]:
    """Call a function with the ``Progress`` of each run, five times a second and once when it has ended.

    Parameters
    ----------
    hook
        Called from another thread. If it raises, the error is logged and the hook is removed.

    Returns
    -------
    Callable
        Removes the hook.

    Examples
    --------
    >>> import aiquery
    >>> remove = aiquery.on_progress(print)
    >>> remove()
    """
    return active_runs.on_progress(hook)


def last_run() -> Progress | None:
    """Return the figures of the run that began last, finished or not; None before the first.

    It is a run of this process, or of the Spark application that this process drives: there a run is one action of a
    DataFrame. The runs of a Spark Connect session are stored where its server is.
    """
    return active_runs.last_run()


@contextmanager
def track_run(
    owner: RunOwner, engine: str, statement: str | None
) -> Iterator[RunStats]:
    """Count everything in the block as one run."""
    stats = begin(owner, engine, statement)
    try:
        yield stats
    except BaseException as error:
        end(stats, error)
        raise
    end(stats)


def _state_after(error: BaseException | None) -> State:
    if error is None:
        return "done"
    is_stopped = isinstance(error, KeyboardInterrupt | GeneratorExit | Cancelled)
    return "stopped" if is_stopped else "failed"


def redact_error(error: BaseException) -> str:
    """Return an error without texts that a row or a database may have quoted."""
    is_ours = isinstance(error, AIQueryError)
    may_quote = not is_ours or isinstance(error, RowError | DatabaseError)
    name = type(error).__name__
    return name if may_quote else f"{name}: {error}"
