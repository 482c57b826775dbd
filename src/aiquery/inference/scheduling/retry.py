"""Pure: how a request failed, and how often -> how long to wait, or give up."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from aiquery.errors import RowError

BY_CHANCE = 1e-6
"""A request that an endpoint fails by chance is given up less often than this."""

MOST = 4
"""However much an endpoint fails: no more than four times ``max_attempts``."""

REMEMBERED = 1000
"""So many first attempts count, however many there were."""

TOO_MANY = 429
TO_BLAME = 2
"""A request that failed again after others were served is to blame, whatever happens to the endpoint later."""

SHORT_S = 30.0
"""How long is waited at most if all that is left are requests that failed while others were served, or if the endpoint
is there, and never answered anybody."""


class Tried(Protocol):
    """What is noted on a request that failed.

    charged     attempts that count
    times       failures of it with answers to others between them
    seen        answers of the endpoint when it started first, then when it failed last
    suspect     others were served between its first start and a failure
    """

    charged: int
    times: int
    seen: int
    suspect: bool


@dataclass(slots=True)
class Retry:
    """Exponential backoff with full jitter: wait uniform(0, min(cap, base * 2 ** (attempt - 1))) seconds.

    Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015. Attempts are for what may be the request's
    own fault: that nobody is there during an outage (``Cooldown``) is not counted, unless the request failed before
    while
    others were served. An endpoint that fails 30 % of what it is sent, whatever it is, would fail 0.2 % of the
    requests five times; so a request has as many attempts as make it improbable (``BY_CHANCE``) that it fails like any
    other, within bounds.

    max_attempts   tries of one request, the first included, where the endpoint fails hardly any other; 1: never again
    outage_s       how long an endpoint that serves nobody is waited for
    first          requests whose first attempt ended
    base_s, cap_s  seconds; the first wait is at most ``base_s``, no wait of ours is longer than ``cap_s``
    """

    max_attempts: int = 5
    outage_s: float = 300.0
    base_s: float = 0.5
    cap_s: float = 30.0
    first: float = 0.0
    first_failed: float = 0.0

    def saw_first_fail(self) -> None:
        """Count a request whose first attempt failed while the endpoint answered others."""
        if self.first > REMEMBERED:
            self.first, self.first_failed = (
                REMEMBERED,
                self.first_failed * REMEMBERED / self.first,
            )
        self.first += 1
        self.first_failed += 1

    def attempts(self) -> int:
        """Return how many attempts a request has that failed now."""
        share = max(self.first_failed - 1, 0.0) / max(
            self.first, 1.0
        )  # without its own
        if share <= 0 or self.max_attempts == 1:
            return self.max_attempts
        by_chance = math.log(BY_CHANCE) / math.log(min(share, 0.99))
        return max(
            self.max_attempts, min(math.ceil(by_chance), MOST * self.max_attempts)
        )

    def charge(
        self, tried: Tried, error: RowError, answer_count: int, *, was_down: bool
    ) -> None:
        """Record a failure of a request.

        answer_count   answers of the endpoint so far
        was_down       an outage had begun before it
        """
        others = answer_count != tried.seen
        first, tried.seen = tried.times == 0, answer_count
        tried.times += first or others
        tried.suspect = tried.suspect or others
        if not was_down and first:
            self.saw_first_fail()
        if error.status == TOO_MANY and others:
            return  # it serves others: it is busy, and this request has not had its turn
        tried.charged += not (was_down and error.unavailable) or tried.times >= TO_BLAME

    def wait_s(self, error: RowError, attempt: int, jitter: float) -> float | None:
        """Return the seconds to wait before attempt ``attempt + 1``, or None to give up; ``jitter`` is in [0, 1)."""
        attempts = self.attempts()
        if not error.retryable or attempt >= attempts:
            return None
        if error.wait_s is not None:
            return error.wait_s
        by_its_fault = attempt * self.max_attempts / attempts
        most_s: float = min(self.cap_s, self.base_s * 2.0 ** max(by_its_fault - 1, 0))
        return jitter * most_s

    def gives_up_at(self, down_since: float, *, is_short: bool) -> float:
        """Return when an outage has lasted too long; ``is_short``: there is less hope."""
        return down_since + (min(self.outage_s, SHORT_S) if is_short else self.outage_s)
