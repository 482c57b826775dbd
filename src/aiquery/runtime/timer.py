"""An alarm on the event loop: whoever schedules looks again when time alone allows more."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

SOON_S = 0.0005
"""It never rings sooner, so that rounding of the clock cannot make it ring all the time."""


class Timer:
    """Rings once, at the time that was set last."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]
    ) -> None:
        """``ring`` is called on ``loop``."""
        self._loop = loop
        self._ring = ring
        self._handle: asyncio.TimerHandle | None = None

    def set(self, now: float, at: float | None) -> None:
        """Ring at ``at`` instead of what was set before; not at all if that is None or never."""
        self.cancel()
        if at is not None and at != math.inf:
            self._handle = self._loop.call_later(max(at - now, SOON_S), self._ring)

    def cancel(self) -> None:
        """Do not ring."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
