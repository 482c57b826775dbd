"""Names of processes, by which one process finds out that another has ended."""

from __future__ import annotations

import os
import socket
import uuid


def new_owner() -> str:
    """Return a name for this process that tells others where it lives."""
    return f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4().hex[:8]}"


def is_gone(owner: str) -> bool:
    """Say whether ``owner`` was a process of this machine and has ended; False where that can't be known."""
    host, _, rest = owner.partition("/")
    pid = rest.partition("/")[0]
    if not pid.isdecimal():
        return False  # no name of ours
    if host != socket.gethostname() or os.name == "nt":
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        pass  # it lives, under another user; or it is the number of no process
    return False
