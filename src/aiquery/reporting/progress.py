"""Progress where somebody looks: one line per running statement in a terminal, one output in a notebook, or a log."""

from __future__ import annotations

import functools
import logging
import sys
import time
from typing import TYPE_CHECKING, Any, Literal, Protocol

from aiquery.errors import ArgumentError
from aiquery.tracking import active

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiquery.tracking.run import Progress

Where = Literal["terminal", "notebook", "log"]
log = logging.getLogger("aiquery")
AFTER_S = 1.0
"""A statement that took less is not worth a line."""

LOG_EVERY_S = 30.0


class Line(Protocol):
    """Where a statement's figures are shown while it runs."""

    def show(self, text: str) -> None:
        """Replace what is shown."""

    def end(self, text: str) -> None:
        """Show how it ended."""


class ProgressDisplay:
    """An ``on_progress`` hook: a line for each statement that takes long enough."""

    def __init__(self, make: Callable[[], Line]) -> None:
        """``make`` makes the line of one statement."""
        self._make = make
        self._lines: dict[str, Line] = {}

    def __call__(self, progress: Progress) -> None:
        """Show the figures of a statement."""
        if progress.state == "running":
            if progress.seconds >= AFTER_S:
                line = self._lines.get(progress.run) or self._lines.setdefault(
                    progress.run, self._make()
                )
                line.show(str(progress))
        elif progress.run in self._lines:
            self._lines.pop(progress.run).end(str(progress))


@functools.cache
def _terminal() -> Any:
    """Return the lines on standard error, one per statement."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn

    text = TextColumn("{task.description}", markup=False)
    return Progress(
        SpinnerColumn(),
        text,
        console=Console(stderr=True),
        transient=True,
        auto_refresh=False,
    )


class TerminalLine:
    """On standard error, with a spinner; nothing remains."""

    def __init__(self) -> None:
        """Start to spin."""
        self._lines = _terminal()
        self._line = self._lines.add_task("")
        self._lines.start()

    def show(self, text: str) -> None:
        """See ``Line``."""
        self._lines.update(self._line, description=text, refresh=True)

    def end(self, text: str) -> None:
        """See ``Line``."""
        del text
        self._lines.remove_task(self._line)
        if not self._lines.tasks:
            self._lines.stop()


class NotebookLine:
    """One output of the cell, which is replaced."""

    def __init__(self) -> None:
        """Take a place below the cell."""
        from IPython.display import display

        self._handle: Any = display({"text/plain": ""}, raw=True, display_id=True)

    def show(self, text: str) -> None:
        """See ``Line``."""
        self._handle.update({"text/plain": text}, raw=True)

    end = show


class LogLine:
    """A record of the logger ``aiquery`` every 30 seconds and at the end."""

    def __init__(self) -> None:
        """Begin with a record after 30 seconds."""
        self._next = time.monotonic() + LOG_EVERY_S - AFTER_S

    def show(self, text: str) -> None:
        """See ``Line``."""
        if time.monotonic() >= self._next:
            self._next += LOG_EVERY_S
            log.info("%s", text)

    def end(self, text: str) -> None:
        """See ``Line``."""
        log.info("%s", text)


_LINES: dict[Where, Callable[[], Line]] = {
    "terminal": TerminalLine,
    "notebook": NotebookLine,
    "log": LogLine,
}


class _Shown:
    """Where the statements of this process are shown."""

    decided = False
    forget: Callable[[], None] | None = None


def show_progress(where: Where | None) -> None:
    """Show how the statements of this process get on, from now on.

    where    terminal (a line on standard error), notebook (an output of the cell), log (a record of the logger
             ``aiquery`` every 30 seconds and at the end), or None: nowhere

    Unless this is called, they are shown in a notebook, and where standard error is a terminal. A statement that takes
    less than a second is never shown.
    """
    if where is not None and where not in _LINES:
        raise ArgumentError(
            f"show_progress: {where!r} is not known; use {', '.join(map(repr, _LINES))} or None."
        )
    if _Shown.forget is not None:
        _Shown.forget()
    _Shown.decided, _Shown.forget = (
        True,
        None if where is None else active.on_progress(ProgressDisplay(_LINES[where])),
    )


def enable_progress_if_interactive() -> None:
    """Show progress in a notebook or on a terminal, unless somebody said where."""
    if not _Shown.decided:
        show_progress(_somebody_looks())


def _somebody_looks() -> Where | None:
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is not None and type(shell).__name__ == "ZMQInteractiveShell":
        return "notebook"
    return "terminal" if sys.stderr is not None and sys.stderr.isatty() else None
