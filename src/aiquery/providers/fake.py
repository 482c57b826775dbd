"""fake: a deterministic model in the process, with scripted failures. For examples, tests and dry runs.

Options of the endpoint: ``reply`` is the answer (default: ``echo: <text>``; for a schema, the smallest document that
satisfies it), ``choices`` is a comma-separated list of answers one of which each text gets, always the same one,
``fail`` makes every text that contains it fail for good, ``wait_s`` is the latency in seconds, ``dimensions`` the
length of an embedding. A token is four characters.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from zlib import crc32

import msgspec

from aiquery.errors import RequestFailed
from aiquery.requests.chat import chat_messages
from aiquery.requests.request import Response, Usage, Vector

if TYPE_CHECKING:
    from aiquery.config.endpoint import Endpoint
    from aiquery.config.environment import Credentials
    from aiquery.requests.request import Content, Request


DIMENSIONS = 8


def _text(content: Content) -> str:
    return (
        content if isinstance(content, str) else msgspec.json.encode(content).decode()
    )


class FakeProvider:
    """See the module."""

    slots = 64
    context_window = 8192
    max_batch_size = 64
    remote = False
    rate_limits = None

    def __init__(self, endpoint: Endpoint) -> None:
        """Read the script from the endpoint's options."""
        self.endpoint = endpoint
        options = endpoint.options
        self.choices = (
            str(options.get("choices", "")).split(",") if options.get("choices") else []
        )
        self.wait_s = float(options.get("wait_s", 0))
        self.calls = 0

    @classmethod
    def check(cls, endpoint: Endpoint) -> None:
        """Nothing can be missing."""

    @classmethod
    def dimensions(cls, endpoint: Endpoint) -> int | None:
        """Return the length that its vectors have."""
        return endpoint.dimensions or int(
            endpoint.options.get("dimensions", DIMENSIONS)
        )

    @classmethod
    async def open(cls, endpoint: Endpoint, credentials: Credentials) -> FakeProvider:
        """Make the model; it needs no key."""
        del credentials
        return cls(endpoint)

    async def complete(self, request: Request) -> Response:
        """Answer as scripted."""
        self.calls += 1
        if self.wait_s:
            await asyncio.sleep(self.wait_s)
        text = _text(request.content)
        fail = self.endpoint.options.get("fail")
        if fail and str(fail) in text:
            raise RequestFailed(
                f"scripted failure for a text with {fail!r}.", status=400
            )
        if self.endpoint.task == "embedding":
            vectors = [Vector(self._vector(str(one))) for one in request.content]
            return Response(vectors=vectors, usage=Usage(len(text) // 4))
        if self.endpoint.task == "custom":
            return Response(value=self.endpoint.options.get("reply"))
        answer = self._answer(request, text)
        return Response(
            answer, usage=Usage(len(text) // 4 + 1, 0, len(answer) // 4 + 1)
        )

    async def count_tokens(self, request: Request) -> Response:
        """Count four characters as one token."""
        return Response(value=len(_text(request.content)) // 4 + 1)

    def _answer(self, request: Request, text: str) -> str:
        chat_messages(request)
        if self.choices:
            return self.choices[
                crc32(text.encode("utf-8", "replace")) % len(self.choices)
            ]
        if "reply" in self.endpoint.options:
            return str(self.endpoint.options["reply"])
        schema = (request.template.response_format or {}).get("json_schema")
        if isinstance(schema, dict):
            return msgspec.json.encode(smallest(schema["schema"])).decode()
        return f"echo: {text}"

    def _vector(self, text: str) -> list[float]:
        seed = crc32(text.encode("utf-8", "replace"))
        return [
            ((seed >> (i % 24)) % 255) / 255
            for i in range(self.dimensions(self.endpoint) or DIMENSIONS)
        ]

    async def close(self) -> None:
        """Nothing is open."""


def smallest(schema: dict[str, Any]) -> object:
    """Return the smallest document that satisfies a JSON schema as the functions and ``returnType`` make them."""
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        return smallest(schema["anyOf"][0])
    kind = schema.get("type", "object")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        properties = schema.get("properties", {})
        return {
            name: smallest(properties.get(name, {"type": "string"}))
            for name in schema.get("required", properties)
        }
    text = {"date": "2000-01-01", "date-time": "2000-01-01T00:00:00"}.get(
        schema.get("format", ""), ""
    )
    return {
        "array": [],
        "string": text,
        "integer": 0,
        "number": 0.0,
        "boolean": False,
    }.get(kind)
