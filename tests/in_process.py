"""What every provider of these tests that answers in the process has in common."""


class InProcess:
    """An endpoint in the process; a subclass says how it completes a request."""

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
