"""Whether a failed request is attempted again, and when."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from aiquery.errors import RowError

MAX_LOSS_BY_CHANCE = 1e-6
"""The highest share of requests that are given up although the endpoint failed them by chance."""

MAX_FACTOR = 4
"""A request has at most four times ``max_attempts``, however often the endpoint fails."""

MAX_COUNTED = 1000
"""First attempts that are counted; older ones lose weight."""

BASE_S = 0.5
"""The first wait is at most this long."""

CAP_S = 30.0
"""No wait is longer."""

TOO_MANY_REQUESTS = 429
MAX_SUSPECT_FAILURES = 2
"""After this many failures with answers to others between them, outages count as the request's own failures."""

SHORT_OUTAGE_S = 30.0
"""The longest wait in an outage if all requests that are left failed while others were answered, or if the endpoint is
reachable and never answered a request."""


class Tried(Protocol):
    """What is recorded on a request that failed.

    charged     attempts that count
    times       failures of it with answers to others between them
    seen        answers of the endpoint when it started first, then when it failed last
    suspect     others were answered between its first start and a failure
    """

    charged: int
    times: int
    seen: int
    suspect: bool


@dataclass(kw_only=True, slots=True)
class Retry:
    """Exponential backoff with full jitter: wait uniform(0, min(cap, base * 2 ** (attempt - 1))) seconds.

    Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015. Attempts are for failures that may be the
    request's own: an outage (``Cooldown``) is not counted, unless the request failed before while others were answered.
    An endpoint that fails 30 % of all requests at random would fail 0.2 % of them five times; so a request has as many
    attempts as make a loss by chance improbable (``MAX_LOSS_BY_CHANCE``), within bounds.

    max_attempts   attempts of one request, the first included, at an endpoint that fails hardly any; 1: no retry
    outage_s       how long an outage may last
    first          requests whose first attempt ended
    first_failed   those of them that failed
    """

    max_attempts: int = 5
    outage_s: float = 300.0
    first: float = 0.0
    first_failed: float = 0.0

    def count_first_failure(self) -> None:
        """Count a request whose first attempt failed while the endpoint answered others."""
        if self.first > MAX_COUNTED:
            self.first_failed = self.first_failed * MAX_COUNTED / self.first
            self.first = MAX_COUNTED
        self.first += 1
        self.first_failed += 1

    def attempts(self) -> int:
        """Return how many attempts a request has that failed now."""
        others_failed = max(self.first_failed - 1, 0.0)
        share = others_failed / max(self.first, 1.0)
        if share <= 0 or self.max_attempts == 1:
            return self.max_attempts
        needed = math.log(MAX_LOSS_BY_CHANCE) / math.log(min(share, 0.99))
        most = MAX_FACTOR * self.max_attempts
        return max(self.max_attempts, min(math.ceil(needed), most))

    def charge(
        self, tried: Tried, error: RowError, answer_count: int, *, was_down: bool
    ) -> None:
        """Record a failure of a request.

        answer_count   answers of the endpoint so far
        was_down       an outage had begun before it
        """
        others_answered = answer_count != tried.seen
        is_first = tried.times == 0
        tried.seen = answer_count
        if is_first or others_answered:
            tried.times += 1
        tried.suspect = tried.suspect or others_answered
        if not was_down and is_first:
            self.count_first_failure()
        if error.status == TOO_MANY_REQUESTS and others_answered:
            return  # the endpoint is busy with others, and this request has not had its turn
        is_excused = was_down and error.unavailable
        if not is_excused or tried.times >= MAX_SUSPECT_FAILURES:
            tried.charged += 1

    def wait_s(self, error: RowError, attempt: int, jitter: float) -> float | None:
        """Return the seconds before attempt ``attempt + 1``; None: give up. ``jitter`` is in [0, 1)."""
        attempts = self.attempts()
        if not error.retryable or attempt >= attempts:
            return None
        if error.wait_s is not None:
            return error.wait_s
        own_failures = attempt * self.max_attempts / attempts
        max_wait_s: float = min(CAP_S, BASE_S * 2.0 ** max(own_failures - 1, 0))
        return jitter * max_wait_s

    def gives_up_at(self, down_since: float, *, is_short: bool) -> float:
        """Return when an outage has lasted too long; ``is_short``: it gets ``SHORT_OUTAGE_S`` at most."""
        outage_s = min(self.outage_s, SHORT_OUTAGE_S) if is_short else self.outage_s
        return down_since + outage_s
