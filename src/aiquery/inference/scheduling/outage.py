"""When an endpoint is given up: after errors that every request would get, or a long outage. And how to report it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiquery.errors import RequestFailed, RowError

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiquery.inference.scheduling.admission import Admits
    from aiquery.inference.scheduling.retry import Retry

MIN_REPORTED_S = 1.0
"""Shorter pauses are not reported."""


class OutageMonitor:
    """The outage of one endpoint. Times in seconds on any monotonic clock.

    fatal_in_a_row   errors that every request would get, with no answer between them
    is_holding       there was one: no request starts until one in flight is answered, or all have ended
    """

    def __init__(self, endpoint: str, retry: Retry) -> None:
        """``retry`` limits how long an outage may last."""
        self.is_holding = False
        self.fatal_in_a_row = 0
        self._endpoint = endpoint
        self._retry = retry
        self._gives_up_after = 1
        self._last_error: RowError | None = None

    def record_answer(self) -> None:
        """Record an answer, or an error that was the request's own."""
        self.fatal_in_a_row = 0
        self.is_holding = False

    def record_failure(self, error: RowError, in_flight: int) -> bool:
        """Record an error; return True if every request would end so. ``in_flight``: requests that have not ended."""
        self._last_error = error
        if error.gives_up_after is not None:
            self.fatal_in_a_row += 1
            self._gives_up_after = error.gives_up_after
        if not self.fatal_in_a_row:
            self.is_holding = False
            return False
        has_enough = self.fatal_in_a_row >= self._gives_up_after and not in_flight
        is_fatal = self._gives_up_after == 1 or has_enough
        self.is_holding = in_flight > 0 and not is_fatal
        return is_fatal

    def gives_up_at(
        self, admission: Admits, has_only_suspects: Callable[[], bool]
    ) -> float | None:
        """Return when an outage has lasted too long; None if there is none.

        ``has_only_suspects`` returns True if all requests that are left failed while others were answered.
        """
        down_since = admission.down_since
        if down_since is None:
            return None
        is_short = self._never_answered(admission) or has_only_suspects()
        return self._retry.gives_up_at(down_since, is_short=is_short)

    def give_up_error(self, admission: Admits, now: float) -> RequestFailed:
        """Return the error of the requests that waited for the end of an outage, and forget the outage."""
        down_s = 0.0 if admission.down_since is None else now - admission.down_since
        last_error = self._last_error
        self.record_answer()
        status = None if last_error is None else last_error.status
        return RequestFailed(
            f"endpoint {self._endpoint!r} answered no request for {down_s:,.0f} s: "
            f"{self._describe_error()}. The statement sends it no further requests; "
            "timeout.outage_s sets how long to wait",
            status=status,
        )

    def describe(
        self, admission: Admits, now: float, has_only_suspects: Callable[[], bool]
    ) -> str:
        """Describe what prevents answers; empty if nothing does."""
        pause_s = admission.closed_until - now
        down_since = admission.down_since
        if down_since is None:
            text = f"{self._endpoint} asks to wait {pause_s:,.0f} s"
            return text if pause_s >= MIN_REPORTED_S else ""
        down_s = now - down_since
        if down_s < MIN_REPORTED_S:
            return ""
        again = "being tried again"
        if pause_s >= MIN_REPORTED_S:
            again = f"tried again in {pause_s:,.0f} s"
        gives_up_at = self.gives_up_at(admission, has_only_suspects) or now
        left_s = gives_up_at - now
        return (
            f"{self._endpoint} has not answered for {down_s:,.0f} s ({self._describe_error()}), "
            f"{again}, given up in {max(left_s, 0):,.0f} s"
        )

    def _never_answered(self, admission: Admits) -> bool:
        """Return True if the endpoint is reachable and never answered a request: that is rarely a restart."""
        if admission.answer_count or self._last_error is None:
            return False
        return not self._last_error.unavailable

    def _describe_error(self) -> str:
        if self._last_error is None:
            return "no reason is known"
        return self._last_error.message
