"""openai: any server that speaks OpenAI's wire format, over aiohttp. Vendors are rows of configuration, not code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiquery.errors import ConfigError, InvalidResponse, excerpt
from aiquery.prompt import chat_messages
from aiquery.providers.http import HTTP
from aiquery.request import Response, Usage

if TYPE_CHECKING:
    from aiquery.config import Credentials
    from aiquery.endpoint import Endpoint
    from aiquery.request import Request


class OpenAIProvider:
    """POSTs to ``/chat/completions`` or ``/embeddings`` below the endpoint's ``base_url``."""

    slots = 64

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
            return _embedding(await self._http.post(self._url, payload))
        payload = {"model": target.model, "messages": chat_messages(request), **target.parameters}
        if target.response_format is not None:
            payload["response_format"] = target.response_format
        return chat_response(await self._http.post(self._url, payload))

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()


def chat_response(document: dict[str, Any]) -> Response:
    """Read a chat completion; raise ``InvalidResponse`` for what is no answer."""
    choices = document.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise InvalidResponse("the reply has no choices", status=200)
    choice = choices[0]
    message = choice.get("message")
    if not isinstance(message, dict):
        raise InvalidResponse("the reply has no message", status=200)
    if choice.get("finish_reason") == "content_filter":
        raise InvalidResponse("the reply was stopped by the endpoint's content filter", status=200)
    if message.get("refusal"):
        raise InvalidResponse(f"the model refused: {excerpt(str(message['refusal']))}", status=200)
    text = message.get("content")
    if not isinstance(text, str):
        raise InvalidResponse("the reply has no text", status=200)
    return Response(text, usage=read_usage(document), truncated=choice.get("finish_reason") == "length")


def read_usage(document: dict[str, Any]) -> Usage:
    """Return the tokens that the endpoint counted; zeros where it counted none."""
    usage = document.get("usage")
    if not isinstance(usage, dict):
        return Usage()
    details = usage.get("prompt_tokens_details") or {}
    return Usage(
        usage.get("prompt_tokens") or 0, details.get("cached_tokens") or 0, usage.get("completion_tokens") or 0
    )


def _embedding(document: dict[str, Any]) -> Response:
    data = document.get("data")
    if not isinstance(data, list) or not data or not isinstance(data[0].get("embedding"), list):
        raise InvalidResponse("the reply has no embedding", status=200)
    return Response(vector=data[0]["embedding"], usage=read_usage(document))
