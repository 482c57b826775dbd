"""The probability of a part of a reply, from the log-probabilities of its tokens."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from aiquery.requests.json_positions import Path, Span, find_scalars

if TYPE_CHECKING:
    from aiquery.requests.request import Response

LOGPROBS = {"logprobs": True, "top_logprobs": 1}
"""The parameters that request the log-probabilities."""


def compute_confidence(choice: str, response: Response) -> float | None:
    """Return the probability (0 to 1) of ``choice`` in a reply: that of all its tokens together.

    None: the endpoint returned no log-probabilities, or the reply does not contain the choice.
    """
    if response.confidence is not None:
        return response.confidence
    if not response.logprobs:
        return None
    start = _joined(response).rfind(choice)
    return None if start < 0 else _probability((start, start + len(choice)), response)


class ScalarConfidences:
    """The probabilities of the scalars of a JSON reply."""

    def __init__(self, response: Response, json_text: str) -> None:
        """``json_text`` is the JSON of the reply."""
        self._response = response
        self._start = _joined(response).find(json_text) if response.logprobs else -1
        self._spans = find_scalars(json_text) if self._start >= 0 else {}

    def of(self, path: Path) -> float | None:
        """Return the probability (0 to 1) of a scalar; None if the endpoint returned no log-probabilities."""
        span = self._spans.get(path)
        if span is None:
            return None
        start, end = span
        return _probability((self._start + start, self._start + end), self._response)


def _joined(response: Response) -> str:
    return "".join(token for token, _ in response.logprobs or ())


def _probability(span: Span, response: Response) -> float:
    """Return the probability of all tokens that a span of the reply touches."""
    start, end = span
    total = 0.0
    position = 0
    for token, logprob in response.logprobs or ():
        if position < end and position + len(token) > start:
            total += logprob
        position += len(token)
    return round(math.exp(min(total, 0.0)), 6)
