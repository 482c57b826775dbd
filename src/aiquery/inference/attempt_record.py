"""How one attempt ended, as the ledger keeps it and as its statement counts it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from aiquery.requests.request import Usage
from aiquery.tracking.attempts import Attempt

if TYPE_CHECKING:
    from aiquery.config.endpoint import Endpoint
    from aiquery.errors import RowError
    from aiquery.inference.in_flight import InFlightRequest
    from aiquery.requests.request import Response
    from aiquery.tracking.attempts import Ending

NO_USAGE = Usage()


class Ended(NamedTuple):
    """An attempt that began at ``started`` (monotonic seconds), with its reply or its error, or neither."""

    ending: Ending
    started: float
    response: Response | None
    error: RowError | None


def ending(entry: InFlightRequest, response: Response | None, error: RowError | None, wait_s: float | None) -> Ending:
    """Name how an attempt ended; ``wait_s``: it is tried again after so long."""
    if error is None:
        return "truncated" if response is not None and entry.cut(response) else "answered"
    if response is not None:
        return "unreadable"
    return "failed" if wait_s is None else "retried"


def attempt(ended: Ended, entry: InFlightRequest, endpoint: Endpoint) -> Attempt:
    """Return what the ledger keeps of an attempt that ended now, and count its error for the statement."""
    response, error, price = ended.response, ended.error, endpoint.price
    latency_s, queued_s = time.monotonic() - ended.started, ended.started - entry.queued_at
    usage = NO_USAGE if response is None else response.usage
    cost = price.cost_usd(usage.tokens_in, usage.tokens_cached, usage.tokens_out) if price else None
    status = 200 if response is not None else getattr(error, "status", None) or 0
    rows, cut = len(entry.members), 0 if response is None else entry.cut(response)
    account, kind = entry.account, ""
    if account is not None and price is not None and price.as_of is not None:
        account.price_lists[endpoint.name] = price.as_of
    if error is not None:
        kind = type(error).__name__
        if account is not None:
            account.saw(kind, error.message, entry.request.content)
    number, function = 0 if account is None else account.number, entry.request.target.function
    return Attempt(
        endpoint.name, entry.ledger_key, ended.ending, time.time() - latency_s, latency_s, queued_s, status, usage,
        cost, rows, cut, function, kind, number, entry.size,
    )  # fmt: skip
