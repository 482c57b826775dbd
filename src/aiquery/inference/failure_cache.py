"""What failed for good in the statements of a run: the jobs of one DataFrame pay once for a failing row."""

from __future__ import annotations

import threading
from weakref import WeakValueDictionary

from aiquery.requests.request import Outcome

STATEMENTS = 64
"""Statements whose failed requests are remembered when no job of theirs runs."""


class FailedRequests(dict[bytes, Outcome]):
    """The failed requests of one statement, by key."""


class FailureCache:
    """Those of all statements, from any thread. One that a job holds is found again, however many were there since."""

    def __init__(self) -> None:
        """Nothing failed yet."""
        self._held: WeakValueDictionary[str, FailedRequests] = WeakValueDictionary()
        self._recent: dict[str, FailedRequests] = {}
        self._lock = threading.Lock()

    def of(self, statement: str) -> FailedRequests:
        """Return what failed in ``statement`` so far, as the one object that says so."""
        with self._lock:
            failed = self._recent.pop(statement, None)
            if failed is None:
                failed = self._held.setdefault(statement, FailedRequests())
            self._recent[statement] = failed
            if len(self._recent) > STATEMENTS:
                del self._recent[next(iter(self._recent))]
        return failed
