"""A commit that another writer got in the way of is tried again; what was answered is not asked again for that."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

WAIT_S = 0.05
LONGEST_WAIT_S = 3.2


def retry_on_conflict(
    commit: Callable[[], object],
    conflict: type[Exception],
    attempts: int,
    refresh: Callable[[], object] = lambda: None,
) -> None:
    """Call ``commit`` until it raises no ``conflict``, at most ``attempts`` times; then the conflict goes on.

    ``refresh`` is called before another try.
    """
    for attempt in range(attempts):
        try:
            commit()
        except conflict:
            if attempt == attempts - 1:
                raise
            time.sleep(min(WAIT_S * 2**attempt, LONGEST_WAIT_S))
            refresh()
        else:
            return
