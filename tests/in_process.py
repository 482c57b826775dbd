"""The base class of test providers that answer in the process, and what tests do with their answers."""

import threading


class InProcess:
    """A provider in the process; a subclass defines ``complete``."""

    slots = 64
    remote = False
    rate_limits = None

    @classmethod
    def check(cls, endpoint):
        pass

    @classmethod
    async def open(cls, endpoint, credentials):
        return cls()

    async def close(self):
        pass


def forget_answers(con):
    """Forget the answers that the client of a connection has in memory."""
    from aiquery.runtime.event_loop import event_loop

    done = threading.Event()
    client = con._session.client

    def clear():
        client.cache._memory.clear()
        done.set()

    event_loop().loop.call_soon_threadsafe(clear)
    assert done.wait(10)
