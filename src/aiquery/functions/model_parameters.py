"""modelParameters: what may be in it, checked before any call is made."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from aiquery.errors import InvalidModelParameters, excerpt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiquery.config.endpoint import Endpoint

RESERVED = frozenset(
    {"messages", "prompt", "input", "model", "stream", "n", "response_format"}
)
"""Set by the call itself."""

_NUMBER = (int, float)
_KNOWN: dict[str, tuple[tuple[type, ...], float | None, float | None]] = {
    # name: (types, at least, at most)
    "max_tokens": ((int,), 1, None),
    "max_completion_tokens": ((int,), 1, None),
    "temperature": (_NUMBER, 0, 2),
    "top_p": (_NUMBER, 0, 1),
    "top_k": ((int,), -1, None),
    "min_p": (_NUMBER, 0, 1),
    "seed": ((int,), None, None),
    "presence_penalty": (_NUMBER, -2, 2),
    "frequency_penalty": (_NUMBER, -2, 2),
    "repeat_penalty": (_NUMBER, 0, None),
    "logprobs": ((bool,), None, None),
    "top_logprobs": ((int,), 0, 20),
    "stop": ((str, list), None, None),
    "reasoning_effort": ((str,), None, None),
}
_WORDS = {
    int: "an integer",
    float: "a number",
    bool: "a boolean",
    str: "a string",
    list: "an array of strings",
}


def check_model_parameters(value: object) -> dict[str, Any]:
    """Return the parameters that are set (NULL fields are the endpoint's default), or raise by name."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidModelParameters(
            f"modelParameters must be a STRUCT such as named_struct('max_tokens', 256), not {excerpt(repr(value))}."
        )
    for name, setting in value.items():
        if name.lower() in RESERVED:
            raise InvalidModelParameters(
                f"modelParameters: {name!r} is reserved, the function sets it itself. Remove it."
            )
        if setting is not None:
            _check(name, setting)
    return {name: setting for name, setting in value.items() if setting is not None}


def default_parameters(endpoint: Endpoint) -> dict[str, Any]:
    """Return what is sent to a chat endpoint that the call says nothing else to."""
    parameters: dict[str, Any] = {}
    if endpoint.send_temperature:
        parameters["temperature"] = 0.0
    if endpoint.max_tokens is not None:
        parameters["max_tokens"] = endpoint.max_tokens
    return parameters


def is_sampling(parameters: Mapping[str, Any]) -> bool:
    """Say whether two equal requests may be answered differently: a temperature above zero and no seed."""
    return bool(parameters.get("temperature", 0)) and "seed" not in parameters


def _check(name: str, setting: Any) -> None:
    if name not in _KNOWN:
        return
    types, least, most = _KNOWN[name]
    if float in types and isinstance(setting, str):
        setting = _as_number(setting)  # a DECIMAL literal may arrive as text
    is_bool = isinstance(setting, bool)
    if not isinstance(setting, types) or (is_bool and bool not in types):
        kind = _WORDS[types[-1]]
        raise InvalidModelParameters(
            f"modelParameters: {name} must be {kind}, not {excerpt(repr(setting))}."
        )
    low, high = (
        least if least is not None else -math.inf,
        most if most is not None else math.inf,
    )
    if isinstance(setting, (int, float)) and not low <= setting <= high:
        bounds = f"at least {least}" if most is None else f"between {least} and {most}"
        raise InvalidModelParameters(
            f"modelParameters: {name} must be {bounds}, not {setting}."
        )


def _as_number(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text
