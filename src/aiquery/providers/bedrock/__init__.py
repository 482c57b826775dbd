"""bedrock: the Converse API of Amazon Bedrock, and its embedding models.

Sources, read on 2026-11-27: docs.aws.amazon.com/bedrock/latest/APIReference, "Converse", "InvokeModel" and
"CountTokens"; the user guide, "Structured outputs", "Prompt caching" and "Titan Text Embeddings".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote

from yarl import URL

from aiquery.config.credentials import AUTHORIZATION
from aiquery.errors import InvalidResponse, RequestFailed
from aiquery.providers.bedrock.embeddings import (
    BedrockEmbeddings,
    build_embedding_payload,
    find_batch_size,
    read_bedrock_embeddings,
)
from aiquery.providers.bedrock.messages import (
    Converse,
    Counted,
    build_conversation,
    offer_to_cache,
    read_converse,
    to_converse_fields,
)
from aiquery.providers.bedrock.signing import AWSSigner, check_botocore, open_signer
from aiquery.providers.embedding_replies import limit_batch_reply
from aiquery.providers.http.client import HTTPClient
from aiquery.providers.http.provider import (
    ChatProvider,
    check_address,
    check_task,
)
from aiquery.providers.request_plan import RequestPlans, arrange_messages
from aiquery.providers.unsupported import (
    JSON_OBJECT,
    STRICT,
    raise_if_unsupported,
)
from aiquery.requests.chat import build_messages
from aiquery.requests.request import Response

if TYPE_CHECKING:
    from aiquery.config.credentials import Credentials
    from aiquery.config.endpoint import Endpoint
    from aiquery.requests.request import Request

_REGION = re.compile(r"bedrock-runtime(?:-fips)?\.([a-z0-9-]+)\.")
_CACHING_MODELS = re.compile(
    r"anthropic\.claude-(?:opus|sonnet|haiku|fable)-\d|amazon\.nova-(?:2|lite|micro|pro|premier)"
)
"""The models that take a cache point. Others reject it."""

_MODEL_PATH = re.compile(r"/model/[^/]+/[a-z-]+$")
_EXAMPLE = "https://bedrock-runtime.us-east-1.amazonaws.com"


class BedrockProvider(ChatProvider):
    """Sends requests to ``/model/MODEL/converse`` below the endpoint's ``base_url``.

    With a key, a Bedrock API key, it is a bearer token. Without one the requests are signed.
    """

    context_window = 128_000

    def __init__(
        self, endpoint: Endpoint, http: HTTPClient, signer: AWSSigner | None
    ) -> None:
        """Use ``open``."""
        plans = RequestPlans(
            endpoint.structured,
            (STRICT, JSON_OBJECT),
            to_converse_fields,
            closed_schemas=True,
            one_sampling=True,
        )
        super().__init__(endpoint, http, plans)
        self._signer = signer
        self._caches = _CACHING_MODELS.search(endpoint.model) is not None
        self.max_batch_size = find_batch_size(endpoint.model)
        self._address = URL(endpoint.base_url or "")
        self._url = self._build_url("converse")

    def _build_url(self, method: str) -> str:
        start = _MODEL_PATH.sub("", self._address.raw_path.rstrip("/"))
        path = f"{start}/model/{quote(self._endpoint.model, safe='')}/{method}"
        return str(self._address.with_path(path, encoded=True, keep_query=True))

    @classmethod
    def check(cls, endpoint: Endpoint) -> None:
        """Raise ``ConfigError``: no URL, a task that the API does not have, no botocore."""
        check_address(endpoint, _EXAMPLE)
        check_task(endpoint, "chat", "embedding")
        has_key = endpoint.api_key_env or endpoint.api_key_file
        if not (has_key or endpoint.api_key_command):
            check_botocore(f"endpoint {endpoint.name!r}")

    @classmethod
    async def open(
        cls, endpoint: Endpoint, credentials: Credentials
    ) -> BedrockProvider:
        """Return a provider with a connection pool. The first request connects. Raises ``MissingKey``."""
        if credentials.key is not None or AUTHORIZATION in credentials.headers:
            return cls(endpoint, HTTPClient(endpoint, credentials), None)
        signer = await open_signer(endpoint.name, find_region(endpoint))
        http = HTTPClient(endpoint, credentials, sign=signer.sign)
        return cls(endpoint, http, signer)

    async def complete(self, request: Request) -> Response:
        """Make one attempt. Raises ``RowError``."""
        if self._signer is not None:
            await self._signer.prepare()
        if self._endpoint.task == "embedding":
            return await self._embed(request)
        template = request.template
        plan = self._plans.find(template)
        messages = arrange_messages(build_messages(request), plan)
        payload = {**build_conversation(messages), **plan.fields}
        if self._caches:
            offer_to_cache(payload)
        try:
            document = await self._http.post(self._url, payload, Converse)
        except RequestFailed as error:
            raise_if_unsupported(error, template, plan)
            raise
        return read_converse(document, uses_tool=plan.uses_tool)

    async def _embed(self, request: Request) -> Response:
        texts = request.content
        if not isinstance(texts, list):
            raise InvalidResponse("an embedding request has a list of texts")
        payload = build_embedding_payload(self._endpoint, texts)
        limit = limit_batch_reply(len(texts))
        url = self._build_url("invoke")
        headers: dict[bytes, bytes] = {}
        document = await self._http.post(
            url, payload, BedrockEmbeddings, limit, headers
        )
        return read_bedrock_embeddings(document, headers, len(texts))

    async def count_tokens(self, request: Request) -> Response:
        """Return the number of tokens from ``/count-tokens``, which not all models have. Raises ``RowError``."""
        if self._signer is not None:
            await self._signer.prepare()
        messages = [{"role": "user", "content": [{"text": request.content}]}]
        payload: dict[str, object] = {"input": {"converse": {"messages": messages}}}
        url = self._build_url("count-tokens")
        document = await self._http.post(url, payload, Counted)
        if document.input_tokens is None:
            raise InvalidResponse("the reply has no inputTokens")
        return Response(value=document.input_tokens)


def find_region(endpoint: Endpoint) -> str:
    """Return the region of an endpoint: of its option ``region``, or of its address; "" if neither names one."""
    found = _REGION.search(URL(endpoint.base_url or "").host or "")
    in_address = found[1] if found is not None else ""
    return str(endpoint.options.get("region", in_address))
