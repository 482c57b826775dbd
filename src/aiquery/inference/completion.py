"""The callbacks of an endpoint worker: how its results return to the client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from aiquery.errors import AIQueryError
    from aiquery.inference.in_flight import InFlightRequest
    from aiquery.inference.query_context import QueryContext
    from aiquery.requests.request import Outcome
    from aiquery.tracking.attempts import Attempt


class Completion(Protocol):
    """Receives the results of endpoint workers. Every method is called on the loop thread and returns at once."""

    def on_value(self, request: InFlightRequest, value: object) -> None:
        """Take the value of an answered request."""

    def on_outcome(self, request: InFlightRequest, outcome: Outcome) -> None:
        """Take the final outcome of a request that has no answer to store."""

    def on_error(self, request: InFlightRequest, error: AIQueryError) -> None:
        """Take an error that ends the statements that wait for a request."""

    def on_crash(self, error: BaseException) -> None:
        """End every statement: an unexpected error may have lost a request."""

    def on_abandoned(self, request: InFlightRequest) -> None:
        """Let no further statement join a request: its attempt is being cancelled."""

    def on_given_up(self, context: QueryContext, key: bytes, outcome: Outcome) -> None:
        """Remember that a statement's endpoint was given up: its later requests get the same outcome."""

    def on_attempt(self, attempt: Attempt) -> None:
        """Record an attempt that ended."""

    def on_budget_settled(self) -> None:
        """Let other workers use the budget that an attempt did not spend."""

    def on_budget_exhausted(self) -> None:
        """Reject the requests that wait: the budget is reached."""
