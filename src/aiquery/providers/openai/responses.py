"""OpenAI's Responses API, for the models and the vendors that have no chat completions.

Source, read on 2026-11-27: developers.openai.com/api/reference, "Create a model response".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from aiquery.errors import InvalidResponse, RequestFailed, excerpt
from aiquery.providers.http.client import NO_ERROR
from aiquery.providers.request_plan import TOOL_NAME, is_answer_choice, is_answer_tool
from aiquery.requests.request import Response, Usage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiquery.requests.request import Message

_OK = 200
_NAMES = {
    "max_tokens": "max_output_tokens",
    "max_completion_tokens": "max_output_tokens",
}
_NOT_SENT = frozenset({"logprobs"})
"""What functions ask for under another name."""

_TEXT_FIELDS = frozenset({"response_format", "verbosity", "text"})
"""What the field ``text`` of a request has."""

_STATUSES = frozenset({None, "completed", "incomplete"})
_REASONS = frozenset({None, "max_output_tokens", "max_tokens"})
_LOGPROBS = "message.output_text.logprobs"
_PART_TYPES = {"text": "input_text", "image_url": "input_image"}


class _Token(msgspec.Struct):
    token: str
    logprob: float


class _Part(msgspec.Struct):
    type: str = ""
    text: str | None = None
    refusal: str | None = None
    logprobs: list[_Token] | None = None


class _Item(msgspec.Struct):
    type: str = ""
    content: list[_Part] | None = None
    name: str | None = None
    arguments: str | None = None
    phase: str | None = None


class _InputDetails(msgspec.Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _Usage(msgspec.Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: _InputDetails | None = None


class _Incomplete(msgspec.Struct):
    reason: str | None = None


class Responses(msgspec.Struct):
    """The fields of a reply that are read."""

    output: list[_Item] | None = None
    status: str | None = None
    incomplete_details: _Incomplete | None = None
    usage: _Usage | None = None
    error: msgspec.Raw = NO_ERROR


def build_responses_payload(
    model: str, messages: list[Message], fields: Mapping[str, Any]
) -> dict[str, object]:
    """Return the body of a request: the fields of a chat completion, as the Responses API names them.

    The server stores no reply.
    """
    payload: dict[str, object] = {
        "model": model,
        "input": [_to_item(message) for message in messages],
        "store": False,
    }
    text: dict[str, Any] = {}
    for name, value in fields.items():
        if name in _TEXT_FIELDS:
            text |= _to_text_field(name, value)
        elif name == "tools" and is_answer_tool(value):
            function = {"type": "function", "strict": False, **value[0]["function"]}
            payload["tools"] = [function]
        elif is_answer_choice(name, value):
            payload["tool_choice"] = {"type": "function", "name": TOOL_NAME}
        elif name == "reasoning_effort":
            payload["reasoning"] = {"effort": value}
        elif name == "logprobs" and value:
            payload["include"] = [_LOGPROBS]
        elif name not in _NOT_SENT:
            payload[_NAMES.get(name, name)] = value
    if text:
        payload["text"] = text
    return payload


def _to_text_field(name: str, value: Any) -> dict[str, Any]:
    if name == "response_format":
        return {"format": _flatten(value)}
    return {"verbosity": value} if name == "verbosity" else dict(value)


def _flatten(response_format: Any) -> Any:
    """Return a response format with its schema beside its type."""
    inside = response_format.get("json_schema")
    if inside is None:
        return response_format
    return {"type": response_format["type"], **inside}


def _to_item(message: Message) -> Message:
    content = message["content"]
    if isinstance(content, list):
        content = [_to_part(part) for part in content]
    return {"role": message["role"], "content": content}


def _to_part(part: Any) -> Any:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind not in _PART_TYPES:
        return part
    value = part["image_url"]["url"] if kind == "image_url" else part["text"]
    return {"type": _PART_TYPES[kind], kind: value}


def read_responses(document: Responses, *, uses_tool: bool = False) -> Response:
    """Read a reply. Raises ``RowError`` if it contains no answer.

    ``uses_tool``: the answer is the arguments of a tool call.
    """
    if document.output is None:
        raise InvalidResponse("the reply has no output", status=_OK)
    usage = _read_usage(document.usage)
    if document.status == "failed":
        raise RequestFailed("the endpoint broke off the reply", retryable=True)
    reason = document.incomplete_details and document.incomplete_details.reason
    if reason == "content_filter":
        said = "the reply was stopped by the endpoint's content filter"
        return Response(refusal=said, usage=usage)
    if document.status not in _STATUSES or reason not in _REASONS:
        stopped = f"the endpoint stopped the reply: {reason or document.status}"
        return Response(refusal=stopped, usage=usage)
    parts = _find_parts(document.output)
    refusal = "".join(part.refusal or "" for part in parts)
    if refusal:
        return Response(refusal=f"the model refused: {excerpt(refusal)!r}", usage=usage)
    texts = [part.text for part in parts if part.text is not None]
    arguments = [
        item.arguments
        for item in document.output
        if uses_tool and item.type == "function_call" and item.name == TOOL_NAME
    ]
    is_truncated = document.status == "incomplete"
    found = next((one for one in arguments if one is not None), None)
    if found is None and not texts and not is_truncated:
        return Response(refusal="the reply has no text", usage=usage)
    return Response(
        text="".join(texts) if found is None else found,
        usage=usage,
        truncated=is_truncated,
        logprobs=_read_logprobs(parts),
    )


def _find_parts(output: list[_Item]) -> list[_Part]:
    """Return the parts of the answer: of the final message, if there is commentary beside it."""
    messages = [item for item in output if item.type == "message"]
    final = [item for item in messages if item.phase == "final_answer"]
    return [part for item in final or messages for part in item.content or ()]


def _read_logprobs(parts: list[_Part]) -> list[tuple[str, float]] | None:
    tokens = [
        (token.token, token.logprob) for part in parts for token in part.logprobs or ()
    ]
    return tokens or None


def _read_usage(usage: _Usage | None) -> Usage:
    if usage is None:
        return Usage()
    details = usage.input_tokens_details or _InputDetails()
    return Usage.from_reply(
        usage.input_tokens,
        details.cached_tokens,
        usage.output_tokens,
        details.cache_write_tokens,
    )
