"""The bodies of requests to Google's models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiquery.providers.request_plan import (
    TOOL_NAME,
    is_answer_choice,
    is_answer_tool,
    list_stops,
    split_instructions,
)
from aiquery.providers.strict_schema import to_strict_schema
from aiquery.requests.chat import split_image

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiquery.requests.request import Message

_NAMES = {
    "max_tokens": "maxOutputTokens",
    "max_completion_tokens": "maxOutputTokens",
    "top_p": "topP",
    "top_k": "topK",
    "n": "candidateCount",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
    "logprobs": "responseLogprobs",
    "top_logprobs": "logprobs",
}
_BESIDE_CONFIG = frozenset(
    {
        "safetySettings",
        "cachedContent",
        "tools",
        "toolConfig",
        "labels",
        "serviceTier",
        "systemInstruction",
    }
)
"""Fields of a request that are none of its generationConfig."""

_JSON = "application/json"
_ROLES = {"assistant": "model"}


def to_config_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a plan, which are those of OpenAI, as fields of a request to ``:generateContent``."""
    config: dict[str, Any] = {}
    beside: dict[str, Any] = {}
    for name, value in fields.items():
        if name == "response_format":
            config |= _constrain(value)
        elif name == "generationConfig":
            config.update(value)
        elif name == "tools" and is_answer_tool(value):
            beside |= _declare(value[0]["function"])
        elif name == "reasoning_effort":
            config["thinkingConfig"] = {"thinkingLevel": value}
        elif name == "stop":
            config["stopSequences"] = list_stops(value)
        elif name in _BESIDE_CONFIG:
            beside[name] = value
        elif not is_answer_choice(name, value):
            config[_NAMES.get(name, name)] = value
    if config:
        beside["generationConfig"] = config
    return beside


def _constrain(response_format: Any) -> dict[str, Any]:
    config: dict[str, Any] = {"responseMimeType": _JSON}
    inside = response_format.get("json_schema")
    if inside is not None:
        config["responseJsonSchema"] = to_strict_schema(inside.get("schema", {}))
    return config


def _declare(function: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a request whose reply is a call of one function."""
    declared = {
        "name": TOOL_NAME,
        "description": function["description"],
        "parametersJsonSchema": function["parameters"],
    }
    calling = {"mode": "ANY", "allowedFunctionNames": [TOOL_NAME]}
    return {
        "tools": [{"functionDeclarations": [declared]}],
        "toolConfig": {"functionCallingConfig": calling},
    }


def build_contents(messages: list[Message]) -> dict[str, object]:
    """Return the fields of a conversation: its turns, and its instructions if it has some."""
    system, turns = split_instructions(messages)
    payload: dict[str, object] = {"contents": [_to_turn(one) for one in turns]}
    if system:
        parts = [part for content in system for part in to_part(content)["parts"]]
        payload["systemInstruction"] = {"parts": parts}
    return payload


def _to_turn(message: Message) -> dict[str, Any]:
    role = str(message["role"])
    return {"role": _ROLES.get(role, role), **to_part(message["content"])}


def to_part(content: object) -> dict[str, list[Any]]:
    """Return a text, or the parts of a message in OpenAI's format, as parts of a turn."""
    parts = content if isinstance(content, list) else [content]
    return {"parts": [_convert(part) for part in parts]}


def _convert(part: Any) -> Any:
    if isinstance(part, str):
        return {"text": part}
    image = split_image(part)
    if image is not None:
        return {"inlineData": {"mimeType": image.media_type, "data": image.data}}
    if isinstance(part, dict) and part.get("type") == "text":
        return {"text": part["text"]}
    return part
