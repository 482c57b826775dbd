"""openai: a server with an OpenAI-compatible API, over HTTP. Vendors are rows of configuration."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec
from yarl import URL

from aiquery.config.credentials import AUTHORIZATION
from aiquery.errors import RequestFailed, UnsupportedFeature
from aiquery.providers.embedding_replies import limit_batch_reply
from aiquery.providers.http.addresses import build_tokenize_url, build_url
from aiquery.providers.http.client import NO_ERROR, HTTPClient
from aiquery.providers.http.provider import ChatProvider, check_address
from aiquery.providers.openai.chat_completions import Chat, read_chat
from aiquery.providers.openai.embeddings import Embeddings, read_embeddings
from aiquery.providers.openai.rerank import (
    RERANK_REPLY,
    build_rerank_payload,
    read_scores,
)
from aiquery.providers.openai.responses import (
    Responses,
    build_responses_payload,
    read_responses,
)
from aiquery.providers.request_plan import RequestPlans, arrange_messages
from aiquery.providers.unsupported import raise_if_unsupported
from aiquery.requests.chat import build_messages
from aiquery.requests.request import Response

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiquery.config.credentials import Credentials
    from aiquery.config.endpoint import Endpoint
    from aiquery.requests.request import Request

_PATHS = {"embedding": "embeddings", "rerank": "rerank"}
_RESPONSES = "responses"
_NO_FEATURES: frozenset[str] = frozenset()
_WITHOUT_VERSION = frozenset({"a base_url without /v1"})
_CHAT_COMPLETIONS = "chat completions"
_WITH_CHAT_COMPLETIONS = frozenset({_CHAT_COMPLETIONS})
"""The API is shown to an endpoint with the other features. A request without one does not wait for it."""

_WITH_LENGTH = "text-embedding-3"
"""Models of OpenAI whose vectors have the length that a request names."""

_MISSING_PATH = frozenset({404, 405, 501})
_NEEDS_RESPONSES = re.compile(
    r"(?:only|use|in) \W{0,2}(?:v1)?/responses|responses api|use responses|not a chat model",
    re.IGNORECASE,
)
"""What OpenAI says of a model that has no chat completions."""

_AZURE_HOSTS = (".azure.com", ".azure-api.net")
_AZURE_PATH = "/openai/deployments/"
_AZURE_KEY_HEADER = "api-key"
_JSON_START = "ey"
"""A token of Entra ID is a JSON object in base64."""


class OpenAIProvider(ChatProvider):
    """Sends requests to ``/chat/completions``, ``/embeddings`` or ``/rerank`` below the endpoint's ``base_url``.

    Where the model has no chat completions, or the ``base_url`` ends in ``/responses``, chat requests go there. It
    counts tokens at ``/tokenize`` beside ``/v1``, which not all servers have.
    """

    max_batch_size = 256

    def __init__(self, endpoint: Endpoint, http: HTTPClient) -> None:
        """Use ``open``."""
        super().__init__(endpoint, http, RequestPlans(endpoint.structured))
        self._address = URL(endpoint.base_url or "")
        self._uses_responses = self._address.path.rstrip("/").endswith("/responses")
        self._has_version = self._address.path not in {"", "/"}
        self._sends_length = (
            endpoint.dimensions is not None and _WITH_LENGTH in endpoint.model
        )
        self._set_url()
        self._tokenize_url = build_tokenize_url(self._address)

    def _set_url(self) -> None:
        path = _PATHS.get(self._endpoint.task, "chat/completions")
        if self._uses_responses and self._endpoint.task == "chat":
            path = _RESPONSES
        self._url = build_url(self._address, path)
        self._url_with_version = build_url(self._address, f"v1/{path}")
        if _WITHOUT_VERSION & self._plans.rejected:
            self._url = self._url_with_version

    @classmethod
    def check(cls, endpoint: Endpoint) -> None:
        """Raise ``ConfigError`` if the endpoint has no URL."""
        check_address(endpoint, "http://localhost:8000/v1")

    @classmethod
    async def open(cls, endpoint: Endpoint, credentials: Credentials) -> OpenAIProvider:
        """Return a provider with a connection pool. The first request connects."""
        key_header = _find_key_header(endpoint, credentials)
        return cls(endpoint, HTTPClient(endpoint, credentials, key_header=key_header))

    async def complete(self, request: Request) -> Response:
        """Make one attempt. Raises ``RowError``."""
        if self._endpoint.task != "chat":
            return await self._complete_other(request)
        template = request.template
        plan = self._plans.find(template)
        uses_responses = self._uses_responses
        messages = build_messages(request)
        if plan.changes_messages:
            messages = arrange_messages(messages, plan)
        try:
            if uses_responses:
                payload = build_responses_payload(template.model, messages, plan.fields)
                reply = await self._http.post(self._url, payload, Responses)
                return read_responses(reply, uses_tool=plan.uses_tool)
            payload = {"model": template.model, "messages": messages, **plan.fields}
            document = await self._http.post(self._url, payload, Chat)
            return read_chat(document, uses_tool=plan.uses_tool)
        except RequestFailed as error:
            if not uses_responses and _NEEDS_RESPONSES.search(error.message):
                raise UnsupportedFeature(
                    error.message, _CHAT_COMPLETIONS, error.status
                ) from None
            self._raise_if_without_version(error)
            raise_if_unsupported(error, template, plan)
            raise

    async def _complete_other(self, request: Request) -> Response:
        try:
            if self._endpoint.task == "embedding":
                return await self._embed(request)
            payload = build_rerank_payload(request, self._endpoint.options)
            reply = await self._http.post(self._url, payload, RERANK_REPLY)
            return read_scores(reply, request)
        except RequestFailed as error:
            self._raise_if_without_version(error)
            raise

    async def _embed(self, request: Request) -> Response:
        template = request.template
        payload = {
            "model": template.model,
            "input": request.content,
            **template.parameters,
        }
        if self._sends_length:
            payload["dimensions"] = self._endpoint.dimensions
        count = len(request.content)
        limit = limit_batch_reply(count)
        embeddings = await self._http.post(self._url, payload, Embeddings, limit)
        return read_embeddings(embeddings, count)

    def features(self, request: Request) -> frozenset[str]:
        """Return the features that a request uses, of those that not every model takes."""
        is_chat = self._endpoint.task == "chat"
        features = super().features(request) if is_chat else _NO_FEATURES
        is_learning = features or self._plans.rejected
        if is_chat and is_learning and not self._uses_responses:
            features |= _WITH_CHAT_COMPLETIONS
        return features | _WITHOUT_VERSION if self._may_lack_version() else features

    def reject(self, features: Iterable[str]) -> None:
        """Send further requests without these features, or with what takes their place."""
        super().reject(features)
        self._uses_responses |= _CHAT_COMPLETIONS in self._plans.rejected
        self._set_url()

    def _raise_if_without_version(self, error: RequestFailed) -> None:
        """Raise ``UnsupportedFeature`` if the path may have been one without its version."""
        is_missing = error.status in _MISSING_PATH
        is_about_model = "model" in error.message.lower()
        if is_missing and not is_about_model and self._may_lack_version():
            (feature,) = _WITHOUT_VERSION
            raise UnsupportedFeature(error.message, feature, error.status) from None

    def _may_lack_version(self) -> bool:
        return not self._has_version and not _WITHOUT_VERSION & self._plans.rejected

    async def count_tokens(self, request: Request) -> Response:
        """Return the number of tokens from ``/tokenize``. Raises ``RowError``.

        vLLM and SGLang read the text from ``prompt``, llama.cpp from ``content``.
        """
        text = request.content
        payload: dict[str, object] = {
            "model": request.template.model,
            "prompt": text,
            "content": text,
            "add_special_tokens": False,
        }
        try:
            document = await self._http.post(self._tokenize_url, payload, _Tokenized)
        except RequestFailed as error:
            if error.status in _MISSING_PATH:
                error.message = f"it has no {self._tokenize_url} to count tokens with ({error.message})"
            raise
        if document.count is not None:
            return Response(value=document.count)
        return Response(value=len(document.tokens))


class _Tokenized(msgspec.Struct):
    count: int | None = None
    tokens: list[object] = []
    error: msgspec.Raw = NO_ERROR


def _find_key_header(endpoint: Endpoint, credentials: Credentials) -> str:
    """Return the header of the key. Azure takes a token as others take a key, and its own keys in another header."""
    address = URL(endpoint.base_url or "")
    is_azure = (address.host or "").endswith(
        _AZURE_HOSTS
    ) or _AZURE_PATH in address.path
    key = credentials.key
    if not is_azure or key is None or key.reveal().startswith(_JSON_START):
        return AUTHORIZATION
    return _AZURE_KEY_HEADER
