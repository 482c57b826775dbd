"""What a forked child does with the models of xllamacpp.

The library has a thread that all its models share. It does not run in a child that was forked while a model was
loaded, and the end of any model waits for it for ever. Such a child can load its own models and use them, but
never unloads one.
"""

from __future__ import annotations

import ctypes
import os
from typing import Any

_open: set[Any] = set()
"""The servers of xllamacpp in this process."""

_can_unload = True


def can_unload() -> bool:
    """Return False in a child that was forked while a model was loaded."""
    return _can_unload


def add_server(server: Any) -> None:
    """Remember a server that was loaded."""
    if _can_unload:
        _open.add(server)
    else:
        _hold(server)


def remove_server(server: Any) -> None:
    """Forget a server that is about to be unloaded."""
    _open.discard(server)


def _hold(server: Any) -> None:
    """Leave a server in memory until the process ends: Python must not delete it at its own end either."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(server))


def _hold_inherited() -> None:
    global _can_unload  # noqa: PLW0603
    if _open:
        _can_unload = False
    for server in _open:
        _hold(server)
    _open.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_hold_inherited)
