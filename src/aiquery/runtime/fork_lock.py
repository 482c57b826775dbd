"""Locks of C libraries that a fork must not interrupt, such as SQLite.

A child has only the thread that forked. A mutex that another thread of the parent held is locked
in the child for ever. SQLite has such mutexes, for its memory and for its files, which all its
connections share: https://www.sqlite.org/howtocorrupt.html#_carrying_an_open_database_across_a_fork_
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_WAIT_S = 10.0
"""How long a fork waits for the calls of the other threads, in seconds. A fork must not wait for ever."""


class ForkLock:
    """A lock that a thread holds during calls that a fork must wait for. The thread may take it again."""

    def __init__(self) -> None:
        """Wait while a thread forks."""
        self._lock = threading.RLock()
        with _all_lock:
            _all.add(self)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Hold the lock during the block."""
        with self._lock:
            yield

    def acquire(self, wait_s: float) -> bool:
        """Return True if no other thread held the lock for all of ``wait_s`` seconds."""
        return self._lock.acquire(timeout=wait_s)

    def release(self) -> None:
        """Let others take the lock."""
        self._lock.release()

    def renew(self) -> None:
        """Forget who held the lock: in a child that thread does not run."""
        self._lock = threading.RLock()


_all: weakref.WeakSet[ForkLock] = weakref.WeakSet()
_all_lock = threading.RLock()
_held: list[ForkLock] = []


def _hold_all() -> None:
    until = time.monotonic() + MAX_WAIT_S
    _all_lock.acquire()
    _held.extend(
        lock for lock in list(_all) if lock.acquire(max(0.0, until - time.monotonic()))
    )


def _release_all() -> None:
    while _held:
        _held.pop().release()
    _all_lock.release()


def _renew_all() -> None:
    global _all_lock  # noqa: PLW0603  its owner may not run in the child
    _held.clear()
    _all_lock = threading.RLock()
    for lock in list(_all):
        lock.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_hold_all, after_in_parent=_release_all, after_in_child=_renew_all
    )
