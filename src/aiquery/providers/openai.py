"""openai: any server that speaks OpenAI's wire format, over aiohttp. Vendors are rows of configuration, not code."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from aiquery.errors import ConfigError, InvalidResponse, excerpt
from aiquery.prompt import chat_messages
from aiquery.providers.http import HTTP
from aiquery.request import Response, Usage

if TYPE_CHECKING:
    from aiquery.config import Credentials
    from aiquery.endpoint import Endpoint
    from aiquery.request import RateLimits, Request


class OpenAIProvider:
    """POSTs to ``/chat/completions`` or ``/embeddings`` below the endpoint's ``base_url``."""

    slots = 64
    remote = True

    def __init__(self, endpoint: Endpoint, http: HTTP) -> None:
        """Use ``open``."""
        self._endpoint = endpoint
        self._http = http
        path = "embeddings" if endpoint.task == "embedding" else "chat/completions"
        self._url = f"{(endpoint.base_url or '').rstrip('/')}/{path}"

    def __repr__(self) -> str:
        """Name the endpoint, never a key."""
        return f"OpenAIProvider({self._endpoint.name!r})"

    @classmethod
    def check(cls, endpoint: Endpoint) -> None:
        """Raise if there is no URL to send to."""
        if not endpoint.base_url:
            raise ConfigError(
                f"endpoint {endpoint.name!r}: provider 'openai' needs a base_url, e.g. base_url = "
                '"http://localhost:8000/v1".'
            )

    @classmethod
    async def open(cls, endpoint: Endpoint, credentials: Credentials) -> OpenAIProvider:
        """Make the session."""
        return cls(endpoint, HTTP(endpoint, credentials))

    async def complete(self, request: Request) -> Response:
        """Ask once."""
        target = request.target
        if self._endpoint.task == "embedding":
            payload = {"model": target.model, "input": request.content, **target.parameters}
            return embedding_response(await self._http.post(self._url, payload, Embeddings))
        payload = {"model": target.model, "messages": chat_messages(request), **target.parameters}
        if target.response_format is not None:
            payload["response_format"] = target.response_format
        return chat_response(await self._http.post(self._url, payload, Chat))

    @property
    def rate_limits(self) -> RateLimits | None:
        """What the endpoint last said of its limits."""
        return self._http.rate_limits

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()


class _Message(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None


class _Choice(msgspec.Struct):
    message: _Message | None = None
    finish_reason: str | None = None


class _Cached(msgspec.Struct):
    cached_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _Cached | None = None


class Chat(msgspec.Struct):
    """What is read of a chat completion."""

    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: object = None


class _Vector(msgspec.Struct):
    embedding: list[float]


class Embeddings(msgspec.Struct):
    """What is read of an embeddings reply."""

    data: list[_Vector] | None = None
    usage: _Usage | None = None
    error: object = None


def chat_response(document: Chat) -> Response:
    """Read a chat completion; raise ``InvalidResponse`` for what is no answer."""
    if not document.choices:
        raise InvalidResponse("the reply has no choices", status=200)
    choice = document.choices[0]
    message = choice.message
    if message is None:
        raise InvalidResponse("the reply has no message", status=200)
    if choice.finish_reason == "content_filter":
        raise InvalidResponse("the reply was stopped by the endpoint's content filter", status=200)
    if message.refusal:
        raise InvalidResponse(f"the model refused: {excerpt(message.refusal)}", status=200)
    if message.content is None:
        raise InvalidResponse("the reply has no text", status=200)
    return Response(message.content, usage=_tokens(document.usage), truncated=choice.finish_reason == "length")


def embedding_response(document: Embeddings) -> Response:
    """Read the one embedding of a reply; raise ``InvalidResponse`` if there is none."""
    if not document.data:
        raise InvalidResponse("the reply has no embedding", status=200)
    return Response(vector=document.data[0].embedding, usage=_tokens(document.usage))


def _tokens(usage: _Usage | None) -> Usage:
    if usage is None:
        return Usage()
    details = usage.prompt_tokens_details
    cached = details.cached_tokens if details is not None else 0
    return Usage(usage.prompt_tokens or 0, cached or 0, usage.completion_tokens or 0)
