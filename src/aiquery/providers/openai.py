"""openai: a server with an OpenAI-compatible API, over HTTP. Vendors are rows of configuration."""

from __future__ import annotations

from array import array
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import msgspec
from yarl import URL

from aiquery.errors import (
    ConfigError,
    InvalidResponse,
    RequestFailed,
    UnsupportedFeature,
    excerpt,
)
from aiquery.limits import MAX_BATCH_REPLY_BYTES, MAX_REPLY_BYTES, MAX_VECTOR_BYTES
from aiquery.providers.addresses import build_tokenize_url, build_url
from aiquery.providers.chat_content import read_content
from aiquery.providers.http import NO_ERROR, HTTPClient
from aiquery.providers.http_errors import raise_if_broken
from aiquery.providers.request_plan import (
    TOOL_NAME,
    RequestPlans,
    arrange_messages,
)
from aiquery.providers.rerank_replies import (
    RERANK_REPLY,
    build_rerank_payload,
    read_scores,
)
from aiquery.providers.unsupported import raise_if_unsupported
from aiquery.requests.chat import build_messages
from aiquery.requests.request import Response, Usage, Vector

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiquery.config.credentials import Credentials
    from aiquery.config.endpoint import Endpoint
    from aiquery.requests.request import RateLimits, Request, RequestTemplate

_OK = 200
_PATHS = {"embedding": "embeddings", "rerank": "rerank"}
_NO_FEATURES: frozenset[str] = frozenset()
_WITHOUT_VERSION = frozenset({"a base_url without /v1"})
_MISSING_PATH = frozenset({404, 405, 501})


class OpenAIProvider:
    """Sends requests to ``/chat/completions``, ``/embeddings`` or ``/rerank`` below the endpoint's ``base_url``.

    It counts tokens at ``/tokenize`` beside ``/v1``, which not all servers have.
    """

    slots = 64
    context_window = 8192
    max_batch_size = 256
    remote = True

    def __init__(self, endpoint: Endpoint, http: HTTPClient) -> None:
        """Use ``open``."""
        self._endpoint = endpoint
        self._http = http
        path = _PATHS.get(endpoint.task, "chat/completions")
        self._address = URL(endpoint.base_url or "")
        self._url = build_url(self._address, path)
        self._url_with_version = build_url(self._address, f"v1/{path}")
        self._is_bare = self._address.path in {"", "/"}
        self._tokenize_url = build_tokenize_url(self._address)
        self._plans = RequestPlans(endpoint.structured)

    def __repr__(self) -> str:
        """Return the name of the endpoint, never a key."""
        return f"OpenAIProvider({self._endpoint.name!r})"

    @classmethod
    def check(cls, endpoint: Endpoint) -> None:
        """Raise ``ConfigError`` if the endpoint has no URL."""
        if not endpoint.base_url:
            raise ConfigError(
                f"endpoint {endpoint.name!r}: provider 'openai' needs a base_url, e.g. base_url = "
                '"http://localhost:8000/v1".'
            )

    @classmethod
    def dimensions(cls, endpoint: Endpoint) -> int | None:
        """Return the configured length of the embeddings."""
        return endpoint.dimensions

    @classmethod
    async def open(cls, endpoint: Endpoint, credentials: Credentials) -> OpenAIProvider:
        """Return a provider with a connection pool. The first request connects."""
        return cls(endpoint, HTTPClient(endpoint, credentials))

    async def complete(self, request: Request) -> Response:
        """Make one attempt. Raises ``RowError``."""
        try:
            if self._endpoint.task == "embedding":
                return await self._embed(request)
            if self._endpoint.task == "rerank":
                payload = build_rerank_payload(request, self._endpoint.options)
                reply = await self._http.post(self._url, payload, RERANK_REPLY)
                return read_scores(reply, request)
            template = request.template
            plan = self._plans.find(template)
            messages = build_messages(request)
            if plan.changes_messages:
                messages = arrange_messages(messages, plan)
            payload = {
                "model": template.model,
                "messages": messages,
                **plan.fields,
            }
            document = await self._http.post(self._url, payload, Chat)
            return read_chat(document, uses_tool=plan.uses_tool)
        except RequestFailed as error:
            self._raise_if_unsupported(error, request.template)
            raise

    async def _embed(self, request: Request) -> Response:
        template = request.template
        payload = {
            "model": template.model,
            "input": request.content,
            **template.parameters,
        }
        count = len(request.content)
        limit = limit_batch_reply(count)
        embeddings = await self._http.post(self._url, payload, Embeddings, limit)
        return read_embeddings(embeddings, count)

    def features(self, request: Request) -> frozenset[str]:
        """Return the features that a request uses, of those that not every model takes."""
        is_chat = self._endpoint.task == "chat"
        plan = self._plans.find(request.template) if is_chat else None
        features = _NO_FEATURES if plan is None else plan.features
        return features | _WITHOUT_VERSION if self._may_lack_version() else features

    def reject(self, features: Iterable[str]) -> None:
        """Send further requests without these features, or with what takes their place."""
        self._plans.reject(features)
        if _WITHOUT_VERSION & self._plans.rejected:
            self._url = self._url_with_version

    def _raise_if_unsupported(
        self, error: RequestFailed, template: RequestTemplate
    ) -> None:
        """Raise ``UnsupportedFeature`` if the request can be sent in another way."""
        is_missing = error.status in _MISSING_PATH
        is_about_model = "model" in error.message.lower()
        if is_missing and not is_about_model and self._may_lack_version():
            (feature,) = _WITHOUT_VERSION
            raise UnsupportedFeature(error.message, feature, error.status) from None
        if self._endpoint.task == "chat":
            raise_if_unsupported(error, template, self._plans.find(template))

    def _may_lack_version(self) -> bool:
        return self._is_bare and not _WITHOUT_VERSION & self._plans.rejected

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

    @property
    def rate_limits(self) -> RateLimits | None:
        """The limits that the last reply named; None: the endpoint names no limits."""
        return self._http.rate_limits

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()


class _Tokenized(msgspec.Struct):
    count: int | None = None
    tokens: list[object] = []
    error: msgspec.Raw = NO_ERROR


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: Any = None


class _ToolCall(msgspec.Struct):
    function: _Function | None = None


class _Message(msgspec.Struct):
    content: Any = None
    refusal: str | None = None
    tool_calls: list[_ToolCall] | None = None


class _Token(msgspec.Struct):
    token: str
    logprob: float


class _Logprobs(msgspec.Struct):
    content: list[_Token] | None = None


class _Choice(msgspec.Struct):
    message: _Message | None = None
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None
    error: msgspec.Raw = NO_ERROR


class _PromptDetails(msgspec.Struct):
    cached_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _PromptDetails | None = None


class Chat(msgspec.Struct):
    """The fields of a chat completion that are read."""

    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: msgspec.Raw = NO_ERROR


class _Vector(msgspec.Struct):
    embedding: msgspec.Raw
    index: int | None = None


class Embeddings(msgspec.Struct):
    """The fields of an embeddings reply that are read."""

    data: list[_Vector] | None = None
    usage: _Usage | None = None
    error: msgspec.Raw = NO_ERROR


def read_chat(document: Chat, *, uses_tool: bool = False) -> Response:
    """Read a chat completion. Raises ``RowError`` if it contains no answer.

    ``uses_tool``: the answer is the arguments of a tool call.
    """
    if not document.choices:
        raise InvalidResponse("the reply has no choices", status=_OK)
    choice = document.choices[0]
    is_broken = choice.finish_reason == "error"
    if is_broken or choice.error is not NO_ERROR:
        raise_if_broken(choice.error, is_broken=is_broken)
    message = choice.message
    if message is None:
        raise InvalidResponse("the reply has no message", status=_OK)
    text, refusal = message.content, message.refusal
    if not isinstance(text, str):
        text, said = read_content(text)
        refusal = refusal or said
    if uses_tool:
        text = _read_arguments(message) or text
    usage = _read_usage(document.usage)
    if choice.finish_reason == "content_filter":
        reason = "the reply was stopped by the endpoint's content filter"
        return Response(refusal=reason, usage=usage)
    if refusal:
        return Response(refusal=f"the model refused: {excerpt(refusal)!r}", usage=usage)
    is_truncated = choice.finish_reason == "length"
    if text is None and not is_truncated:
        return Response(refusal="the reply has no text", usage=usage)
    logprobs = None
    if choice.logprobs is not None and choice.logprobs.content is not None:
        logprobs = [(token.token, token.logprob) for token in choice.logprobs.content]
    return Response(
        text=text or "", usage=usage, truncated=is_truncated, logprobs=logprobs
    )


def _read_arguments(message: _Message) -> str | None:
    """Return the arguments of the tool call that gives the answer, as JSON; None if there is none."""
    for call in message.tool_calls or ():
        if call.function is not None and call.function.name == TOOL_NAME:
            arguments = call.function.arguments
            if isinstance(arguments, str):
                return arguments
            return msgspec.json.encode(arguments).decode()
    return None


def read_embeddings(document: Embeddings, count: int) -> Response:
    """Read ``count`` embeddings in the order of their texts. Raises ``InvalidResponse``."""
    found = document.data or []
    if len(found) != count:
        raise InvalidResponse(
            f"the reply has {len(found)} embeddings for {count} texts", status=_OK
        )
    if all(vector.index is not None for vector in found):
        found = sorted(found, key=lambda vector: vector.index or 0)
        if [vector.index for vector in found] != list(range(count)):
            raise InvalidResponse(
                f"the indices of the embeddings are not 0 to {count - 1}", status=_OK
            )
    vectors = [_pack(vector.embedding) for vector in found]
    if len(set(map(len, vectors))) > 1:
        raise InvalidResponse(
            "the embeddings of the reply have different lengths", status=_OK
        )
    return Response(
        vectors=[Vector(vector) for vector in vectors],
        usage=_read_usage(document.usage),
    )


def limit_batch_reply(count: int) -> int:
    """Return the highest number of bytes of a reply with ``count`` embeddings."""
    return min(MAX_REPLY_BYTES + count * MAX_VECTOR_BYTES, MAX_BATCH_REPLY_BYTES)


def _pack(embedding: msgspec.Raw) -> str:
    """Return an embedding, a JSON array or the base64 of 32-bit floats, as base64."""
    text = memoryview(embedding)
    if len(text) > MAX_VECTOR_BYTES:
        raise InvalidResponse(
            f"an embedding of the reply is longer than {MAX_VECTOR_BYTES} bytes",
            status=_OK,
        )
    try:
        floats = msgspec.json.decode(text, type=list[float] | str)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidResponse(
            f"an embedding of the reply is not of the expected form: {error}",
            status=_OK,
        ) from None
    if isinstance(floats, str):
        return floats
    return b64encode(array("f", floats).tobytes()).decode()


def _read_usage(usage: _Usage | None) -> Usage:
    if usage is None:
        return Usage()
    details = usage.prompt_tokens_details
    cached = details.cached_tokens if details is not None else 0
    return Usage.from_reply(usage.prompt_tokens, cached, usage.completion_tokens)
