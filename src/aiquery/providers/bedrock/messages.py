"""The bodies of requests to Bedrock's Converse API, and its replies."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec

from aiquery.errors import InvalidResponse, RequestFailed, excerpt
from aiquery.providers.http.client import NO_ERROR
from aiquery.providers.request_plan import (
    CACHED_CHARACTERS,
    TOOL_NAME,
    is_answer_choice,
    is_answer_tool,
    list_stops,
    split_instructions,
)
from aiquery.providers.strict_schema import to_strict_schema
from aiquery.requests.chat import split_image
from aiquery.requests.request import Response, Usage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiquery.requests.request import Message

_OK = 200
_PARTS = ("inferenceConfig", "outputConfig", "additionalModelRequestFields")
_PLACES = {
    "max_tokens": ("inferenceConfig", "maxTokens"),
    "max_completion_tokens": ("inferenceConfig", "maxTokens"),
    "temperature": ("inferenceConfig", "temperature"),
    "top_p": ("inferenceConfig", "topP"),
    "reasoning_effort": ("outputConfig", "effort"),
}
_BESIDE = frozenset(
    {
        "guardrailConfig",
        "performanceConfig",
        "serviceTier",
        "requestMetadata",
        "toolConfig",
        "additionalModelResponseFieldPaths",
    }
)
"""Fields of a request that a user may set, and that are none of the model's own."""

_NOT_SENT = frozenset({"logprobs", "top_logprobs"})
"""What functions ask for and the API does not have."""

_TRUNCATED = frozenset({"max_tokens", "model_context_window_exceeded"})
_FILTERED = frozenset({"guardrail_intervened", "content_filtered", "refusal"})
_BROKEN = frozenset({"malformed_model_output", "malformed_tool_use"})


class _ToolUse(msgspec.Struct):
    name: str | None = None
    input: Any = None


class _Cited(msgspec.Struct):
    text: str | None = None


class _Citations(msgspec.Struct):
    content: list[_Cited] | None = None


class _Block(msgspec.Struct, rename="camel"):
    text: str | None = None
    tool_use: _ToolUse | None = None
    citations_content: _Citations | None = None


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
    parts: dict[str, dict[str, Any]] = {name: {} for name in _PARTS}
    beside: dict[str, Any] = {}
    for name, value in fields.items():
        if name in parts:
            parts[name].update(value)
        elif name in _PLACES:
            part, inner = _PLACES[name]
            parts[part][inner] = value
        elif name == "stop":
            parts["inferenceConfig"]["stopSequences"] = list_stops(value)
        elif name == "response_format":
            parts["outputConfig"]["textFormat"] = _constrain(value)
        elif name == "tools" and is_answer_tool(value):
            beside["toolConfig"] = _declare(value[0]["function"])
        elif name in _BESIDE:
            beside[name] = value
        elif name not in _NOT_SENT and not is_answer_choice(name, value):
            parts["additionalModelRequestFields"][name] = value
    return beside | {name: part for name, part in parts.items() if part}


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
    system, turns = split_instructions(messages)
    payload: dict[str, object] = {
        "messages": [
            {"role": one["role"], "content": _to_blocks(one["content"])}
            for one in turns
        ]
    }
    if system:
        payload["system"] = [
            block for content in system for block in _to_blocks(content)
        ]
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
    texts = [text for block in blocks for text in _find_texts(block)]
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


def _find_texts(block: _Block) -> list[str]:
    """Return the texts of a block: its own, or those to which it gives citations."""
    cited = block.citations_content
    texts = [one.text for one in cited.content or ()] if cited is not None else []
    return [text for text in (block.text, *texts) if text is not None]


def _read_usage(usage: _Usage | None) -> Usage:
    if usage is None:
        return Usage()
    return Usage.from_fresh(
        usage.input_tokens,
        usage.cache_read_input_tokens,
        usage.output_tokens,
        usage.cache_write_input_tokens,
    )
