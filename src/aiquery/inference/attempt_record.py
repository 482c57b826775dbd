"""The result of one attempt, and its entry in the ledger."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiquery.requests.request import Usage
from aiquery.tracking.attempts import Attempt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiquery.config.endpoint import Endpoint
    from aiquery.errors import RowError
    from aiquery.inference.in_flight import Attempted
    from aiquery.requests.request import Response
    from aiquery.tracking.attempts import Ending

NO_USAGE = Usage()
HTTP_OK = 200


@dataclass(kw_only=True, slots=True)
class AttemptResult:
    """How an attempt ended.

    started     when it started, in monotonic seconds
    response    the reply; None if there was none
    error       the row's error; with a response: its text could not be read
    values      one value per request, if there is no error
    wait_s      seconds until the next attempt; None if there is no next one
    is_fatal    every request to the endpoint would end so: the endpoint is given up
    cancelled   the attempt was cancelled
    """

    started: float
    response: Response | None = None
    error: RowError | None = None
    values: Sequence[object] = ()
    wait_s: float | None = None
    is_fatal: bool = False
    cancelled: bool = False

    def ending(self, truncated: int) -> Ending:
        """Name the ending for the ledger; ``truncated`` counts the requests whose answer was cut."""
        if self.cancelled:
            return "cancelled"
        if self.error is not None:
            return self._failed_ending()
        return "truncated" if truncated else "answered"

    def _failed_ending(self) -> Ending:
        if self.response is not None:
            return "unreadable"
        return "failed" if self.wait_s is None else "retried"


def record_attempt(
    result: AttemptResult, item: Attempted, endpoint: Endpoint
) -> Attempt:
    """Return the ledger's entry of an attempt that ended now, and count its error for the run."""
    response = result.response
    usage = NO_USAGE if response is None else response.usage
    latency_s = time.monotonic() - result.started
    truncated = 0 if response is None else item.count_cut(response)
    requests = item.requests
    stats = requests[0].stats
    cost = None
    is_unknown = response is not None and not (usage.tokens_in or usage.tokens_out)
    if endpoint.price is not None and not is_unknown:
        cost = endpoint.price.cost_usd(
            usage.tokens_in, usage.tokens_cached, usage.tokens_out, usage.tokens_written
        )
        if stats is not None and endpoint.price.as_of is not None:
            stats.price_lists[endpoint.name] = endpoint.price.as_of
    error = ""
    status = HTTP_OK
    if result.error is not None:
        error = type(result.error).__name__
        if stats is not None:
            stats.count_error(error, result.error.message)
    if response is None:
        status = getattr(result.error, "status", None) or 0
    return Attempt(
        endpoint=endpoint.name,
        key=item.ledger_key,
        ending=result.ending(truncated),
        started_at=time.time() - latency_s,
        latency_s=latency_s,
        queued_s=result.started - item.queued_at,
        status=status,
        usage=usage,
        cost_usd=cost,
        rows=len(requests),
        truncated=truncated,
        function=item.request.template.function,
        error=error,
        run_number=0 if stats is None else stats.number,
        size=item.size,
    )
