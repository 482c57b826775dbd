"""Failed requests by statement, so that the jobs of one DataFrame send a failing row once."""

from __future__ import annotations

import threading
from weakref import WeakValueDictionary

from aiquery.requests.request import Outcome

MAX_STATEMENTS = 64
"""Statements whose failed requests are remembered although none of their jobs runs."""


class FailedRequests(dict[bytes, Outcome]):
    """The failed requests of one statement, by key."""


class FailureCache:
    """Failed requests by statement. Thread-safe. The entry of a job that runs is never evicted."""

    def __init__(self) -> None:
        """Start empty."""
        self._in_use: WeakValueDictionary[str, FailedRequests] = WeakValueDictionary()
        self._recent: dict[str, FailedRequests] = {}
        self._lock = threading.Lock()

    def of(self, statement: str) -> FailedRequests:
        """Return the failed requests of ``statement``; all callers get the same object."""
        with self._lock:
            failures = self._recent.pop(statement, None)
            if failures is None:
                failures = self._in_use.setdefault(statement, FailedRequests())
            self._recent[statement] = failures
            if len(self._recent) > MAX_STATEMENTS:
                del self._recent[next(iter(self._recent))]
        return failures
