"""Statements while they run: who wants to know hears of each, five times a second and once when it has ended."""

from __future__ import annotations

import logging
import os
import queue
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from aiquery.errors import AIQueryError, Cancelled, RowError
from aiquery.tracking.run import RunStats

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aiquery.inference.client import Client
    from aiquery.tracking.run import Progress, State

    Hook = Callable[[Progress], object]

log = logging.getLogger("aiquery")
EVERY_S = 0.2
"""How often hooks are called, in seconds."""

TOLD_S = 5.0
"""How long a statement that has ended waits for its hooks."""


class ActiveRuns:
    """The statements that run in this process, and who wants to know. Hooks are called on one thread, in order."""

    def __init__(self) -> None:
        """Nothing runs."""
        self._hooks: list[Hook] = []
        self._open: list[tuple[Client, RunStats]] = []
        self._last: tuple[Client, RunStats] | None = None
        self._start_anew()

    def _start_anew(self) -> None:
        self._lock = (
            threading.RLock()
        )  # the garbage collector may end an account within
        self._news: queue.SimpleQueue[tuple[Progress, threading.Event] | None] = (
            queue.SimpleQueue()
        )
        self._thread: threading.Thread | None = None

    def begin(
        self,
        client: Client,
        engine: str,
        statement: str | None,
        *,
        open_ended: bool = False,
    ) -> RunStats:
        """Begin to count what a statement does; ``end`` ends it. Hooks do not hear of what is ``open_ended``."""
        stats = RunStats(engine, statement, time.time(), open_ended=open_ended)
        if "opentelemetry.trace" in sys.modules:  # the program uses it
            from aiquery.tracking.opentelemetry import remember

            remember(stats.name)
        client.begin(stats)
        with self._lock:
            self._last = (client, stats)
            self._open.append(self._last)
            if self._hooks:
                self._wake()
        return stats

    def end(self, stats: RunStats, error: BaseException | None = None) -> None:
        """Stop counting, write it down, and tell the hooks how it ended, before this returns."""
        with self._lock:
            found = [pair for pair in self._open if pair[1] is stats]
            self._open = [pair for pair in self._open if pair[1] is not stats]
        stats.end(_state(error), time.time(), None if error is None else _told(error))
        for client, _ in found:
            progress = client.progress(stats)
            client.flush_runs()
            if self._hooks and not (stats.is_idle() or stats.open_ended):
                self._tell_in_turn(progress, wait=not client.is_on_loop)

    def on_progress(self, hook: Hook) -> Callable[[], None]:
        """Call ``hook`` with the ``Progress`` of each running statement, five times a second and once when it ended.

        It is called from another thread. One that raises is logged, and not called again. Returns a function that
        stops it.
        """
        with self._lock:
            self._hooks = [*self._hooks, hook]
        return lambda: self._forget(hook)

    def is_heard(self) -> bool:
        """Say whether anybody wants to know."""
        return bool(self._hooks)

    def last_run(self) -> Progress | None:
        """Return the figures of the statement that this process itself began last; None before the first."""
        return None if self._last is None else self._last[0].progress(self._last[1])

    def forget(self) -> None:
        """In a forked child: the parent's statements are not ours, and its thread does not run here."""
        self._open, self._last = [], None
        self._start_anew()

    def tell(self, progress: Progress) -> None:
        """Tell the hooks how a statement gets on."""
        for hook in self._hooks:
            try:
                hook(progress)
            except Exception:
                log.exception("an on_progress hook failed; it is not called any more")
                self._forget(hook)

    # ---

    def _wake(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._serve, name="aiquery-watch", daemon=True
            )
            self._thread.start()
        self._news.put(None)

    def _tell_in_turn(self, progress: Progress, *, wait: bool) -> None:
        """Tell how a statement ended after all that was told of it while it ran."""
        if (
            threading.current_thread() is self._thread
        ):  # a hook ran a statement of its own
            self.tell(progress)
            return
        told = threading.Event()
        self._news.put((progress, told))
        with self._lock:
            self._wake()
        if wait:
            told.wait(TOLD_S)

    def _serve(self) -> None:
        while True:
            try:
                news = self._news.get(timeout=EVERY_S if self._open else None)
            except queue.Empty:
                self._tell_running()
                continue
            if news is not None:
                progress, told = news
                self.tell(progress)
                told.set()

    def _tell_running(self) -> None:
        for client, stats in list(self._open):
            if stats.is_idle() or stats.open_ended:
                continue
            progress = client.progress(stats)
            if progress.state == "running":
                self.tell(progress)

    def _forget(self, hook: Hook) -> None:
        with self._lock:
            self._hooks = [other for other in self._hooks if other is not hook]


_watch = ActiveRuns()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_watch.forget)
begin, end, on_progress, last_run = (
    _watch.begin,
    _watch.end,
    _watch.on_progress,
    _watch.last_run,
)
is_heard, tell = _watch.is_heard, _watch.tell


@contextmanager
def watched(client: Client, engine: str, statement: str | None) -> Iterator[RunStats]:
    """Count what is done meanwhile as one statement."""
    stats = begin(client, engine, statement)
    try:
        yield stats
    except BaseException as error:
        end(stats, error)
        raise
    end(stats)


def _state(error: BaseException | None) -> State:
    if error is None:
        return "done"
    return (
        "stopped"
        if isinstance(error, KeyboardInterrupt | GeneratorExit | Cancelled)
        else "failed"
    )


def _told(error: BaseException) -> str:
    """Return what may be kept of an error: not what a row or a database said, which may quote a text."""
    quotes = isinstance(error, RowError) or not isinstance(error, AIQueryError)
    return type(error).__name__ if quotes else f"{type(error).__name__}: {error}"
