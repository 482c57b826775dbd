"""anthropic: the Messages API of Anthropic, over HTTP.

Sources, read on 2026-11-27: platform.claude.com/docs, "Messages", "Structured outputs" and "Errors", for the version
2023-06-01 of the API, which takes the parameters that later versions reject.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from yarl import URL

from aiquery.errors import InvalidResponse, RequestFailed, excerpt
from aiquery.providers.http.addresses import build_url
from aiquery.providers.http.client import NO_ERROR, HTTPClient
from aiquery.providers.http.provider import (
    ChatProvider,
    check_address,
    check_task,
)
from aiquery.providers.request_plan import (
    CACHED_CHARACTERS,
    TOOL_NAME,
    RequestPlan,
    RequestPlans,
    arrange_messages,
    is_answer_choice,
    is_answer_tool,
    list_stops,
    split_instructions,
)
from aiquery.providers.strict_schema import to_strict_schema
from aiquery.providers.unsupported import (
    JSON_OBJECT,
    STRICT,
    raise_if_unsupported,
)
from aiquery.requests.chat import build_messages, split_image
from aiquery.requests.request import Response, Usage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiquery.config.credentials import Credentials
    from aiquery.config.endpoint import Endpoint
    from aiquery.requests.request import (
        Message,
        Request,
    )

_OK = 200
_VERSION = "2023-06-01"
_MAX_TOKENS = 4096
"""The API needs a limit. This one holds for all of its models; a longer answer counts as cut."""

_ENDED = frozenset({None, "end_turn", "stop_sequence", "tool_use"})
_TRUNCATED = frozenset({"max_tokens", "model_context_window_exceeded"})
_NAMES = {"max_completion_tokens": "max_tokens", "stop": "stop_sequences"}
_NOT_SENT = frozenset({"logprobs", "top_logprobs"})
"""What functions ask for and the API does not have."""


class _Block(msgspec.Struct):
    type: str = "text"
    text: str | None = None
    name: str | None = None
    input: Any = None


class _Usage(msgspec.Struct):
    input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    output_tokens: int | None = None


class Messages(msgspec.Struct):
    """The fields of a reply that are read."""

    content: list[_Block] | None = None
    stop_reason: str | None = None
    usage: _Usage | None = None
    error: msgspec.Raw = NO_ERROR


class AnthropicProvider(ChatProvider):
    """Sends requests to ``/v1/messages`` below the endpoint's ``base_url``."""

    context_window = 200_000

    def __init__(self, endpoint: Endpoint, http: HTTPClient) -> None:
        """Use ``open``."""
        plans = RequestPlans(
            endpoint.structured,
            (STRICT, JSON_OBJECT),
            _translate,
            closed_schemas=True,
            one_sampling=True,
        )
        super().__init__(endpoint, http, plans)
        address = URL(endpoint.base_url or "")
        has_version = address.path.rstrip("/").endswith(("/v1", "/v1/messages"))
        self._url = build_url(address, "messages" if has_version else "v1/messages")

    @classmethod
    def check(cls, endpoint: Endpoint) -> None:
        """Raise ``ConfigError`` if the endpoint has no URL or another task than chat."""
        check_address(endpoint, "https://api.anthropic.com")
        check_task(endpoint, "chat")

    @classmethod
    async def open(
        cls, endpoint: Endpoint, credentials: Credentials
    ) -> AnthropicProvider:
        """Return a provider with a connection pool. The first request connects."""
        http = HTTPClient(
            endpoint,
            credentials,
            key_header="x-api-key",
            headers={"anthropic-version": _VERSION},
        )
        return cls(endpoint, http)

    async def complete(self, request: Request) -> Response:
        """Make one attempt. Raises ``RowError``."""
        template = request.template
        plan = self._plans.find(template)
        payload = self._build_payload(request, plan)
        try:
            document = await self._http.post(self._url, payload, Messages)
        except RequestFailed as error:
            raise_if_unsupported(error, template, plan)
            raise
        return read_message(document, uses_tool=plan.uses_tool)

    def _build_payload(self, request: Request, plan: RequestPlan) -> dict[str, object]:
        messages = arrange_messages(build_messages(request), plan)
        system, turns = split_instructions(messages)
        payload: dict[str, object] = {
            "model": request.template.model,
            "messages": [_to_message(one) for one in turns],
            "max_tokens": _MAX_TOKENS,
            **plan.fields,
        }
        if system:
            payload["system"] = _share("\n\n".join(map(str, system)))
        return payload

    async def count_tokens(self, request: Request) -> Response:
        """Return the number of tokens from ``/v1/messages/count_tokens``. Raises ``RowError``."""
        payload: dict[str, object] = {
            "model": request.template.model,
            "messages": [{"role": "user", "content": request.content}],
        }
        url = f"{self._url}/count_tokens"
        document = await self._http.post(url, payload, _Counted)
        return Response(value=document.input_tokens)


class _Counted(msgspec.Struct):
    input_tokens: int
    error: msgspec.Raw = NO_ERROR


def _translate(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a plan, which are those of OpenAI, as fields of the Messages API."""
    translated: dict[str, Any] = {}
    output: dict[str, Any] = {}
    for name, value in fields.items():
        if name == "response_format":
            schema = to_strict_schema(value["json_schema"]["schema"])
            form = {"type": "json_schema", "schema": schema}
            output["format"] = form
        elif name == "reasoning_effort":
            output["effort"] = value
        elif name == "output_config":
            output.update(value)
        elif name == "tools" and is_answer_tool(value):
            function = value[0]["function"]
            tool = {
                "name": TOOL_NAME,
                "description": function["description"],
                "input_schema": function["parameters"],
            }
            translated["tools"] = [tool]
            translated["tool_choice"] = {"type": "tool", "name": TOOL_NAME}
        elif name == "stop":
            translated["stop_sequences"] = list_stops(value)
        elif name not in _NOT_SENT and not is_answer_choice(name, value):
            translated[_NAMES.get(name, name)] = value
    if output:
        translated["output_config"] = output
    return translated


def _share(system: str) -> object:
    """Return the system prompt, which a long one's cache entry serves to all rows for a tenth of the price."""
    if len(system) < CACHED_CHARACTERS:
        return system
    return [{"type": "text", "text": system, "cache_control": {"type": "ephemeral"}}]


def _to_message(message: Message) -> Message:
    """Return a message of a conversation with its images in the form of the Messages API."""
    content = message["content"]
    if isinstance(content, list):
        content = [_to_block(part) for part in content]
    return {"role": message["role"], "content": content}


def _to_block(part: Any) -> Any:
    image = split_image(part)
    if image is None:
        return part
    source = {"type": "base64", "media_type": image.media_type, "data": image.data}
    return {"type": "image", "source": source}


def read_message(document: Messages, *, uses_tool: bool) -> Response:
    """Read a reply. Raises ``InvalidResponse`` if it has no content.

    ``uses_tool``: the answer is the input of a tool call.
    """
    if document.content is None:
        raise InvalidResponse("the reply has no content", status=_OK)
    usage = _read_usage(document.usage)
    text = "".join(
        block.text or "" for block in document.content if block.type == "text"
    )
    if document.stop_reason == "refusal":
        said = f": {excerpt(text)!r}" if text else ""
        return Response(refusal=f"the model refused{said}", usage=usage)
    if document.stop_reason not in _ENDED | _TRUNCATED:
        said = f"the endpoint stopped the reply: {document.stop_reason}"
        return Response(refusal=said, usage=usage)
    if uses_tool:
        for block in document.content:
            if block.type == "tool_use" and block.name == TOOL_NAME:
                text = msgspec.json.encode(block.input).decode()
    is_truncated = document.stop_reason in _TRUNCATED
    if not text and not is_truncated:
        return Response(refusal="the reply has no text", usage=usage)
    return Response(text=text, usage=usage, truncated=is_truncated)


def _read_usage(usage: _Usage | None) -> Usage:
    if usage is None:
        return Usage()
    return Usage.from_fresh(
        usage.input_tokens,
        usage.cache_read_input_tokens,
        usage.output_tokens,
        usage.cache_creation_input_tokens,
    )
