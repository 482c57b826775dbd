"""The replies of the test endpoint in the formats of the vendors, and the paths at which it answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec

from aiquery.providers.fake import CHARACTERS_PER_TOKEN, build_smallest_document

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiquery.testing.answer import Answer, Question

PATHS = (
    "/chat/completions",
    "/responses",
    "/embeddings",
    "/rerank",
    "/tokenize",
    "/models",
    "/stats",
    "/messages",
    "/messages/count_tokens",
    ":generateContent",
    "/converse",
)
"""Ends of the paths that exist."""

_PIECE = 8
_ANTHROPIC_REASONS = {"stop": "end_turn", "length": "max_tokens"}
_GEMINI_REASONS = {"stop": "STOP", "length": "MAX_TOKENS"}


def is_known(path: str) -> bool:
    """Return True if the endpoint answers at a path, whose query does not count."""
    return path.partition("?")[0].rstrip("/").endswith(PATHS)


def count_tokens(text: str) -> int:
    """Return about how many tokens a text has."""
    return len(text) // CHARACTERS_PER_TOKEN + 1


def find_text(question: Question, answer: Answer) -> str:
    """Return the text of an answer: the given one, the smallest document of the schema, or an echo of the prompt."""
    if answer.text is not None:
        return answer.text
    schema = _find_schema(question.body)
    if schema is None:
        return f"echo: {question.prompt}"
    return msgspec.json.encode(build_smallest_document(schema)).decode()


def _find_schema(body: dict[str, Any]) -> Any:
    """Return the JSON schema that a request of any format asks for; None if there is none."""
    for path in (
        ("response_format", "json_schema", "schema"),  # OpenAI
        ("text", "format", "schema"),  # OpenAI Responses
        ("output_config", "format", "schema"),  # Anthropic
        ("generationConfig", "responseJsonSchema"),  # Gemini
        ("outputConfig", "textFormat", "structure", "jsonSchema", "schema"),  # Bedrock
    ):
        found: Any = body
        for name in path:
            found = found.get(name) if isinstance(found, dict) else None
        if found is not None:
            return json.loads(found) if isinstance(found, str) else found
    tool = find_forced_tool(body)
    return None if tool is None else tool[1]


def find_forced_tool(body: dict[str, Any]) -> tuple[str, Any] | None:
    """Return name and schema of the tool that the model must call; None if it may answer with text."""
    choice = body.get("tool_choice")
    kind = choice.get("type") if isinstance(choice, dict) else choice
    is_forced = kind in {"required", "any", "tool", "function"}
    tools = body.get("tools")
    if not is_forced or not isinstance(tools, list) or not tools:
        return None
    tool = tools[0].get("function", tools[0])
    return tool["name"], tool.get("parameters") or tool.get("input_schema") or {}


def build_messages_reply(question: Question, answer: Answer) -> dict[str, Any]:
    """Return a reply of Anthropic's Messages API."""
    text = find_text(question, answer)
    tool = find_forced_tool(question.body)
    block: dict[str, Any] = {"type": "text", "text": text}
    reason = _ANTHROPIC_REASONS.get(answer.finish_reason, answer.finish_reason)
    if tool is not None:
        block = {
            "type": "tool_use",
            "id": f"toolu_{question.number}",
            "name": tool[0],
            "input": json.loads(text),
        }
        reason = "tool_use"
    usage = {
        "input_tokens": count_tokens(question.prompt),
        "output_tokens": count_tokens(text),
    }
    return {
        "id": f"msg_{question.number}",
        "type": "message",
        "role": "assistant",
        "model": question.body.get("model"),
        "content": [block],
        "stop_reason": reason,
        "stop_sequence": None,
        "usage": usage,
    }


def build_response(question: Question, answer: Answer) -> dict[str, Any]:
    """Return a reply of OpenAI's Responses API."""
    text = find_text(question, answer)
    content = {"type": "output_text", "text": text, "annotations": []}
    message = {
        "id": f"msg_{question.number}",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [content],
    }
    tokens_in, tokens_out = count_tokens(question.prompt), count_tokens(text)
    usage = {
        "input_tokens": tokens_in,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": tokens_out,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": tokens_in + tokens_out,
    }
    is_cut = answer.finish_reason == "length"
    return {
        "id": f"resp_{question.number}",
        "object": "response",
        "created_at": 0,
        "model": question.body.get("model"),
        "status": "incomplete" if is_cut else "completed",
        "incomplete_details": {"reason": "max_output_tokens"} if is_cut else None,
        "output": [message],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": usage,
    }


def build_generated_content(question: Question, answer: Answer) -> dict[str, Any]:
    """Return a reply of Gemini's ``generateContent``."""
    text = find_text(question, answer)
    tokens_in, tokens_out = count_tokens(question.prompt), count_tokens(text)
    candidate = {
        "content": {"role": "model", "parts": [{"text": text}]},
        "finishReason": _GEMINI_REASONS.get(answer.finish_reason, "OTHER"),
        "index": 0,
    }
    usage = {
        "promptTokenCount": tokens_in,
        "candidatesTokenCount": tokens_out,
        "totalTokenCount": tokens_in + tokens_out,
    }
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "test"}


def build_converse_reply(question: Question, answer: Answer) -> dict[str, Any]:
    """Return a reply of Bedrock's Converse API."""
    text = find_text(question, answer)
    tokens_in, tokens_out = count_tokens(question.prompt), count_tokens(text)
    return {
        "output": {"message": {"role": "assistant", "content": [{"text": text}]}},
        "stopReason": _ANTHROPIC_REASONS.get(
            answer.finish_reason, answer.finish_reason
        ),
        "usage": {
            "inputTokens": tokens_in,
            "outputTokens": tokens_out,
            "totalTokens": tokens_in + tokens_out,
        },
        "metrics": {"latencyMs": 1},
    }


def stream_chat(document: dict[str, Any], *, with_usage: bool) -> bytes:
    """Return a chat completion as the events of a stream."""
    return (
        b"".join(_build_events(document, with_usage=with_usage)) + b"data: [DONE]\n\n"
    )


def _build_events(document: dict[str, Any], *, with_usage: bool) -> Iterator[bytes]:
    common = {
        "id": document["id"],
        "object": "chat.completion.chunk",
        "created": 0,
        "model": document["model"],
    }
    for choice in document["choices"]:
        message = choice["message"]
        text = message["content"] or ""
        first = {name: item for name, item in message.items() if name != "content"}
        deltas = [
            first,
            *({"content": text[i : i + _PIECE]} for i in range(0, len(text), _PIECE)),
        ]
        for delta in deltas:
            yield _encode_event(common, choice["index"], delta, None)
        yield _encode_event(common, choice["index"], {}, choice["finish_reason"])
    if with_usage:
        last = {**common, "choices": [], "usage": document["usage"]}
        yield b"data: " + msgspec.json.encode(last) + b"\n\n"


def _encode_event(
    common: dict[str, Any], index: int, delta: dict[str, Any], reason: str | None
) -> bytes:
    choice = {"index": index, "delta": delta, "finish_reason": reason}
    return b"data: " + msgspec.json.encode({**common, "choices": [choice]}) + b"\n\n"
