"""fake: a deterministic model in the process, for examples, tests and dry runs.

Options of the endpoint: ``reply`` is the answer to every request (default: ``echo: <text>``; with a
schema, the smallest document that satisfies it). ``choices`` is a comma-separated list of answers;
a text always gets the same one. ``fail`` is a text: every request that contains it fails and is not
retried. ``wait_s`` is the latency in seconds. ``dimensions`` is the length of an embedding. A token
is four characters.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast
from zlib import crc32

import msgspec

from aiquery.errors import RequestFailed
from aiquery.requests.chat import build_messages
from aiquery.requests.request import Response, Usage, Vector

if TYPE_CHECKING:
    from aiquery.config.credentials import Credentials
    from aiquery.config.endpoint import Endpoint
    from aiquery.requests.request import Content, Request

DIMENSIONS = 8
CHARACTERS_PER_TOKEN = 4


class FakeProvider:
    """Answers requests in the process, as the options of the endpoint define."""

    slots = 64
    context_window = 8192
    max_batch_size = 64
    remote = False
    rate_limits = None

    def __init__(self, endpoint: Endpoint) -> None:
        """Read the options of the endpoint."""
        self.endpoint = endpoint
        self.calls = 0
        options = endpoint.options
        choices = options.get("choices")
        self.choices = str(choices).split(",") if choices else []
        self.wait_s = float(options.get("wait_s", 0))

    @classmethod
    def check(cls, endpoint: Endpoint) -> None:
        """Accept every endpoint: the model needs no URL, key or file."""

    @classmethod
    def dimensions(cls, endpoint: Endpoint) -> int | None:
        """Return the length of the embeddings."""
        default = int(endpoint.options.get("dimensions", DIMENSIONS))
        return endpoint.dimensions or default

    @classmethod
    async def open(cls, endpoint: Endpoint, credentials: Credentials) -> FakeProvider:
        """Return the provider; it needs no key."""
        del credentials
        return cls(endpoint)

    async def complete(self, request: Request) -> Response:
        """Answer as the options define. Raises ``RequestFailed`` for a text with ``fail``."""
        self.calls += 1
        if self.wait_s:
            await asyncio.sleep(self.wait_s)
        text = _to_text(request.content)
        options = self.endpoint.options
        failing = options.get("fail")
        if failing and str(failing) in text:
            raise RequestFailed(
                f"scripted failure for a text with {failing!r}.", status=400
            )
        if self.endpoint.task == "embedding":
            vectors = [Vector(self._embed(str(item))) for item in request.content]
            usage = Usage(len(text) // CHARACTERS_PER_TOKEN)
            return Response(vectors=vectors, usage=usage)
        if self.endpoint.task == "rerank":
            return Response(scores=self._score(request))
        if self.endpoint.task == "custom":
            return Response(value=options.get("reply"))
        answer = self._answer(request, text)
        tokens_out = _count_tokens(answer)
        usage = Usage(tokens_in=_count_tokens(text), tokens_out=tokens_out)
        return Response(text=answer, usage=usage)

    async def count_tokens(self, request: Request) -> Response:
        """Return the number of tokens: one per four characters."""
        return Response(value=_count_tokens(_to_text(request.content)))

    async def close(self) -> None:
        """Do nothing: there is nothing to release."""

    def _answer(self, request: Request, text: str) -> str:
        build_messages(request)  # raises the errors of a malformed request
        if self.choices:
            number = crc32(text.encode("utf-8", "replace"))
            return self.choices[number % len(self.choices)]
        if "reply" in self.endpoint.options:
            return str(self.endpoint.options["reply"])
        schema = (request.template.response_format or {}).get("json_schema")
        if isinstance(schema, dict):
            document = build_smallest_document(schema["schema"])
            return msgspec.json.encode(document).decode()
        return f"echo: {text}"

    def _score(self, request: Request) -> list[float]:
        documents = cast("dict[str, list[str]]", request.content)["documents"]
        reply = self.endpoint.options.get("reply")
        if reply is not None:
            return [float(reply)] * len(documents)
        seeds = [crc32(item.encode("utf-8", "replace")) for item in documents]
        return [seed / 2**32 for seed in seeds]

    def _embed(self, text: str) -> list[float]:
        seed = crc32(text.encode("utf-8", "replace"))
        length = self.dimensions(self.endpoint) or DIMENSIONS
        return [((seed >> (i % 24)) % 255) / 255 for i in range(length)]


def _to_text(content: Content) -> str:
    if isinstance(content, str):
        return content
    return msgspec.json.encode(content).decode()


def _count_tokens(text: str) -> int:
    return len(text) // CHARACTERS_PER_TOKEN + 1


_TEXTS = {"date": "2000-01-01", "date-time": "2000-01-01T00:00:00"}
"""The texts of string formats."""

_SMALLEST: dict[str, object] = {"integer": 0, "number": 0.0, "boolean": False}


def build_smallest_document(schema: dict[str, Any]) -> object:
    """Return the smallest document that satisfies a JSON schema of the functions or a return type.

    It is not correct for every JSON schema.
    """
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        return build_smallest_document(schema["anyOf"][0])
    json_type = schema.get("type", "object")
    if isinstance(json_type, list):
        json_type = json_type[0]
    if json_type == "object":
        properties = schema.get("properties", {})
        required = schema.get("required", properties)
        default = {"type": "string"}
        return {
            name: build_smallest_document(properties.get(name, default))
            for name in required
        }
    if json_type == "array":
        return []
    if json_type == "string":
        return _TEXTS.get(schema.get("format", ""), "")
    return _SMALLEST.get(json_type)
