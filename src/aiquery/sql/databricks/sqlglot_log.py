"""What sqlglot logs about a statement is not for the user: aiquery refuses the statement, or runs it."""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_sqlglot = logging.getLogger("sqlglot")


class _OtherThreads(logging.Filter):
    """Lets only the records of other threads pass."""

    def __init__(self) -> None:
        super().__init__()
        self._thread = threading.get_ident()

    def filter(self, record: logging.LogRecord) -> bool:
        return record.thread != self._thread


@contextmanager
def without_log() -> Iterator[None]:
    """Show nothing that sqlglot logs in this thread during the block."""
    own = _OtherThreads()
    _sqlglot.addFilter(own)
    try:
        yield
    finally:
        _sqlglot.removeFilter(own)
