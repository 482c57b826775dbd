"""The reply of ``/chat/completions`` in OpenAI's format."""

from __future__ import annotations

from typing import Any

import msgspec

from aiquery.errors import InvalidResponse, excerpt
from aiquery.providers.http.client import NO_ERROR
from aiquery.providers.http.errors import raise_if_broken
from aiquery.providers.openai.chat_content import read_content
from aiquery.providers.openai.usage import ReportedUsage, read_usage
from aiquery.providers.request_plan import TOOL_NAME
from aiquery.requests.request import Response

_OK = 200
_BROKEN = frozenset({"error", "insufficient_system_resource"})
_FILTERED = frozenset({"content_filter", "SAFETY", "safety", "RECITATION"})
_TRUNCATED = frozenset({"length", "model_length", "max_tokens", "MAX_TOKENS"})
"""Reasons as servers that imitate OpenAI's format spell them, too."""


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


class Chat(msgspec.Struct):
    """The fields of a chat completion that are read."""

    choices: list[_Choice] | None = None
    usage: ReportedUsage | None = None
    error: msgspec.Raw = NO_ERROR
    message: Any = None
    msg: Any = None
    detail: Any = None
    errors: Any = None
    base_resp: Any = None

    def describe_error(self) -> str:
        """Return what a gateway says in place of an answer, with HTTP 200 and no field ``error``; "" if nothing."""
        said = (self.message, self.msg, self.detail, self.errors, self.base_resp)
        found = next((one for one in said if one), None)
        return "" if found is None else f": {excerpt(str(found))!r}"


def read_chat(document: Chat, *, uses_tool: bool = False) -> Response:
    """Read a chat completion. Raises ``RowError`` if it contains no answer.

    ``uses_tool``: the answer is the arguments of a tool call.
    """
    if not document.choices:
        words = document.describe_error()
        raise InvalidResponse(f"the reply has no choices{words}", status=_OK)
    choice = document.choices[0]
    is_broken = choice.finish_reason in _BROKEN
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
    usage = read_usage(document.usage)
    if choice.finish_reason in _FILTERED:
        reason = "the reply was stopped by the endpoint's content filter"
        return Response(refusal=reason, usage=usage)
    if refusal:
        return Response(refusal=f"the model refused: {excerpt(refusal)!r}", usage=usage)
    is_truncated = choice.finish_reason in _TRUNCATED
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
