"""A timer on the event loop, for work that becomes possible as time passes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

MIN_DELAY_S = 0.0005
"""The shortest delay, in seconds. Without it, rounding of the clock could call again at once."""


class Timer:
    """Calls a function once, at the time that was set last."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, callback: Callable[[], None]
    ) -> None:
        """``loop`` calls ``callback``."""
        self._loop = loop
        self._callback = callback
        self._handle: asyncio.TimerHandle | None = None

    def set(self, now: float, at: float | None) -> None:
        """Replace the time by ``at``. None or infinity: do not call."""
        self.cancel()
        if at is not None and at != math.inf:
            delay_s = max(at - now, MIN_DELAY_S)
            self._handle = self._loop.call_later(delay_s, self._callback)

    def cancel(self) -> None:
        """Do not call."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
