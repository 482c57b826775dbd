"""An event loop in virtual time: a wait for a timer advances the clock instead of taking time."""

import asyncio
import selectors
import time
from types import SimpleNamespace

MODULES = ("attempt_record", "client", "endpoint_worker", "feedback")
"""Modules of ``aiquery.inference`` that read the monotonic clock."""


class _VirtualSelector(selectors.DefaultSelector):
    def __init__(self):
        super().__init__()
        self.now = 0.0

    def select(self, timeout=None):
        """Return what is ready; if nothing is, the next timer is due at once."""
        events = super().select(0)
        if events or timeout is None:
            return events or super().select(timeout)
        self.now += max(timeout, 0.0)
        return events


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose ``time`` is virtual seconds since its start."""

    def __init__(self):
        self._virtual = _VirtualSelector()
        super().__init__(self._virtual)

    def time(self):
        return self._virtual.now


class LoopHere:
    """Stands in for the loop thread of a client: the loop of the test itself."""

    def __init__(self, loop):
        self.loop = loop
        self.closers = []
        self.crash_listeners = []

    def is_here(self):
        return True

    def call(self, function, *args):
        self.loop.call_soon(function, *args)


def run(monkeypatch, scenario, max_s=3600.0):
    """Run an async function in virtual time and return its result. Fails after ``max_s`` virtual seconds."""
    loop = VirtualLoop()
    clock = SimpleNamespace(monotonic=loop.time, time=time.time)
    for module in MODULES:
        monkeypatch.setattr(f"aiquery.inference.{module}.time", clock)
    monkeypatch.setattr("aiquery.inference.client.event_loop", lambda: LoopHere(loop))
    try:
        return loop.run_until_complete(asyncio.wait_for(scenario(), max_s))
    finally:
        loop.close()


async def until(condition):
    """Wait until ``condition()`` is true, in steps of 10 virtual milliseconds."""
    while not condition():  # noqa: ASYNC110  the condition is a figure, which sets no event
        await asyncio.sleep(0.01)
