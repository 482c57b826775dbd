"""Pure: when an endpoint is given up, for an error that will not go away or a long outage; and what to say of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiquery.errors import RequestFailed, RowError

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiquery.inference.scheduling.admission import Admits
    from aiquery.inference.scheduling.retry import Retry

WORTH_SAYING_S = 1.0
"""A shorter pause is not worth a word."""


class OutageMonitor:
    """What is wrong with one endpoint. Seconds on any monotonic clock.

    in_a_row   errors that every request would get, as far as is known, with no answer between them
    holds      there was one: nothing starts until a request in flight is answered, or all have ended
    """

    def __init__(self, endpoint: str, retry: Retry) -> None:
        """Nothing is wrong."""
        self.is_holding = False
        self._endpoint = endpoint
        self._retry = retry
        self.fatal_in_a_row = 0
        self._after = 1
        self._last: RowError | None = None

    def record_answer(self) -> None:
        """Note an answer, or an error that was the request's own."""
        self.fatal_in_a_row, self.is_holding = 0, False

    def record_failure(self, error: RowError, in_flight: int) -> bool:
        """Note an error; return whether every request would end so. ``in_flight``: requests that have not ended."""
        self._last = error
        if error.gives_up_after is not None:
            self.fatal_in_a_row += 1
            self._after = error.gives_up_after
        is_over = self.fatal_in_a_row > 0 and (
            self._after == 1 or (self.fatal_in_a_row >= self._after and not in_flight)
        )
        self.is_holding = self.fatal_in_a_row > 0 and in_flight > 0 and not is_over
        return is_over

    def gives_up_at(
        self, admission: Admits, only_suspects: Callable[[], bool]
    ) -> float | None:
        """Return when an outage has lasted too long, None where there is none.

        ``only_suspects`` says whether all that is left are requests that failed while others were served.
        """
        down_since = admission.down_since
        if down_since is None:
            return None
        return self._retry.gives_up_at(
            down_since, is_short=self._is_broken(admission) or only_suspects()
        )

    def give_up_error(self, admission: Admits, now: float) -> RequestFailed:
        """Return the error of what waited for the end of an outage, which is over for us."""
        down_s = now - (now if admission.down_since is None else admission.down_since)
        last = self._last
        self.record_answer()
        what = f"endpoint {self._endpoint!r} answered no request for {down_s:,.0f} s: {self._describe_error(last)}"
        advice = "The statement asks it no more; timeout.outage_s says how long to wait"
        return RequestFailed(
            f"{what}. {advice}", status=None if last is None else last.status
        )

    def describe(
        self, admission: Admits, now: float, only_suspects: Callable[[], bool]
    ) -> str:
        """Return what to tell who waits; nothing where nothing is wrong."""
        pause_s, down_since = admission.closed_until - now, admission.down_since
        if down_since is None:
            asks = f"{self._endpoint} asks to wait {pause_s:,.0f} s"
            return asks if pause_s >= WORTH_SAYING_S else ""
        if now - down_since < WORTH_SAYING_S:
            return ""
        again = (
            f"asked again in {pause_s:,.0f} s"
            if pause_s >= WORTH_SAYING_S
            else "being asked again"
        )
        left_s = (self.gives_up_at(admission, only_suspects) or now) - now
        said, down_s = self._describe_error(self._last), now - down_since
        until = f"{again}, given up in {max(left_s, 0):,.0f} s"
        return (
            f"{self._endpoint} has not answered for {down_s:,.0f} s ({said}), {until}"
        )

    def _is_broken(self, admission: Admits) -> bool:
        """Say whether the endpoint is there, and never answered anybody: then there is less hope than for one away."""
        return (
            admission.answer_count == 0
            and self._last is not None
            and not self._last.unavailable
        )

    def _describe_error(self, error: RowError | None) -> str:
        return "no reason is known" if error is None else error.message
