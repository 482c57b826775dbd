"""One line for a part of a statement that is not carried out on DuckDB."""

from __future__ import annotations

import logging

_log = logging.getLogger("aiquery")


def say(notice: str) -> None:
    """Show a line: on stderr, unless the program handles the log of aiquery."""
    _log.warning(notice)
