"""The replies of Google's models."""

from __future__ import annotations

from typing import Any

import msgspec

from aiquery.errors import InvalidResponse, RequestFailed
from aiquery.providers.http.client import NO_ERROR
from aiquery.providers.request_plan import TOOL_NAME
from aiquery.requests.request import Response, Usage

_OK = 200
_ENDED = frozenset({"", "STOP", "FINISH_REASON_UNSPECIFIED"})
_TRUNCATED = frozenset({"MAX_TOKENS", "CONTINUATION"})
_BROKEN = frozenset(
    {"MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "MALFORMED_RESPONSE"}
)
"""Reasons after which another attempt may succeed."""


class _Call(msgspec.Struct):
    name: str | None = None
    args: Any = None


class _Part(msgspec.Struct, rename="camel"):
    text: str | None = None
    thought: bool | None = None
    function_call: _Call | None = None


class _Content(msgspec.Struct):
    parts: list[_Part] | None = None


class _Chosen(msgspec.Struct, rename="camel"):
    token: str
    log_probability: float


class _Logprobs(msgspec.Struct, rename="camel"):
    chosen_candidates: list[_Chosen] | None = None


class _Candidate(msgspec.Struct, rename="camel"):
    content: _Content | None = None
    finish_reason: str | None = None
    finish_message: str | None = None
    logprobs_result: _Logprobs | None = None


class _Feedback(msgspec.Struct, rename="camel"):
    block_reason: str | None = None
    block_reason_message: str | None = None


class UsageMetadata(msgspec.Struct, rename="camel"):
    """The fields of a reply's usage that are read."""

    prompt_token_count: int | None = None
    tool_use_prompt_token_count: int | None = None
    cached_content_token_count: int | None = None
    candidates_token_count: int | None = None
    thoughts_token_count: int | None = None


class Generated(msgspec.Struct, rename="camel"):
    """The fields of a reply to ``:generateContent`` that are read."""

    candidates: list[_Candidate] | None = None
    prompt_feedback: _Feedback | None = None
    usage_metadata: UsageMetadata | None = None
    error: msgspec.Raw = NO_ERROR


class Counted(msgspec.Struct, rename="camel"):
    """The fields of a reply to ``:countTokens`` that are read."""

    total_tokens: int | None = None
    error: msgspec.Raw = NO_ERROR


def read_generated(document: Generated, *, uses_tool: bool = False) -> Response:
    """Read a reply. Raises ``RowError`` if it contains no answer.

    ``uses_tool``: the answer is the arguments of a function call.
    """
    usage = read_usage(document.usage_metadata)
    if not document.candidates:
        feedback = document.prompt_feedback
        if feedback is None or feedback.block_reason is None:
            raise InvalidResponse("the reply has no candidates", status=_OK)
        said = feedback.block_reason_message or feedback.block_reason
        return Response(refusal=f"the endpoint blocked the prompt: {said}", usage=usage)
    candidate = document.candidates[0]
    reason = candidate.finish_reason or ""
    if reason in _BROKEN:
        said = candidate.finish_message or reason
        raise RequestFailed(f"the endpoint broke off the reply: {said}", retryable=True)
    is_truncated = reason in _TRUNCATED
    if reason not in _ENDED and not is_truncated:
        said = candidate.finish_message or reason
        return Response(refusal=f"the endpoint stopped the reply: {said}", usage=usage)
    parts = candidate.content.parts if candidate.content is not None else None
    text = _read_parts(parts or [], uses_tool=uses_tool)
    if text is None and not is_truncated:
        return Response(refusal="the reply has no text", usage=usage)
    return Response(
        text=text or "",
        usage=usage,
        truncated=is_truncated,
        logprobs=_read_logprobs(candidate.logprobs_result),
    )


def _read_parts(parts: list[_Part], *, uses_tool: bool) -> str | None:
    """Return the answer of a candidate; None if it has none. Thoughts are not a part of it."""
    for part in parts if uses_tool else ():
        call = part.function_call
        if call is not None and call.name == TOOL_NAME:
            return msgspec.json.encode(call.args).decode()
    texts = [part.text for part in parts if part.text is not None and not part.thought]
    return "".join(texts) if texts else None


def _read_logprobs(result: _Logprobs | None) -> list[tuple[str, float]] | None:
    if result is None or result.chosen_candidates is None:
        return None
    return [(one.token, one.log_probability) for one in result.chosen_candidates]


def read_usage(usage: UsageMetadata | None) -> Usage:
    """Return the tokens of a reply. The tokens of thoughts are billed as output, and are no part of the candidates'."""
    if usage is None:
        return Usage()
    tokens_in = (usage.prompt_token_count or 0) + (
        usage.tool_use_prompt_token_count or 0
    )
    tokens_out = (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0)
    return Usage.from_reply(tokens_in, usage.cached_content_token_count, tokens_out)
