"""``Question``: a request to the test endpoint. ``Answer``: its reply, good or faulty."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from functools import cached_property
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Literal
from zlib import crc32

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


@dataclass(kw_only=True, eq=False)
class Question:
    """One request as it arrived.

    Attributes
    ----------
    number
        Counts the requests from 0.
    at_s
        Time of arrival, on the server's monotonic clock.
    path
        E.g. ``/v1/chat/completions``.
    headers
        By name in lower case.
    raw
        The bytes of the body.
    """

    number: int
    at_s: float
    path: str
    headers: dict[str, str]
    raw: bytes = field(repr=False)

    @cached_property
    def body(self) -> dict[str, Any]:
        """The decoded JSON body; empty if the request has none."""
        return msgspec.json.decode(self.raw) if self.raw else {}

    @property
    def texts(self) -> list[str]:
        """The texts of an embedding request."""
        texts = self.body.get("input", [])
        return [texts] if isinstance(texts, str) else list(texts)

    @cached_property
    def prompt(self) -> str:
        """The text of the last message (without images), the first text to embed, or to count."""
        body = self.body
        messages = body.get("messages") or body.get("contents") or _find_items(body)
        if messages:
            last = messages[-1]
            return _join_text(last.get("content", last.get("parts")))
        return body.get("prompt") or next(iter(self.texts), "")


def _find_items(body: dict[str, Any]) -> list[Any]:
    """Return the messages of OpenAI's Responses API."""
    items = body.get("input")
    is_list = isinstance(items, list) and items and isinstance(items[0], dict)
    return items if is_list and items is not None else []


def _join_text(content: Any) -> str:
    """Return the text of a message, a string or parts, in any of the formats."""
    if isinstance(content, str):
        return content
    return "".join(part.get("text") or "" for part in content or ())


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The reply to a request. The default is a good reply that echoes the prompt.

    Attributes
    ----------
    text
        The model's reply.
    status
        HTTP status; a status other than 200 has an error object as its body.
    headers
        Added to the reply's headers, e.g. ``{"Retry-After": "1"}``.
    latency_s
        Seconds until the reply; default: the server's latency.
    finish_reason
        Stop, length, or content_filter.
    body
        These bytes instead of a JSON document.
    content_length
        The value of that header; default: the true length.
    cut_after
        Reset the connection after this number of bytes of the body.
    drip_s
        Send the body in ten pieces, with this pause between them, in seconds.
    fate
        Reply: send it; reset: close the connection without a reply; silence: never reply.
    """

    text: str | None = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    latency_s: float | None = None
    finish_reason: str = "stop"
    body: bytes | None = None
    content_length: int | None = None
    cut_after: int | None = None
    drip_s: float | None = None
    fate: Literal["reply", "reset", "silence"] = "reply"


def lognormal(
    mean_s: float, sigma: float, seed: int = 0
) -> Callable[[Question], float]:
    """Return a latency with a lognormal distribution, for ``EndpointServer(latency=..)``.

    The latency depends on the prompt: equal prompts have equal latencies, so that a run can be
    repeated.

    mean_s   its mean, in seconds
    sigma    its standard deviation on the logarithmic scale
    seed     another seed gives other latencies

    Examples
    --------
    >>> from aiquery.testing import EndpointServer, lognormal
    >>> server = EndpointServer(latency=lognormal(0.2, 0.6))
    """
    normal = NormalDist(math.log(mean_s) - sigma * sigma / 2, sigma)

    def latency(question: Question) -> float:
        number = crc32(question.prompt.encode("utf-8", "replace"), seed)
        uniform = (number + 0.5) / 2**32
        return math.exp(normal.inv_cdf(uniform))

    return latency


def mixed(
    shares: Sequence[tuple[Answer, float]], seed: int = 0
) -> Callable[[Question], Answer]:
    """Return a script that gives each answer to a random share of the requests.

    shares   pairs of an answer and its share (0 to 1); the rest gets the default answer
    seed     of the random numbers

    Examples
    --------
    >>> from aiquery.testing import Answer, EndpointServer, mixed
    >>> server = EndpointServer(reply=mixed([(Answer(status=503), 0.1)]))
    """
    source = random.Random(seed)  # noqa: S311  not a secret

    def script(_: Question) -> Answer:
        draw = source.random()
        for answer, share in shares:
            draw -= share
            if draw < 0:
                return answer
        return Answer()

    return script
