"""Passes the end of an attempt to the limits, the retries, the outage detection and the budget."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiquery.inference.reservations import NO_COST
from aiquery.inference.scheduling.admission import Failure

if TYPE_CHECKING:
    from aiquery.config.endpoint import Endpoint
    from aiquery.errors import RowError
    from aiquery.inference.attempt_record import AttemptResult
    from aiquery.inference.in_flight import Attempted
    from aiquery.inference.reservations import Reservations
    from aiquery.inference.scheduling.outage import OutageMonitor
    from aiquery.inference.scheduling.rate_limit import RateLimiter
    from aiquery.inference.scheduling.retry import Retry
    from aiquery.inference.scheduling.scheduler import Scheduler
    from aiquery.requests.request import Response


@dataclass(slots=True, kw_only=True)
class AttemptFeedback:
    """Updates limits, retries, outage detection and budget when an attempt ends.

    All parts belong to the worker of ``endpoint``.
    """

    endpoint: Endpoint
    scheduler: Scheduler[Attempted]
    rates: RateLimiter
    retry: Retry
    outage: OutageMonitor
    reservations: Reservations

    def record_reply(self, item: Attempted, started: float, response: Response) -> None:
        """Record a reply, readable or not."""
        usage = response.usage
        tokens = usage.tokens_in + usage.tokens_out
        self.scheduler.record_answer(item, time.monotonic(), started, tokens)
        if self.outage.fatal_in_a_row:
            self.outage.record_answer()
        if item.attempts == 1:
            self.retry.first += 1
        if self.scheduler.admission.counts_tokens:
            self.rates.output.observe(usage.tokens_out)
        self.reservations.settle_answered(item, response)

    def record_failure(
        self, item: Attempted, result: AttemptResult, error: RowError
    ) -> None:
        """Record an attempt without a reply.

        Sets ``result.wait_s`` if the item is attempted again, and ``result.is_fatal`` if the endpoint is given up.
        """
        was_down = self.scheduler.admission.down_since is not None
        if error.sendable_again and not (
            was_down or item.sent_again or item.is_unwanted()
        ):
            self._undo_attempt(item)
            result.wait_s = 0.0
            return
        self._record_error(item, result.started, error)
        result.is_fatal = self.outage.record_failure(error, self.scheduler.in_flight)
        if not result.is_fatal:
            result.wait_s = self._wait_s(item, result.started, error, was_down=was_down)

    def _undo_attempt(self, item: Attempted) -> None:
        """Undo an attempt whose request may not have arrived: it does not count, and nothing learns from it."""
        item.sent_again = True
        item.attempts -= 1
        self.scheduler.record_cancellation(item)
        self.reservations.settle(item, None)

    def _record_error(self, item: Attempted, started: float, error: RowError) -> None:
        now = time.monotonic()
        if error.retryable:
            if error.wait_s is not None:
                error.wait_s = min(error.wait_s, self.retry.outage_s)
            jitter = random.random()  # noqa: S311  not a secret
            failure = Failure(now, started, error.throttled, error.wait_s, jitter)
            self.scheduler.record_failure(item, failure)
        elif error.status and error.gives_up_after is None:
            self.scheduler.record_rejection(item, now)
            self.outage.record_answer()
        else:
            self.scheduler.record_cancellation(item)
        is_free = error.throttled or bool(error.status)
        self.reservations.settle(item, NO_COST if is_free else None)

    def _wait_s(
        self, item: Attempted, started: float, error: RowError, *, was_down: bool
    ) -> float | None:
        """Return the seconds until the next attempt; None if there is none."""
        if item.is_unwanted():
            return None
        admission = self.scheduler.admission
        self.retry.charge(item, error, admission.answer_count, was_down=was_down)
        if item.deadline is None:
            item.deadline = started + self.endpoint.timeout.total_s
        jitter = random.random()  # noqa: S311  not a secret
        wait_s = self.retry.wait_s(error, item.charged, jitter)
        if wait_s is None:
            return None
        now = time.monotonic()
        cooldown_s = max(admission.closed_until - now, 0.0) if error.throttled else 0.0
        is_too_late = now + max(wait_s, cooldown_s) > item.deadline
        return None if is_too_late else wait_s
