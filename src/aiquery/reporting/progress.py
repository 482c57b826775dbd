"""Show progress: one line per running statement on a terminal, one output in a notebook, or a log."""

from __future__ import annotations

import functools
import logging
import sys
import time
from typing import TYPE_CHECKING, Any, Literal, Protocol

from aiquery.errors import ArgumentError
from aiquery.outgoing_text import clean_text
from aiquery.tracking import active

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiquery.tracking.run import Progress

Where = Literal["terminal", "notebook", "log"]
log = logging.getLogger("aiquery")
MIN_SHOWN_S = 1.0
"""A statement that takes less is not shown."""

LOG_INTERVAL_S = 30.0


class Line(Protocol):
    """Where the figures of a statement are shown while it runs."""

    def show(self, text: str) -> None:
        """Replace the text."""

    def end(self, text: str) -> None:
        """Show the last text."""


class ProgressDisplay:
    """An ``on_progress`` hook with a line for each statement that takes long enough."""

    def __init__(self, make_line: Callable[[], Line]) -> None:
        """``make_line`` makes the line of one statement."""
        self._make_line = make_line
        self._lines: dict[str, Line] = {}

    def __call__(self, progress: Progress) -> None:
        """Show the figures of a statement."""
        if progress.state != "running":
            if progress.run in self._lines:
                self._lines.pop(progress.run).end(clean_text(str(progress)))
            return
        if progress.seconds < MIN_SHOWN_S:
            return
        if progress.run not in self._lines:
            self._lines[progress.run] = self._make_line()
        self._lines[progress.run].show(clean_text(str(progress)))


@functools.cache
def _terminal() -> Any:
    """Return the lines on standard error, one per statement."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn

    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        console=Console(stderr=True),
        transient=True,
        auto_refresh=False,
    )


class TerminalLine:
    """A line with a spinner on standard error, which is removed at the end."""

    def __init__(self) -> None:
        """Add the line."""
        self._lines = _terminal()
        self._line = self._lines.add_task("")
        self._lines.start()

    def show(self, text: str) -> None:
        """Replace the text."""
        self._lines.update(self._line, description=text, refresh=True)

    def end(self, text: str) -> None:
        """Remove the line."""
        del text
        self._lines.remove_task(self._line)
        if not self._lines.tasks:
            self._lines.stop()


class NotebookLine:
    """One output of the cell, which is replaced."""

    def __init__(self) -> None:
        """Add the output below the cell."""
        from IPython.display import display

        self._handle: Any = display({"text/plain": ""}, raw=True, display_id=True)

    def show(self, text: str) -> None:
        """Replace the text."""
        self._handle.update({"text/plain": text}, raw=True)

    end = show


class LogLine:
    """A record of the logger ``aiquery`` every 30 seconds and at the end."""

    def __init__(self) -> None:
        """Write the first record after 30 seconds."""
        self._next = time.monotonic() + LOG_INTERVAL_S - MIN_SHOWN_S

    def show(self, text: str) -> None:
        """Write a record, if it is time for one."""
        if time.monotonic() >= self._next:
            self._next += LOG_INTERVAL_S
            log.info("%s", text)

    def end(self, text: str) -> None:
        """Write the last record."""
        log.info("%s", text)


_LINES: dict[Where, Callable[[], Line]] = {
    "terminal": TerminalLine,
    "notebook": NotebookLine,
    "log": LogLine,
}


class _Setting:
    """The display of this process."""

    is_set = False
    remove: Callable[[], None] | None = None


def show_progress(where: Where | None) -> None:
    """Show the progress of the statements of this process from now on.

    A statement that takes less than a second is never shown. Without this call, progress is shown in a notebook, and if
    standard error is a terminal.

    Parameters
    ----------
    where
        ``terminal``: a line on standard error. ``notebook``: an output of the cell. ``log``: a record of the logger
        ``aiquery`` every 30 seconds and at the end. None: nowhere.

    Raises
    ------
    ArgumentError
        Any other value.
    """
    if where is not None and where not in _LINES:
        raise ArgumentError(
            f"show_progress: {where!r} is not known; use {', '.join(map(repr, _LINES))} or None."
        )
    if _Setting.remove is not None:
        _Setting.remove()
        _Setting.remove = None
    _Setting.is_set = True
    if where is not None:
        _Setting.remove = active.on_progress(ProgressDisplay(_LINES[where]))


def enable_progress_if_interactive() -> None:
    """Show progress in a notebook or on a terminal, unless ``show_progress`` was called."""
    if not _Setting.is_set:
        show_progress(_find_display())


def _find_display() -> Where | None:
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is not None and type(shell).__name__ == "ZMQInteractiveShell":
        return "notebook"
    if sys.stderr is not None and sys.stderr.isatty():
        return "terminal"
    return None
