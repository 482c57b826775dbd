"""Arguments that many functions have, and how constants are checked: by name, before any call is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from aiquery.errors import ArgumentError, excerpt
from aiquery.interfaces import Parameter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiquery.config.budget import OnBudget
    from aiquery.config.endpoint import Endpoint
    from aiquery.config.settings import Config

CONTENT = Parameter(
    "content", "column", required=True, doc="the text; NULL: NULL, and no call"
)
COMMON = (
    Parameter(
        "endpoint",
        "constant",
        doc="an endpoint's name, or vendor:model; default: the configured one",
    ),
    Parameter(
        "failOnError",
        "constant",
        doc="false: a failed row becomes STRUCT<result, errorMessage>",
    ),
    Parameter(
        "on_budget",
        "constant",
        doc="'null': rows beyond the budget are NULL; 'error': the statement ends",
    ),
)
"""What every function of the family takes last."""

Errors = Literal["fail", "struct", "inside"]
"""A failed row fails the query, is a STRUCT<result, errorMessage>, or stands in the value's own error_message."""


def named_endpoint(function: str, name: object, config: Config) -> Endpoint:
    """Return the endpoint ``name``, of whatever task."""
    if not isinstance(name, str):
        raise ArgumentError(
            f"{function}: endpoint must be a constant STRING: the name of an endpoint."
        )
    return config.endpoint(name)


def endpoint_for(
    function: str, task: Literal["chat", "embedding"], name: object, config: Config
) -> Endpoint:
    """Return the endpoint ``name``, or the default one of the task; refuse one of another task."""
    default = getattr(config.defaults, task)
    endpoint = named_endpoint(
        function, default if name is None or name == "" else name, config
    )
    if endpoint.task != task:
        raise ArgumentError(
            f"{function}: endpoint {endpoint.name!r} has task = {endpoint.task!r}; name one with task = {task!r}, or "
            f"set [defaults] {task}."
        )
    return endpoint


def errors_of(
    function: str, arguments: Mapping[str, Any], otherwise: Errors = "fail"
) -> Errors:
    """Return what ``failOnError`` asks for; ``otherwise`` where it is not given."""
    given = arguments.get("failOnError")
    if not isinstance(given, bool | None):
        raise ArgumentError(
            f"{function}: failOnError must be a constant BOOLEAN, not {excerpt(repr(given))}."
        )
    return otherwise if given is None else "fail" if given else "struct"


def on_budget_of(function: str, arguments: Mapping[str, Any]) -> OnBudget | None:
    """Return what ``on_budget`` asks for; None: what the configuration says."""
    given = arguments.get("on_budget")
    if given not in {None, "error", "null"}:
        raise ArgumentError(
            f"{function}: on_budget must be 'error' or 'null', not {excerpt(repr(given))}."
        )
    return given


def text_of(function: str, name: str, value: object, longest: int | None = None) -> str:
    """Return a constant STRING."""
    if not isinstance(value, str) or not value.strip():
        raise ArgumentError(
            f"{function}: {name} must be a constant STRING that is not empty, not {excerpt(repr(value))}."
        )
    if longest is not None and len(value) > longest:
        raise ArgumentError(
            f"{function}: {name} has {len(value):,} characters; at most {longest:,} are allowed."
        )
    return value


def texts_of(
    function: str, name: str, value: object, least: int, most: int
) -> list[str]:
    """Return a constant ARRAY of ``least`` to ``most`` different texts of 1 to 100 characters."""
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ArgumentError(
            f"{function}: {name} must be a constant ARRAY of STRINGs such as ARRAY('a', 'b'), not "
            f"{excerpt(repr(value))}."
        )
    return check_texts(function, name, value, least, most)


LONGEST = 100
"""Characters that a label may have."""


def check_texts(
    function: str, name: str, texts: list[str], least: int, most: int
) -> list[str]:
    """Return ``texts`` if there are ``least`` to ``most`` of them, all different, of 1 to 100 characters."""
    if not least <= len(texts) <= most:
        raise ArgumentError(
            f"{function}: {name} must have {least} to {most} items, not {len(texts)}."
        )
    for text in texts:
        if not 1 <= len(text) <= LONGEST or not text.strip():
            raise ArgumentError(
                f"{function}: {name}: an item must have 1 to {LONGEST} characters; {excerpt(text)!r} has {len(text)}."
            )
    twice = {text for text in texts if texts.count(text) > 1}
    if twice:
        raise ArgumentError(f"{function}: {name}: {min(twice)!r} stands there twice.")
    return texts


def options_of(function: str, value: object, known: tuple[str, ...]) -> dict[str, str]:
    """Return the constant MAP of options, its names checked."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ArgumentError(
            f"{function}: options must be a constant MAP such as map('version', '2.0')."
        )
    for name in value:
        if name not in known:
            raise ArgumentError(
                f"{function}: option {name!r} is not known; known: {', '.join(known)}."
            )
    return {name: str(item) for name, item in value.items() if item is not None}


def flag_of(function: str, options: Mapping[str, str], name: str) -> bool:
    """Return an option that is 'true' or 'false'."""
    text = options.get(name, "false").lower()
    if text not in {"true", "false"}:
        raise ArgumentError(
            f"{function}: option {name!r} must be 'true' or 'false', not {excerpt(text)!r}."
        )
    return text == "true"


INSTRUCTIONS = 20_000
"""Characters that the option ``instructions`` may have."""


def instructions_of(function: str, options: Mapping[str, str]) -> str:
    """Return the option ``instructions`` as a line of the prompt; empty where it is not given."""
    given = options.get("instructions")
    return (
        ""
        if given is None
        else text_of(function, "option 'instructions'", given, INSTRUCTIONS) + "\n"
    )


def version_of(function: str, options: Mapping[str, str], by_type: int) -> int:
    """Return which version of a function is meant: by its option, else by the type of its second argument."""
    text = options.get("version")
    if text is None:
        return by_type
    versions = {"1": 1, "1.0": 1, "2": 2, "2.0": 2}
    if text not in versions:
        raise ArgumentError(
            f"{function}: option 'version' must be '1.0' or '2.0', not {excerpt(text)!r}."
        )
    return versions[text]
