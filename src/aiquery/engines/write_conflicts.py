"""Retry a commit after a write conflict, without sending requests again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

FIRST_WAIT_S = 0.05
MAX_WAIT_S = 3.2


def retry_on_conflict(
    commit: Callable[[], object],
    conflict: type[Exception],
    attempts: int,
    refresh: Callable[[], object] | None = None,
) -> None:
    """Call ``commit`` until it raises no ``conflict``; raise the conflict after ``attempts`` calls.

    ``refresh`` is called before each further attempt.
    """
    for attempt in range(attempts):
        try:
            commit()
        except conflict:
            if attempt == attempts - 1:
                raise
            time.sleep(min(FIRST_WAIT_S * 2**attempt, MAX_WAIT_S))
            if refresh is not None:
                refresh()
        else:
            return
