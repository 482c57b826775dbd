"""A script for ``EndpointServer``: the endpoint fails for a number of seconds."""

from aiquery.testing import Answer


class Window:
    """Returns ``answer`` for the requests of a period that begins with request number ``after``."""

    def __init__(self, answer, seconds, after=100):
        self.answer = answer
        self.seconds = seconds
        self.after = after
        self.began_at = None
        self.in_flight_after = 0

    def __call__(self, question):
        if question.number >= self.after and self.began_at is None:
            self.began_at = question.at_s
        if self.began_at is None:
            return Answer()
        if question.at_s < self.began_at + self.seconds:
            return self.answer
        self.in_flight_after = max(self.in_flight_after, self.server.in_flight)
        return Answer()
