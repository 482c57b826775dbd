"""The bodies of requests to Bedrock's Converse API, and its replies."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec

from aiquery.errors import InvalidResponse, RequestFailed, excerpt
from aiquery.providers.http.client import NO_ERROR
from aiquery.providers.request_plan import CACHED_CHARACTERS, TOOL_NAME
from aiquery.providers.strict_schema import to_strict_schema
from aiquery.requests.chat import split_image
from aiquery.requests.request import Response, Usage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiquery.requests.request import Message

_OK = 200
_CONFIG = {
    "max_tokens": "maxTokens",
    "max_completion_tokens": "maxTokens",
    "temperature": "temperature",
    "top_p": "topP",
}
_BESIDE_CONFIG = frozenset(
    {"guardrailConfig", "performanceConfig", "serviceTier", "requestMetadata"}
)
"""Fields of a request that a user may set, and that are none of the model's own."""

_NOT_SENT = frozenset({"logprobs", "top_logprobs", "tool_choice"})
"""What functions ask for and the API does not have."""

_TRUNCATED = frozenset({"max_tokens", "model_context_window_exceeded"})
_FILTERED = frozenset({"guardrail_intervened", "content_filtered", "refusal"})
_BROKEN = frozenset({"malformed_model_output", "malformed_tool_use"})


class _ToolUse(msgspec.Struct):
    name: str | None = None
    input: Any = None


class _Block(msgspec.Struct, rename="camel"):
    text: str | None = None
    tool_use: _ToolUse | None = None


class _Message(msgspec.Struct):
    content: list[_Block] | None = None


class _Output(msgspec.Struct):
    message: _Message | None = None


class _Usage(msgspec.Struct, rename="camel"):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_write_input_tokens: int | None = None


class Converse(msgspec.Struct, rename="camel"):
    """The fields of a reply that are read."""

    output: _Output | None = None
    stop_reason: str | None = None
    usage: _Usage | None = None
    error: msgspec.Raw = NO_ERROR


class Counted(msgspec.Struct, rename="camel"):
    """The fields of a reply to ``/count-tokens`` that are read."""

    input_tokens: int | None = None
    error: msgspec.Raw = NO_ERROR


def to_converse_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a plan, which are those of OpenAI, as fields of the Converse API.

    What it does not name goes to the model as it is.
    """
    config: dict[str, Any] = {}
    own: dict[str, Any] = {}
    beside: dict[str, Any] = {}
    for name, value in fields.items():
        if name in _CONFIG:
            config[_CONFIG[name]] = value
        elif name == "stop":
            config["stopSequences"] = [value] if isinstance(value, str) else value
        elif name == "response_format":
            beside["outputConfig"] = {"textFormat": _constrain(value)}
        elif name == "tools":
            beside["toolConfig"] = _declare(value[0]["function"])
        elif name in _BESIDE_CONFIG:
            beside[name] = value
        elif name not in _NOT_SENT:
            own[name] = value
    if config:
        beside["inferenceConfig"] = config
    if own:
        beside["additionalModelRequestFields"] = own
    return beside


def _constrain(response_format: Any) -> dict[str, Any]:
    inside = response_format.get("json_schema", {})
    schema = json.dumps(to_strict_schema(inside.get("schema", {})), ensure_ascii=False)
    defined = {"name": inside.get("name", TOOL_NAME), "schema": schema}
    return {"type": "json_schema", "structure": {"jsonSchema": defined}}


def _declare(function: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration of a request whose reply is a call of one tool."""
    declared = {
        "name": TOOL_NAME,
        "description": function["description"],
        "inputSchema": {"json": function["parameters"]},
    }
    return {
        "tools": [{"toolSpec": declared}],
        "toolChoice": {"tool": {"name": TOOL_NAME}},
    }


def build_conversation(messages: list[Message]) -> dict[str, object]:
    """Return the fields of a conversation: its turns, and its instructions if it has some."""
    payload: dict[str, object] = {
        "messages": [
            {"role": one["role"], "content": _to_blocks(one["content"])}
            for one in messages
            if one["role"] != "system"
        ]
    }
    system = [
        block
        for one in messages
        if one["role"] == "system"
        for block in _to_blocks(one["content"])
    ]
    if system:
        payload["system"] = system
    return payload


def offer_to_cache(payload: dict[str, Any]) -> None:
    """Mark the end of long instructions: the cache serves them to all rows for a tenth of the price."""
    system = payload.get("system", [])
    if sum(len(block.get("text", "")) for block in system) >= CACHED_CHARACTERS:
        payload["system"] = [*system, {"cachePoint": {"type": "default"}}]


def _to_blocks(content: object) -> list[Any]:
    parts = content if isinstance(content, list) else [content]
    return [_to_block(part) for part in parts]


def _to_block(part: Any) -> Any:
    if isinstance(part, str):
        return {"text": part}
    image = split_image(part)
    if image is not None:
        form = image.media_type.removeprefix("image/")
        return {"image": {"format": form, "source": {"bytes": image.data}}}
    if isinstance(part, dict) and part.get("type") == "text":
        return {"text": part["text"]}
    return part


def read_converse(document: Converse, *, uses_tool: bool = False) -> Response:
    """Read a reply. Raises ``RowError`` if it contains no answer.

    ``uses_tool``: the answer is the input of a tool call.
    """
    reason = document.stop_reason
    if reason in _BROKEN:
        raise RequestFailed(
            f"the endpoint broke off the reply: {reason}", retryable=True
        )
    if document.output is None or document.output.message is None:
        raise InvalidResponse("the reply has no message", status=_OK)
    blocks = document.output.message.content or []
    usage = _read_usage(document.usage)
    texts = [block.text for block in blocks if block.text is not None]
    text = "".join(texts)
    if reason in _FILTERED:
        said = f": {excerpt(text)!r}" if text else ""
        return Response(
            refusal=f"the endpoint stopped the reply ({reason}){said}", usage=usage
        )
    for block in blocks if uses_tool else ():
        if block.tool_use is not None and block.tool_use.name == TOOL_NAME:
            texts = [msgspec.json.encode(block.tool_use.input).decode()]
            text = texts[0]
    is_truncated = reason in _TRUNCATED
    if not texts and not is_truncated:
        return Response(refusal="the reply has no text", usage=usage)
    return Response(text=text, usage=usage, truncated=is_truncated)


def _read_usage(usage: _Usage | None) -> Usage:
    """Return the tokens of a reply. ``inputTokens`` lacks those that were read from the cache or written to it."""
    if usage is None:
        return Usage()
    read = usage.cache_read_input_tokens or 0
    written = usage.cache_write_input_tokens or 0
    tokens_in = (usage.input_tokens or 0) + read + written
    return Usage.from_reply(tokens_in, read, usage.output_tokens, written)
