"""What a test endpoint was asked (Question) and what it answers (Answer): good replies, and every way to fail."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from functools import cached_property
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Literal
from zlib import crc32

import msgspec

from aiquery.providers.fake import smallest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

BLOCK_TOKENS = 16
CHARACTERS_PER_TOKEN = 4


@dataclass(eq=False)
class Question:
    """One request as it arrived. ``number`` counts from 0, ``at_s`` is the server's monotonic clock."""

    number: int
    at_s: float
    path: str
    headers: dict[str, str]
    raw: bytes = field(repr=False)

    @cached_property
    def body(self) -> dict[str, Any]:
        """The decoded JSON body."""
        return msgspec.json.decode(self.raw) if self.raw else {}

    @property
    def texts(self) -> list[str]:
        """The texts of an embedding request."""
        given = self.body.get("input", [])
        return [given] if isinstance(given, str) else list(given)

    @cached_property
    def prompt(self) -> str:
        """The text of the last message (without images), the first text to embed, or the text to count."""
        messages = self.body.get("messages")
        if not messages:
            return self.body.get("prompt") or (self.texts or [""])[0]
        content = messages[-1]["content"]
        if isinstance(content, str):
            return content
        return "".join(part.get("text", "") for part in content)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What to send back. The default is a good reply that echoes the prompt.

    text            the model's reply
    status          HTTP status; with ``body`` None an error object is sent for anything but 200
    headers         added to the reply's headers, e.g. {"Retry-After": "1"}
    latency_s       instead of the server's latency, in seconds
    finish_reason   stop, length, content_filter
    body            these bytes instead of a JSON document
    content_length  instead of the true one
    cut_after       send so many bytes of the body, then reset the connection
    drip_s          send the body in ten pieces with this pause (seconds) between two
    fate            "reset" closes the connection without a reply, "silence" never replies
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
    """Return a latency (seconds) drawn per prompt: the same prompt always waits as long, so a run can be repeated."""
    normal = NormalDist(math.log(mean_s) - sigma * sigma / 2, sigma)

    def latency(question: Question) -> float:
        uniform = (
            crc32(question.prompt.encode("utf-8", "replace"), seed) + 0.5
        ) / 2**32
        return math.exp(normal.inv_cdf(uniform))

    return latency


def mixed(
    shares: Sequence[tuple[Answer, float]], seed: int = 0
) -> Callable[[Question], Answer]:
    """Return a script that gives each answer to its share (0 to 1) of the requests, at random, and else echoes."""
    source = random.Random(seed)  # noqa: S311  a script, no secret

    def script(_: Question) -> Answer:
        draw = source.random()
        for answer, share in shares:
            draw -= share
            if draw < 0:
                return answer
        return Answer()

    return script


def document(
    question: Question, answer: Answer, cached: int, dimensions: int
) -> dict[str, Any]:
    """Return the JSON document of a good reply."""
    if question.path.endswith("/tokenize"):
        count = len(question.prompt) // CHARACTERS_PER_TOKEN + 1
        return {"count": count, "max_model_len": 8192, "tokens": list(range(count))}
    if question.path.endswith("/embeddings"):
        return _embeddings(question, dimensions)
    text = answer.text if answer.text is not None else _default_text(question)
    tokens_in = prompt_tokens(question)
    tokens_out = len(text) // CHARACTERS_PER_TOKEN + 1
    return {
        "id": f"chatcmpl-{question.number}",
        "object": "chat.completion",
        "model": question.body.get("model"),
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text},
                "finish_reason": answer.finish_reason,
            }
        ],
        "usage": {
            "prompt_tokens": tokens_in,
            "completion_tokens": tokens_out,
            "total_tokens": tokens_in + tokens_out,
            "prompt_tokens_details": {"cached_tokens": min(cached, tokens_in)},
        },
    }


def prompt_tokens(question: Question) -> int:
    """Return the length of a prompt in tokens of four characters."""
    return len(question.prompt) // CHARACTERS_PER_TOKEN + 1


def blocks(prompt: str) -> list[int]:
    """Return the identities of a prompt's blocks of 16 tokens, each with everything before it."""
    size = BLOCK_TOKENS * CHARACTERS_PER_TOKEN
    return [hash(prompt[:end]) for end in range(size, len(prompt) + size, size)]


def _default_text(question: Question) -> str:
    response_format = question.body.get("response_format") or {}
    if response_format.get("type") == "json_schema":
        return msgspec.json.encode(
            smallest(response_format["json_schema"]["schema"])
        ).decode()
    return f"echo: {question.prompt}"


def _embeddings(question: Question, dimensions: int) -> dict[str, Any]:
    texts = question.texts
    tokens = sum(len(text) // CHARACTERS_PER_TOKEN + 1 for text in texts)
    data = [
        {"object": "embedding", "index": i, "embedding": _vector(text, dimensions)}
        for i, text in enumerate(texts)
    ]
    return {
        "object": "list",
        "model": question.body.get("model"),
        "data": data,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def _vector(text: str, dimensions: int) -> list[float]:
    source = random.Random(crc32(text.encode("utf-8", "replace")))  # noqa: S311  a fake vector
    return [round(source.uniform(-1, 1), 6) for _ in range(dimensions)]
