"""openai: any server that speaks OpenAI's wire format, over aiohttp. Vendors are rows of configuration, not code."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from aiquery.errors import ConfigError, InvalidResponse, RequestFailed, excerpt
from aiquery.providers.http import HTTPClient
from aiquery.requests.chat import chat_messages
from aiquery.requests.request import Response, Usage, Vector

if TYPE_CHECKING:
    from aiquery.config.endpoint import Endpoint
    from aiquery.config.environment import Credentials
    from aiquery.requests.request import RateLimits, Request


class OpenAIProvider:
    """POSTs to ``/chat/completions`` or ``/embeddings`` below the endpoint's ``base_url``."""

    slots = 64
    context_window = 8192
    max_batch_size = 256
    remote = True

    def __init__(self, endpoint: Endpoint, http: HTTPClient) -> None:
        """Use ``open``."""
        self._endpoint = endpoint
        self._http = http
        path = "embeddings" if endpoint.task == "embedding" else "chat/completions"
        base_url = (endpoint.base_url or "").rstrip("/")
        self._url = f"{base_url}/{path}"
        self._tokenize_url = f"{base_url.removesuffix('/v1')}/tokenize"

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
    def dimensions(cls, endpoint: Endpoint) -> int | None:
        """Return what the endpoint's row says."""
        return endpoint.dimensions

    @classmethod
    async def open(cls, endpoint: Endpoint, credentials: Credentials) -> OpenAIProvider:
        """Make the session."""
        return cls(endpoint, HTTPClient(endpoint, credentials))

    async def complete(self, request: Request) -> Response:
        """Ask once."""
        template = request.template
        if self._endpoint.task == "embedding":
            payload = {
                "model": template.model,
                "input": request.content,
                **template.parameters,
            }
            return embedding_response(
                await self._http.post(self._url, payload, Embeddings),
                len(request.content),
            )
        payload = {
            "model": template.model,
            "messages": chat_messages(request),
            **template.parameters,
        }
        if template.response_format is not None:
            payload["response_format"] = template.response_format
        return chat_response(await self._http.post(self._url, payload, Chat))

    async def count_tokens(self, request: Request) -> Response:
        """Ask ``/tokenize``, which vLLM, SGLang (both: ``prompt``) and llama.cpp (``content``) have beside ``/v1``."""
        text = request.content
        payload: dict[str, object] = {
            "model": request.template.model,
            "prompt": text,
            "content": text,
            "add_special_tokens": False,
        }
        try:
            document = await self._http.post(self._tokenize_url, payload, _Tokens)
        except RequestFailed as error:
            if error.status in {404, 405, 501}:
                error.message = f"it has no {self._tokenize_url} to count tokens with ({error.message})"
            raise
        return Response(
            value=len(document.tokens) if document.count is None else document.count
        )

    @property
    def rate_limits(self) -> RateLimits | None:
        """What the endpoint last said of its limits."""
        return self._http.rate_limits

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()


class _Tokens(msgspec.Struct):
    count: int | None = None
    tokens: list[object] = []
    error: object = None


class _Message(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None


class _Token(msgspec.Struct):
    token: str
    logprob: float


class _Logprobs(msgspec.Struct):
    content: list[_Token] | None = None


class _Choice(msgspec.Struct):
    message: _Message | None = None
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


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
    embedding: list[float] | str
    index: int | None = None


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
        raise InvalidResponse(
            "the reply was stopped by the endpoint's content filter", status=200
        )
    if message.refusal:
        raise InvalidResponse(
            f"the model refused: {excerpt(message.refusal)}", status=200
        )
    if message.content is None:
        raise InvalidResponse("the reply has no text", status=200)
    tokens = choice.logprobs.content if choice.logprobs is not None else None
    return Response(
        message.content,
        usage=_tokens(document.usage),
        truncated=choice.finish_reason == "length",
        logprobs=None
        if tokens is None
        else [(token.token, token.logprob) for token in tokens],
    )


def embedding_response(document: Embeddings, texts: int) -> Response:
    """Read the embeddings of so many texts, in their order; raise ``InvalidResponse`` if there are not as many."""
    found = document.data or []
    if len(found) != texts:
        raise InvalidResponse(
            f"the reply has {len(found)} embeddings for {texts} texts", status=200
        )
    if all(vector.index is not None for vector in found):
        found = sorted(found, key=lambda vector: vector.index or 0)
    return Response(
        vectors=[Vector(vector.embedding) for vector in found],
        usage=_tokens(document.usage),
    )


def _tokens(usage: _Usage | None) -> Usage:
    if usage is None:
        return Usage()
    details = usage.prompt_tokens_details
    cached = details.cached_tokens if details is not None else 0
    return Usage(usage.prompt_tokens or 0, cached or 0, usage.completion_tokens or 0)
