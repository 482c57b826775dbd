"""The base class of test providers that answer in the process."""


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
