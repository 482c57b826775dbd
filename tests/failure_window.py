"""A script for ``EndpointServer``: the endpoint fails for some seconds."""

from aiquery.testing import Answer


class Window:
    """Gives ``answer`` to the requests of a period that begins with request number ``after``."""

    def __init__(self, answer, seconds, after=100):
        self.answer, self.seconds, self.after = answer, seconds, after
        self.begun_at = None
        self.in_flight_after = 0

    def __call__(self, question):
        if question.number >= self.after and self.begun_at is None:
            self.begun_at = question.at_s
        if self.begun_at is None:
            return Answer()
        if question.at_s < self.begun_at + self.seconds:
            return self.answer
        self.in_flight_after = max(self.in_flight_after, self.server.in_flight)
        return Answer()
