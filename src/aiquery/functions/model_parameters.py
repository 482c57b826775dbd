"""Checks ``modelParameters`` before the first request, and defines the default parameters."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiquery.errors import InvalidModelParameters, excerpt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiquery.config.endpoint import Endpoint

RESERVED = frozenset(
    {"messages", "prompt", "input", "model", "stream", "n", "response_format"}
)
"""Parameters that the function itself sets."""


@dataclass(kw_only=True, frozen=True, slots=True)
class _Rule:
    """The types and the bounds of a parameter, and the words for its types in an error."""

    types: tuple[type, ...]
    words: str
    minimum: float = -math.inf
    maximum: float = math.inf


def _integer(minimum: float = -math.inf, maximum: float = math.inf) -> _Rule:
    return _Rule(types=(int,), words="an integer", minimum=minimum, maximum=maximum)


def _number(minimum: float, maximum: float = math.inf) -> _Rule:
    return _Rule(types=(int, float), words="a number", minimum=minimum, maximum=maximum)


_RULES = {
    "max_tokens": _integer(1),
    "max_completion_tokens": _integer(1),
    "temperature": _number(0, 2),
    "top_p": _number(0, 1),
    "top_k": _integer(-1),
    "min_p": _number(0, 1),
    "seed": _integer(),
    "presence_penalty": _number(-2, 2),
    "frequency_penalty": _number(-2, 2),
    "repeat_penalty": _number(0),
    "logprobs": _Rule(types=(bool,), words="a boolean"),
    "top_logprobs": _integer(0, 20),
    "stop": _Rule(types=(str, list), words="an array of strings"),
    "reasoning_effort": _Rule(types=(str,), words="a string"),
}
"""Parameters that are checked; any other is sent as it is."""


def check_model_parameters(value: object) -> dict[str, Any]:
    """Return the parameters that are not NULL. Raises ``InvalidModelParameters``."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidModelParameters(
            "modelParameters must be a STRUCT such as named_struct('max_tokens', 256), not "
            f"{excerpt(repr(value))}."
        )
    for name, setting in value.items():
        if name.lower() in RESERVED:
            raise InvalidModelParameters(
                f"modelParameters: {name!r} is reserved, the function sets it itself. Remove it."
            )
        rule = _RULES.get(name)
        if setting is not None and rule is not None:
            _check(name, setting, rule)
    return {name: setting for name, setting in value.items() if setting is not None}


def default_parameters(endpoint: Endpoint) -> dict[str, Any]:
    """Return the parameters that a chat endpoint gets if the call sets none."""
    parameters: dict[str, Any] = {}
    if endpoint.send_temperature:
        parameters["temperature"] = 0.0
    if endpoint.max_tokens is not None:
        parameters["max_tokens"] = endpoint.max_tokens
    return parameters


def is_sampling(parameters: Mapping[str, Any]) -> bool:
    """Return True if equal requests may get different answers: a temperature and no seed."""
    return bool(parameters.get("temperature", 0)) and "seed" not in parameters


def _check(name: str, setting: Any, rule: _Rule) -> None:
    if float in rule.types and isinstance(setting, str):
        setting = _to_number(setting)  # a DECIMAL literal may arrive as text
    is_misplaced_bool = isinstance(setting, bool) and bool not in rule.types
    if is_misplaced_bool or not isinstance(setting, rule.types):
        raise InvalidModelParameters(
            f"modelParameters: {name} must be {rule.words}, not {excerpt(repr(setting))}."
        )
    if not isinstance(setting, (int, float)):
        return
    if not rule.minimum <= setting <= rule.maximum:
        bounds = f"between {rule.minimum} and {rule.maximum}"
        if rule.maximum == math.inf:
            bounds = f"at least {rule.minimum}"
        raise InvalidModelParameters(
            f"modelParameters: {name} must be {bounds}, not {setting}."
        )


def _to_number(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text
