"""Names of processes. A process checks by the name whether another one has ended."""

from __future__ import annotations

import os
import socket
import uuid


def new_owner() -> str:
    """Return a unique name of this process, which contains its machine and its number."""
    return f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4().hex[:8]}"


def is_gone(owner: str) -> bool:
    """Return True if ``owner`` was a process of this machine and has ended; False if unknown."""
    host, _, rest = owner.partition("/")
    pid = rest.partition("/")[0]
    if not pid.isdecimal():
        return False  # ``new_owner`` did not create the name
    if host != socket.gethostname() or os.name == "nt":
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        # The process of another user runs, or the number cannot be a process.
        return False
    return False
