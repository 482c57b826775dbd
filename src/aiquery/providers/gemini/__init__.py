"""gemini: Google's own API of its models, at the Gemini API and on Vertex AI.

Sources, read on 2026-11-27: ai.google.dev/api, "Generating content", "Embeddings", "Counting tokens";
cloud.google.com/vertex-ai/generative-ai/docs/model-reference, "Inference" and "Text embeddings".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, cast

from yarl import URL

from aiquery.config.credentials import AUTHORIZATION
from aiquery.errors import InvalidResponse, RequestFailed, UnsupportedFeature
from aiquery.providers.embedding_replies import limit_batch_reply
from aiquery.providers.gemini.embeddings import (
    EMBEDDING_CONFIG,
    Embedded,
    build_embedding_request,
    find_embedding_api,
    read_embedded,
)
from aiquery.providers.gemini.payload import (
    build_contents,
    to_config_fields,
    to_part,
)
from aiquery.providers.gemini.replies import Counted, Generated, read_generated
from aiquery.providers.http.client import HTTPClient
from aiquery.providers.http.provider import (
    ChatProvider,
    check_address,
    check_task,
)
from aiquery.providers.request_plan import RequestPlans, arrange_messages
from aiquery.providers.unsupported import (
    SCHEMAS,
    STRICT,
    find_unsupported,
    name_schema,
    raise_if_unsupported,
)
from aiquery.requests.chat import build_messages
from aiquery.requests.request import Response

if TYPE_CHECKING:
    from aiquery.config.credentials import Credentials
    from aiquery.config.endpoint import Endpoint
    from aiquery.requests.request import Request

_GEMINI_HOST = "https://generativelanguage.googleapis.com/v1beta"
_NO_REASON = "Request contains an invalid argument"
"""What Google says of a schema that is too large, among others."""

_MODEL_PATH = re.compile(r"/(?:models|tunedModels)/[^/]+$")
_KEY_HEADER = "x-goog-api-key"
_VERTEX_PATH = "/publishers/google"
_GLOBAL_HOST = "global-aiplatform.googleapis.com"
_COLLECTIONS = ("models/", "tunedModels/", "endpoints/")


class GeminiProvider(ChatProvider):
    """Sends requests to ``/models/MODEL:generateContent`` below the endpoint's ``base_url``.

    An address with ``/publishers/google`` is one of Vertex AI: it takes a token of Google Cloud in place of a key.
    """

    context_window = 1_000_000

    def __init__(self, endpoint: Endpoint, http: HTTPClient) -> None:
        """Use ``open``."""
        plans = RequestPlans(endpoint.structured, (STRICT,), to_config_fields)
        super().__init__(endpoint, http, plans)
        self._is_vertex = _is_vertex(endpoint)
        self._address = _complete_address(endpoint)
        model = endpoint.model
        self._model = model if model.startswith(_COLLECTIONS) else f"models/{model}"
        self._url = self._build_url("generateContent")
        self._embedding_api = find_embedding_api(model, is_vertex=self._is_vertex)
        self.max_batch_size = self._embedding_api.batch_size

    @classmethod
    def check(cls, endpoint: Endpoint) -> None:
        """Raise ``ConfigError`` if the endpoint has no URL, or a task that the API does not have."""
        check_address(endpoint, _GEMINI_HOST)
        check_task(endpoint, "chat", "embedding")

    @classmethod
    async def open(cls, endpoint: Endpoint, credentials: Credentials) -> GeminiProvider:
        """Return a provider with a connection pool. The first request connects."""
        key_header = AUTHORIZATION if _is_vertex(endpoint) else _KEY_HEADER
        return cls(endpoint, HTTPClient(endpoint, credentials, key_header=key_header))

    def _build_url(self, method: str) -> str:
        path = f"{self._address.path.rstrip('/')}/{self._model}:{method}"
        return str(self._address.with_path(path, keep_query=True))

    async def complete(self, request: Request) -> Response:
        """Make one attempt. Raises ``RowError``."""
        if self._endpoint.task == "embedding":
            return await self._embed(request)
        template = request.template
        plan = self._plans.find(template)
        messages = arrange_messages(build_messages(request), plan)
        payload = {**build_contents(messages), **plan.fields}
        try:
            document = await self._http.post(self._url, payload, Generated)
        except RequestFailed as error:
            raise_if_unsupported(error, template, plan)
            ways = SCHEMAS & plan.features
            if ways and _NO_REASON in error.message:
                feature = name_schema(min(ways), template)
                raise UnsupportedFeature(error.message, feature, error.status) from None
            raise
        return read_generated(document, uses_tool=plan.uses_tool)

    async def _embed(self, request: Request) -> Response:
        """Embed texts, which the server shall not cut: it does so without a word."""
        texts = cast("list[str]", request.content)
        method, payload = build_embedding_request(
            self._embedding_api, texts, self._model, self._embedding_config()
        )
        url = self._build_url(method)
        limit = limit_batch_reply(len(texts))
        try:
            document = await self._http.post(url, payload, Embedded, limit)
        except RequestFailed as error:
            features = self.features(request)
            feature = find_unsupported(error.message, error.parameter, features)
            if feature is not None:
                raise UnsupportedFeature(error.message, feature, error.status) from None
            raise
        return read_embedded(document, len(texts))

    def _embedding_config(self) -> dict[str, object]:
        config: dict[str, object] = {}
        if EMBEDDING_CONFIG not in self._plans.rejected:
            config["autoTruncate"] = False
        if self._endpoint.dimensions is not None:
            config["outputDimensionality"] = self._endpoint.dimensions
        return config

    def features(self, request: Request) -> frozenset[str]:
        """Return the features that a request uses, of those that not every model takes."""
        if self._endpoint.task == "chat":
            return super().features(request)
        return frozenset({EMBEDDING_CONFIG}) - self._plans.rejected

    async def count_tokens(self, request: Request) -> Response:
        """Return the number of tokens from ``:countTokens``. Raises ``RowError``."""
        content = {"role": "user", **to_part(request.content)}
        url = self._build_url("countTokens")
        document = await self._http.post(url, {"contents": [content]}, Counted)
        if document.total_tokens is None:
            raise InvalidResponse("the reply has no totalTokens")
        return Response(value=document.total_tokens)


def _is_vertex(endpoint: Endpoint) -> bool:
    return _VERTEX_PATH in (endpoint.base_url or "")


def _complete_address(endpoint: Endpoint) -> URL:
    """Return the address below which the models are: with the version, which may be left out, and without a model."""
    address = URL(endpoint.base_url or "")
    if address.host == _GLOBAL_HOST:
        address = address.with_host(_GLOBAL_HOST.removeprefix("global-"))
    path = _MODEL_PATH.sub("", address.path.rstrip("/"))
    if not path and not _is_vertex(endpoint):
        path = "/v1beta"
    return address.with_path(path, keep_query=True)
